//! Whether a registry registered what was asked for: its own account of an entry, compared with the filing's digests.
//!
//! A real incumbent filled one party list from the other for years, and nobody saw it. A difference is shown to bank and
//! operators and never mended here: the case is registered, and stays so until people have put it right. The filing
//! itself is not kept, so this works from the fingerprint, at once and as long as the ledger knows the filing.

use std::collections::BTreeSet;

use proto::v1::{CaseStatus, Outcome, Registered, RegisteredParties};

use crate::{
    fingerprint::{Asked, Field},
    ledger::Fingerprint,
    refusal::{Code, Refusal},
    registry::Testimony,
    telemetry::Metrics,
};

/// The outcome to tell and to keep. `asked`: the filing's fingerprint; without it there is nothing to compare.
pub(crate) fn judged(testimony: Testimony, asked: Option<&Fingerprint>) -> Outcome {
    let Testimony { outcome, registered, told: _ } = testimony;
    let (Some(registered), Some(asked)) = (registered, asked) else { return outcome };
    if !matches!(outcome.status(), CaseStatus::Registered | CaseStatus::Completed) {
        return outcome;
    }
    let differing = differing(&registered, &Asked::of(asked));
    if differing.is_empty() {
        return outcome;
    }
    let told = Refusal::of(Code::IntegrityMismatch);
    let mut refusal = told.outcome().refusal.unwrap_or_default();
    let fault = |field: String| proto::v1::Fault {
        code: refusal.code.clone(),
        message: refusal.message.clone(),
        field,
        ..proto::v1::Fault::default()
    };
    let faults = differing.into_iter().map(fault).collect();
    refusal.faults = faults;
    Outcome { refusal: Some(refusal), ..outcome }
}

/// Tells operators of an outcome that [`judged`] found to differ. No value is told, only where.
pub(crate) fn tell_operators(
    metrics: &Metrics,
    registry: &str,
    (institution, key): (&str, &str),
    outcome: &Outcome,
) {
    let mismatch = Code::IntegrityMismatch.as_str();
    let Some(refusal) = outcome.refusal.as_ref().filter(|refusal| refusal.code == mismatch) else {
        return;
    };
    let fields: Vec<&str> = refusal.faults.iter().map(|fault| fault.field.as_str()).collect();
    tracing::error!(
        registry,
        institution,
        key,
        case_id = outcome.case_id,
        fields = fields.join(" "),
        "the registry registered something else than was asked for"
    );
    metrics.integrity_mismatch(registry);
}

/// The fields in which the register differs from what was asked, as contracts write them.
fn differing(registered: &Registered, asked: &Asked<'_>) -> Vec<String> {
    let mut fields = Vec::new();
    if !registered.properties.is_empty() && properties_differ(&registered.properties, asked) {
        fields.push("matter.properties".to_owned());
    }
    for parties in &registered.parties {
        if parties_differ(parties, asked) {
            fields.push(format!("matter.{}", parties.list));
        }
    }
    if let Some(amount) = registered.amount_fen {
        fields.extend(amount_differs(amount, asked));
    }
    fields
}

/// The lists of parties in which the register differs from what was asked, by their names.
pub(crate) fn parties_that_differ(registered: &Registered, asked: &Fingerprint) -> Vec<String> {
    let asked = Asked::of(asked);
    let differing = registered.parties.iter().filter(|parties| parties_differ(parties, &asked));
    differing.map(|parties| parties.list.clone()).collect()
}

fn properties_differ(registered: &[String], asked: &Asked<'_>) -> bool {
    let Some(list) = asked.field("properties") else { return true };
    // One that was asked for by its title number alone cannot be recognised by its code.
    let unnamed =
        |position: &u32| NAMES.iter().all(|name| asked.holds(&list, *position, name, "").is_none());
    let positions = asked.positions(&list);
    if positions.iter().any(unnamed) {
        return false;
    }
    differ(registered, positions, |position, code| {
        NAMES.iter().any(|name| asked.holds(&list, position, name, code) == Some(true))
    })
}

/// What a registry may call a property by.
const NAMES: [&str; 2] = ["unit_code", "presale_contract_number"];

