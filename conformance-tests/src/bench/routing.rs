//! What it costs to find the office in charge, with as many as a country has.

use std::{hint::black_box, time::Instant};

use anyhow::Context;
use gateway::{
    route::Route,
    settings::{Office, Routing},
};
use proto::v1::Property;

/// How many divisions there are.
const DIVISIONS: usize = 3_000;
/// How many registries they are reached through.
const ENDPOINTS: usize = 60;
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
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let started = Instant::now();
        for property in properties.iter().cycle().skip(round * LOOKS % DIVISIONS).take(LOOKS) {
            let office = route.office_for(black_box(property));
            black_box(office.ok().context("no office")?);
        }
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
