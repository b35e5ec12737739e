//! What the register says of the properties an application names, beside what the application says, in order of entry.

use gateway::pages::Language;
use proto::v1::{Application, EncumbranceKind, IdType, MortgageStage, Property};
use serde::Serialize;
use time::{Date, OffsetDateTime, macros::offset};

use super::{
    super::register::{Charge, Entitled, Holder, Limit, Register, Title, TitleId},
    sheet,
};

/// One property, as applied and as registered.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    /// What it is known by.
    place: String,
    compared: Vec<Compared>,
    is_found: bool,
    holders: Vec<HolderLine>,
    entries: Vec<Entered>,
    is_seized: bool,
}

/// What both sides say of one thing.
#[derive(Debug, Serialize)]
struct Compared {
    label: String,
    applied: String,
    registered: String,
    /// Both say something, and not the same.
    differs: bool,
}

#[derive(Debug, Serialize)]
struct HolderLine {
    name: String,
    former: String,
    document: String,
    number: String,
}

#[derive(Debug, Serialize)]
struct Entered {
    kind: &'static str,
    number: String,
    holder: String,
    amount_fen: Option<i64>,
    from: String,
    to: String,
    queued: bool,
    transfer_restricted: bool,
    /// Noted at this desk, and so ended at it.
    is_released_here: bool,
    #[serde(skip)]
    entry: u64,
}

/// For each property, in the application's order.
pub(super) fn of(
    register: &Register,
    application: &Application,
    language: Language,
) -> Vec<Standing> {
    let properties = sheet::properties(application);
    properties.iter().map(|property| standing(register, property, language)).collect()
}

fn standing(register: &Register, property: &Property, language: Language) -> Standing {
    let found = register.title_of(property);
    let title = found.map(|(_, title)| title);
    let entries = found.map(|(id, title)| entries(register, id, title)).unwrap_or_default();
    Standing {
        place: sheet::place(property),
        compared: compared(property, title, language),
        is_found: title.is_some(),
        holders: title.map_or_else(Vec::new, |title| {
            title.holders.iter().map(|holder| line(holder, language)).collect()
        }),
        is_seized: found.is_some_and(|(id, _)| is_seized(register, id)),
        entries,
    }
}

fn compared(property: &Property, title: Option<&Title>, language: Language) -> Vec<Compared> {
    let of = |read: fn(&Title) -> String| title.map(read).unwrap_or_default();
    let area = |dm2: Option<i64>| dm2.map(sheet::square_metres).unwrap_or_default();
    let rows = [
        ("unit_code", unit(&property.unit_code), of(|title| unit(&title.unit_code))),
        (
            "presale_contract_number",
            property.presale_contract_number.clone(),
            of(|title| title.presale_contract_number.clone()),
        ),
        (
            "title_numbers",
            property.title_numbers.join("、"),
            of(|title| title.title_numbers.join("、")),
        ),
        ("location", property.location.clone(), of(|title| title.location.clone())),
        ("area_dm2", area(property.area_dm2), String::new()),
        ("land_area_dm2", area(property.land_area_dm2), String::new()),
        ("use_code", property.use_code.clone(), String::new()),
    ];
    rows.into_iter()
        .filter(|(_, applied, registered)| !applied.is_empty() || !registered.is_empty())
        .map(|(field, applied, registered)| Compared {
            label: language.word(&format!("field.{field}")),
            differs: !applied.is_empty() && !registered.is_empty() && applied != registered,
            applied,
            registered,
        })
        .collect()
}

/// A unit code in its parts: division, cadastral area, sub-area with rights and sequence, fixture.
fn unit(code: &str) -> String {
    let parts = [code.get(..6), code.get(6..12), code.get(12..19), code.get(19..)];
    match parts {
        [Some(division), Some(area), Some(parcel), Some(fixture)] => {
            format!("{division} {area} {parcel} {fixture}")
        }
        _ => code.to_owned(),
    }
}

fn line(holder: &Holder, language: Language) -> HolderLine {
    let document = match holder.id_type {
        IdType::Unspecified => String::new(),
        of => {
            let bare = of.as_str_name().trim_start_matches("ID_TYPE_");
            language.word(&format!("IdType.{bare}"))
        }
    };
    HolderLine {
        name: holder.name.clone(),
        former: holder.former_names.join("、"),
        document,
        number: holder.id_number.clone(),
    }
}

fn entries(register: &Register, id: TitleId, title: &Title) -> Vec<Entered> {
    let charges = register.charges_on(id).map(charge);
    let mut entries: Vec<_> = charges.chain(title.limits.iter().map(limit)).collect();
    entries.sort_by_key(|entered| entered.entry);
    entries
}

fn charge(charge: &Charge) -> Entered {
    let kind = match charge.stage {
        MortgageStage::PresaleNotice => EncumbranceKind::AdvanceNotice,
        MortgageStage::Existing | MortgageStage::UnderConstruction | MortgageStage::Unspecified => {
            EncumbranceKind::Mortgage
        }
    };
    Entered {
        kind: bare(kind),
        number: charge.certificate_number.clone(),
        holder: names(&charge.mortgagees),
        amount_fen: Some(charge.amount_fen),
        from: charge.from.clone(),
        to: charge.to.clone(),
        queued: false,
        transfer_restricted: charge.transfer_restricted,
        is_released_here: false,
        entry: charge.entry,
    }
}

fn limit(limit: &Limit) -> Entered {
    Entered {
        kind: bare(limit.kind),
        number: limit.number.clone(),
        holder: names(&limit.holders),
        amount_fen: None,
        from: limit.from.clone(),
        to: limit.to.clone(),
        queued: limit.queued,
        transfer_restricted: false,
        is_released_here: ends_here(limit),
        entry: limit.entry,
    }
}

fn names(entitled: &[Entitled]) -> String {
    entitled.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join("、")
}

fn bare(kind: EncumbranceKind) -> &'static str {
    kind.as_str_name().trim_start_matches("ENCUMBRANCE_KIND_")
}

/// A seizure that no court filed over the service: whoever brought the paper brings the next one too.
fn ends_here(limit: &Limit) -> bool {
    limit.kind == EncumbranceKind::Seizure && limit.institution.is_empty()
}

/// Whether a seizure stands on the title.
pub(super) fn is_seized(register: &Register, id: TitleId) -> bool {
    let title = register.title(id);
    title.is_some_and(|title| title.limits_of(EncumbranceKind::Seizure).next().is_some())
}

/// Whether the seizure of that number stands on the title, and is ended at the desk.
pub(super) fn is_released_here(register: &Register, id: TitleId, number: &str) -> bool {
    let limits = register.title(id).into_iter().flat_map(|title| &title.limits);
    limits.into_iter().any(|limit| limit.number == number && ends_here(limit))
}

/// The day in Asia/Shanghai.
pub(super) fn today(now: OffsetDateTime) -> Date {
    now.to_offset(offset!(+8)).date()
}
