//! What stands in the way of a discharge, worked out from what the register says of the properties (注销预检). Pure; the
//! registry alone decides on the filing.

use std::collections::HashSet;

use proto::v1::{
    DischargeAnswer, DischargeCheck, Encumbrance, EncumbranceKind, Obstacle, ObstacleKind,
    TitleAnswer, TitleEntry, TitleState,
};

/// What stands in the way. `titles` has an entry for each property of the check, in its order.
pub fn worked_out(check: &DischargeCheck, titles: TitleAnswer) -> DischargeAnswer {
    let own: HashSet<&str> = check.certificate_numbers.iter().map(String::as_str).collect();
    let mut obstacles: Vec<Obstacle> =
        titles.entries.iter().flat_map(|entry| on_property(entry, &own)).collect();
    let standing: HashSet<&str> =
        titles.entries.iter().flat_map(charges).map(|charge| charge.number.as_str()).collect();
    let absent = check.certificate_numbers.iter().filter(|it| !standing.contains(it.as_str()));
    obstacles.extend(absent.map(|number| obstacle(ObstacleKind::ChargeAbsent, "", number)));
    DischargeAnswer {
        as_of: titles.as_of,
        digest: titles.digest,
        clear: Some(!obstacles.iter().any(Obstacle::stops)),
        obstacles,
    }
}

fn on_property(entry: &TitleEntry, own: &HashSet<&str>) -> Vec<Obstacle> {
    if entry.state() != TitleState::Found {
        return vec![obstacle(ObstacleKind::PropertyUnknown, &entry.unit_code, "")];
    }
    let mut is_behind_own = false;
    let mut found = Vec::new();
    for limit in &entry.encumbrances {
        let is_own = own.contains(limit.number.as_str());
        is_behind_own = is_behind_own || is_own;
        let kind = match limit.kind() {
            _ if is_own => continue,
            // What stands before it keeps its rank, and is none of the discharge's business.
            EncumbranceKind::Mortgage if !is_behind_own => continue,
            EncumbranceKind::Mortgage => ObstacleKind::LaterCharge,
            EncumbranceKind::Seizure => ObstacleKind::Seizure,
            EncumbranceKind::Objection => ObstacleKind::Objection,
            EncumbranceKind::AdvanceNotice => ObstacleKind::AdvanceNotice,
            // A limit of a later model: whatever it is, a person is to look at it.
            EncumbranceKind::Unspecified => ObstacleKind::Unspecified,
        };
        found.push(obstacle(kind, &entry.unit_code, &limit.number));
    }
    found
}

/// What a certificate of registration may be about.
fn charges(entry: &TitleEntry) -> impl Iterator<Item = &Encumbrance> {
    let kinds = [EncumbranceKind::Mortgage, EncumbranceKind::AdvanceNotice];
    entry.encumbrances.iter().filter(move |it| kinds.contains(&it.kind()))
}

fn obstacle(kind: ObstacleKind, unit_code: &str, number: &str) -> Obstacle {
    let stops = match kind {
        ObstacleKind::PropertyUnknown | ObstacleKind::ChargeAbsent | ObstacleKind::Seizure => true,
        ObstacleKind::Unspecified
        | ObstacleKind::LaterCharge
        | ObstacleKind::Objection
        | ObstacleKind::AdvanceNotice => false,
    };
    Obstacle {
        kind: kind.into(),
        unit_code: unit_code.to_owned(),
        number: number.to_owned(),
        stops: Some(stops),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(unit: &str, limits: &[(EncumbranceKind, &str)]) -> TitleEntry {
        let encumbrances = limits.iter().map(|(kind, number)| Encumbrance {
            kind: (*kind).into(),
            number: (*number).to_owned(),
            ..Encumbrance::default()
        });
        TitleEntry {
            unit_code: unit.to_owned(),
            state: TitleState::Found.into(),
            encumbrances: encumbrances.collect(),
            ..TitleEntry::default()
        }
    }

    fn checked(numbers: &[&str], entries: Vec<TitleEntry>) -> (bool, Vec<(ObstacleKind, String)>) {
        let check = DischargeCheck {
            certificate_numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
            ..DischargeCheck::default()
        };
        let answer = worked_out(&check, TitleAnswer { entries, ..TitleAnswer::default() });
        let found = answer.obstacles.iter().map(|it| (it.kind(), it.number.clone())).collect();
        (answer.clear.unwrap(), found)
    }

    use EncumbranceKind::{AdvanceNotice, Mortgage, Objection, Seizure};

    #[test]
    fn a_charge_that_stands_alone_has_nothing_in_its_way() {
        assert_eq!(checked(&["m"], vec![entry("u", &[(Mortgage, "m")])]), (true, Vec::new()));
        let presale = entry("u", &[(AdvanceNotice, "m")]);
        assert_eq!(checked(&["m"], vec![presale]), (true, Vec::new()));
    }

    #[test]
    fn a_later_charge_is_told_and_stops_nothing_and_an_earlier_one_is_not_told() {
        let home = entry("u", &[(Mortgage, "before"), (Mortgage, "m"), (Mortgage, "behind")]);
        let told = vec![(ObstacleKind::LaterCharge, "behind".to_owned())];
        assert_eq!(checked(&["m"], vec![home]), (true, told));
    }

    #[test]
    fn a_seizure_and_an_objection_are_told_and_the_seizure_stops() {
        let home = entry("u", &[(Mortgage, "m"), (Seizure, "s"), (Objection, "o")]);
        let told = vec![(ObstacleKind::Seizure, "s".into()), (ObstacleKind::Objection, "o".into())];
        assert_eq!(checked(&["m"], vec![home]), (false, told));
    }

    #[test]
    fn a_charge_that_stands_nowhere_and_a_home_nobody_knows_stop() {
        let unknown = TitleEntry { state: TitleState::NotFound.into(), ..TitleEntry::default() };
        let told = vec![
            (ObstacleKind::PropertyUnknown, String::new()),
            (ObstacleKind::ChargeAbsent, "m".to_owned()),
        ];
        assert_eq!(checked(&["m"], vec![unknown]), (false, told));
    }
}