fn parties_differ(parties: &RegisteredParties, asked: &Asked<'_>) -> bool {
    let Some(list) = asked.field(&parties.list) else { return true };
    let positions = asked.positions(&list);
    differ(&parties.id_numbers, positions, |position, number| {
        asked.holds(&list, position, "id_number", number) == Some(true)
    })
}

/// Whether what is registered is not, one by one and in any order, what stands at the positions.
fn differ(
    registered: &[String],
    mut positions: BTreeSet<u32>,
    is: impl Fn(u32, &str) -> bool,
) -> bool {
    for value in registered {
        let Some(found) = positions.iter().copied().find(|position| is(*position, value)) else {
            return true;
        };
        positions.remove(&found);
    }
    !positions.is_empty()
}

fn amount_differs(amount_fen: i64, asked: &Asked<'_>) -> Option<String> {
    const AMOUNTS: [&str; 3] = ["secured_amount_fen", "maximum_amount_fen", "price_fen"];
    let told = |name: &str| {
        let is = |field: Field| asked.is_number(&field, amount_fen);
        (!asked.field(name).and_then(is)?).then(|| format!("matter.{name}"))
    };
    AMOUNTS.into_iter().find_map(told)
}

#[cfg(test)]
mod tests {
    use proto::v1::{Application, MortgageRegistration, Party, Property, application::Matter};

    use super::*;
    use crate::fingerprint::fingerprint;

    fn filed() -> Fingerprint {
        let party = |number: &str| Party { id_number: number.to_owned(), ..Party::default() };
        let home = |code: &str| Property { unit_code: code.to_owned(), ..Property::default() };
        let matter = MortgageRegistration {
            properties: vec![home("U1"), home("U2")],
            mortgagors: vec![party("A"), party("B")],
            mortgagees: vec![party("L")],
            secured_amount_fen: Some(100),
            ..MortgageRegistration::default()
        };
        let matter = Some(Matter::MortgageRegistration(matter));
        fingerprint(&Application { matter, ..Application::default() }, &[])
    }

    fn list(list: &str, numbers: &[&str]) -> RegisteredParties {
        let id_numbers = numbers.iter().map(|it| (*it).to_owned()).collect();
        RegisteredParties { list: list.to_owned(), id_numbers }
    }

    fn told(properties: &[&str], parties: Vec<RegisteredParties>, amount: i64) -> Vec<String> {
        let properties = properties.iter().map(|it| (*it).to_owned()).collect();
        let registered = Registered { properties, parties, amount_fen: Some(amount) };
        let outcome = Outcome { status: CaseStatus::Registered.into(), ..Outcome::default() };
        let testimony = Testimony { outcome, registered: Some(registered), told: Vec::new() };
        let outcome = judged(testimony, Some(&filed()));
        assert_eq!(outcome.status(), CaseStatus::Registered);
        let faults = outcome.refusal.map(|refusal| refusal.faults).unwrap_or_default();
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn what_was_asked_for_is_recognised_in_any_order() {
        let parties = vec![list("mortgagors", &["B", "A"]), list("mortgagees", &["L"])];
        assert!(told(&["U2", "U1"], parties, 100).is_empty());
        assert!(told(&[], Vec::new(), 100).is_empty());
    }

    #[test]
    fn every_difference_is_told_at_its_field() {
        let lists = |owners: &[&str]| vec![list("mortgagors", owners), list("mortgagees", &["L"])];
        for (properties, parties, amount, field) in [
            (["U1", "U3"].as_slice(), lists(&["A", "B"]), 100, "matter.properties"),
            (&["U1"], lists(&["A", "B"]), 100, "matter.properties"),
            (&["U1", "U1"], lists(&["A", "B"]), 100, "matter.properties"),
            (&["U1", "U2"], lists(&["L"]), 100, "matter.mortgagors"),
            (&["U1", "U2"], lists(&["A", "A"]), 100, "matter.mortgagors"),
            (&["U1", "U2"], lists(&["A", "B", "C"]), 100, "matter.mortgagors"),
            (&["U1", "U2"], lists(&["A", "B"]), 10_000, "matter.secured_amount_fen"),
            (&["U1", "U2"], vec![list("heirs", &["A"])], 100, "matter.heirs"),
        ] {
            assert_eq!(told(properties, parties, amount), [field]);
        }
    }
}
