//! What it costs to find the institution that calls and the office in charge, with as many of both as a country has.

use std::{hint::black_box, sync::Arc, time::Instant};

use anyhow::Context;
use gateway::{
    identity::Identities,
    route::Route,
    settings::{Institution, Office, Routing},
};
use proto::v1::Property;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};

/// How many divisions there are.
const DIVISIONS: usize = 3_000;
/// How many registries they are reached through.
const ENDPOINTS: usize = 60;
/// How many institutions call.
pub const INSTITUTIONS: usize = 700;
/// How often an office is looked for in one round, and how many rounds there are.
const LOOKS: usize = 2_000;
const ROUNDS: usize = 101;

/// Nanoseconds that finding one office takes: the median of many rounds over all divisions, a filing of one property
/// with a title number each.
///
/// # Errors
/// A property without an office.
pub fn median_ns() -> anyhow::Result<u128> {
    let divisions: Vec<String> = (0..DIVISIONS).map(|n| (110_101 + n * 7).to_string()).collect();
    let offices: Vec<Office> = divisions.iter().enumerate().map(office).collect();
    let route = Route::new(&offices, &Routing::default());
    let properties: Vec<[Property; 1]> = divisions.iter().map(property).collect();
    median(|round| {
        for property in properties.iter().cycle().skip(round * LOOKS % DIVISIONS).take(LOOKS) {
            let office = route.office_for(black_box(property), "");
            black_box(office.ok().context("no office")?);
        }
        Ok(())
    })
}

/// Nanoseconds that it takes to say whose certificate was shown, which happens once a connection: the same median.
///
/// # Errors
/// A certificate that is nobody's.
pub fn identity_median_ns() -> anyhow::Result<u128> {
    let institutions = (0..INSTITUTIONS).map(institution).collect::<anyhow::Result<Vec<_>>>()?;
    let identities = Identities::new(&institutions, &[]);
    let mut shown = CertificateParams::new([san_of(INSTITUTIONS / 2)])?;
    shown.distinguished_name = DistinguishedName::new();
    shown.distinguished_name.push(DnType::CommonName, AUTHORITY);
    shown.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let chain = [shown.self_signed(&KeyPair::generate()?)?.der().clone()];
    median(|_round| {
        for _ in 0..LOOKS {
            black_box(identities.identify(black_box(&chain)).ok().context("nobody's")?);
        }
        Ok(())
    })
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

/// Nanoseconds that one look takes in the round in the middle of many.
fn median(mut looks: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<u128> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let started = Instant::now();
        looks(round)?;
        rounds.push(started.elapsed().as_nanos() / 2_000);
    }
    rounds.sort_unstable();
    rounds.get(ROUNDS / 2).copied().context("no round")
}

/// What is looked through.
pub fn description() -> String {
    format!("{DIVISIONS} divisions at {ENDPOINTS} endpoints")
}

fn office((number, division): (usize, &String)) -> Office {
    Office {
        code: division.clone(),
        name: format!("office {division}"),
        registry: format!("endpoint-{}", number % ENDPOINTS),
        division: division.clone(),
        prefixes: vec![division.clone()],
        title_places: vec![format!("省{division}市")],
        ..Office::default()
    }
}

fn property(division: &String) -> [Property; 1] {
    [Property {
        unit_code: format!("{division}001002GB00031F00010023"),
        title_numbers: vec![format!("省(2026){division}市不动产权第0012345号")],
        ..Property::default()
    }]
}
