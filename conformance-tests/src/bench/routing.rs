//! What it costs to find the institution that calls and the office in charge, with as many of both as a country has.

use std::{collections::BTreeMap, fmt, hint::black_box, sync::Arc, time::Instant};

use anyhow::Context;
use gateway::{
    identity::Identities,
    route::Route,
    settings::{Institution, Office, Routing},
};
use proto::v1::Property;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};

/// How many divisions there are, an office each.
const DIVISIONS: usize = 3_000;
/// How many registries they are reached through.
const ENDPOINTS: usize = 60;
/// How many institutions call.
const INSTITUTIONS: usize = 700;
/// One in so many divisions has become another one.
const RETIRED_ONE_IN: usize = 10;
/// How often something is looked for in one round, and how many rounds there are.
const LOOKS: usize = 2_000;
const ROUNDS: usize = 101;
/// What a look is to stay below, in nanoseconds.
const AIM_NS: u128 = 2_000;

/// What one look costs.
#[derive(Debug)]
pub struct Look {
    what: &'static str,
    each: Each,
    /// Nanoseconds that one took in each round, the quickest first.
    rounds_ns: Vec<u128>,
}

/// For each what it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Each {
    /// It is part of routing each, and there is an aim.
    Message,
    /// Thousands of messages may follow: there is none.
    Connection,
}

/// The table's head, as Markdown.
pub const HEAD: &str = "\
| looked for | ns, in the round in the middle | in the slowest of 101 | aim, for each message: below 2,000 |
|---|---|---|---|";

/// Looks for the office of filings of one home each, by every sort of evidence, and for the institution that calls.
///
/// # Errors
/// A home without an office, a certificate that is nobody's.
pub fn measure() -> anyhow::Result<Vec<Look>> {
    let divisions: Vec<String> = (0..DIVISIONS).map(|n| (110_101 + n * 7).to_string()).collect();
    let offices: Vec<Office> = divisions.iter().enumerate().map(office).collect();
    let retired = divisions.iter().step_by(RETIRED_ONE_IN).enumerate();
    let retired: BTreeMap<_, _> =
        retired.map(|(n, successor)| ((990_001 + n).to_string(), successor.clone())).collect();
    let former: Vec<String> = retired.keys().cloned().collect();
    let route = Route::new(&offices, &Routing { retired });
    let by = |what, divisions: &[String], home: fn(&str) -> Property| {
        let homes: Vec<[Property; 1]> = divisions.iter().map(|it| [home(it)]).collect();
        look(what, Each::Message, |round| {
            for home in homes.iter().cycle().skip(round * LOOKS % homes.len()).take(LOOKS) {
                let office = route.office_for(black_box(home), "");
                black_box(office.ok().context("no office")?);
            }
            Ok(())
        })
    };
    Ok(vec![
        by("office, by unit code, which a title number agrees with", &divisions, titled)?,
        by("office, by a unit code of a retired division", &former, unit)?,
        by("office, by presale contract", &divisions, presale)?,
        by("office, by title number alone", &divisions, |division| Property {
            unit_code: String::new(),
            ..titled(division)
        })?,
        institutions()?,
    ])
}

/// What is looked through.
pub fn description() -> String {
    format!("{DIVISIONS} divisions at {ENDPOINTS} endpoints, {INSTITUTIONS} institutions")
}

/// Whose certificate was shown, which is asked once a connection.
fn institutions() -> anyhow::Result<Look> {
    let institutions = (0..INSTITUTIONS).map(institution).collect::<anyhow::Result<Vec<_>>>()?;
    let identities = Identities::new(&institutions, &[]);
    let mut shown = CertificateParams::new([san_of(INSTITUTIONS / 2)])?;
    shown.distinguished_name = DistinguishedName::new();
    shown.distinguished_name.push(DnType::CommonName, AUTHORITY);
    shown.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let chain = [shown.self_signed(&KeyPair::generate()?)?.der().clone()];
    look("institution, by its certificate", Each::Connection, |_round| {
        for _ in 0..LOOKS {
            black_box(identities.identify(black_box(&chain)).ok().context("nobody's")?);
        }
        Ok(())
    })
}

fn look(
    what: &'static str,
    each: Each,
    mut looks: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Look> {
    let mut rounds_ns = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let started = Instant::now();
        looks(round)?;
        rounds_ns.push(started.elapsed().as_nanos() / u128::try_from(LOOKS)?);
    }
    rounds_ns.sort_unstable();
    Ok(Look { what, each, rounds_ns })
}

impl fmt::Display for Look {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let middle = self.rounds_ns.get(ROUNDS / 2).copied().unwrap_or_default();
        let slowest = self.rounds_ns.last().copied().unwrap_or_default();
        let reached = match self.each {
            Each::Message if middle < AIM_NS => "reached",
            Each::Message => "**not reached**",
            Each::Connection => "none: once a connection",
        };
        write!(out, "| {} | {middle} | {slowest} | {reached} |", self.what)
    }
}

/// Who issued every institution's certificate.
const AUTHORITY: &str = "authority";

fn institution(number: usize) -> anyhow::Result<Arc<Institution>> {
    let san = san_of(number);
    let text = format!(
        "id = \"bank-{number}\"\nname = \"bank {number}\"\nkind = \"BANK\"\ncontract = \"standard\"\n\
         certificate_issuer = \"CN={AUTHORITY}\"\ncertificate_san = \"{san}\""
    );
    Ok(Arc::new(toml::from_str(&text)?))
}

fn san_of(number: usize) -> String {
    format!("bank-{number}.example")
}

fn office((number, division): (usize, &String)) -> Office {
    Office {
        code: division.clone(),
        name: format!("office {division}"),
        registry: format!("endpoint-{}", number % ENDPOINTS),
        division: division.clone(),
        prefixes: vec![division.clone()],
        presale_prefixes: vec![format!("YS-{division}-")],
        title_places: vec![format!("省{division}市")],
        ..Office::default()
    }
}

fn unit(division: &str) -> Property {
    Property { unit_code: format!("{division}001002GB00031F00010023"), ..Property::default() }
}

fn titled(division: &str) -> Property {
    let title_numbers = vec![format!("省(2026){division}市不动产权第0012345号")];
    Property { title_numbers, ..unit(division) }
}

fn presale(division: &str) -> Property {
    let presale_contract_number = format!("YS-{division}-2026-0001");
    Property { presale_contract_number, ..Property::default() }
}
