//! The data file a reference registry starts from: offices, titles, charges and limits, in TOML.
//!
//! An unknown key is an error, and so is a charge on a unit that has no title: a registry team should hear of a
//! slip when the registry starts, not in a test that fails for it.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use proto::Share;
use proto::v1::{
    DeliveryMethod, EncumbranceKind, IdType, MortgageKind, MortgageStage, Office,
    OfficeDescription, OpeningHours,
};
use serde::Deserialize;

use super::register::{Charge, Entitled, Holder, Limit, Register, RegisteredOffice, Title};

/// The data file that comes with the kit; it covers the sample messages of the kit's banks.
pub const SAMPLES: &str = include_str!("../../data/titles.toml");

/// Reads a data file's text into a register.
///
/// # Errors
/// Not TOML of this form, a value no enum has, a code or number used twice, or a unit that has no title.
pub(super) fn register(text: &str) -> anyhow::Result<Register> {
    let data: Data = toml::from_str(text).context("the data file")?;
    let mut register = Register::empty(data.next_certificate);
    for office in data.office {
        let code = office.code.clone();
        register.offices.push(office.read().with_context(|| format!("office {code}"))?);
    }
    for title in data.title {
        register.add_title(title.read()?)?;
    }

    // What was entered earlier ranks earlier, whichever list of the file it stands in.
    let mut entries: BTreeMap<(String, usize), Entry> = BTreeMap::new();
    let charges = data.charge.into_iter().map(Entry::Charge);
    let limits = data.limit.into_iter().map(Entry::Limit);
    for (position, entry) in charges.chain(limits).enumerate() {
        let day = match &entry {
            Entry::Charge(charge) => &charge.entered_on,
            Entry::Limit(limit) => &limit.entered_on,
        };
        entries.insert((day.clone(), position), entry);
    }
    for entry in entries.into_values() {
        match entry {
            Entry::Charge(charge) => charge.enter(&mut register)?,
            Entry::Limit(limit) => limit.enter(&mut register)?,
        }
    }
    Ok(register)
}

/// The text of a data file with `over` put onto every office.
///
/// # Errors
/// Not TOML.
pub fn with_offices(text: &str, over: &toml::Table) -> anyhow::Result<String> {
    if over.is_empty() {
        return Ok(text.to_owned());
    }
    let mut data: toml::Table = toml::from_str(text).context("the data file")?;
    let offices = data.get_mut("office").and_then(toml::Value::as_array_mut);
    for office in offices.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        office.extend(over.clone());
    }
    Ok(toml::to_string(&data)?)
}

enum Entry {
    Charge(ChargeData),
    Limit(LimitData),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    next_certificate: u64,
    #[serde(default)]
    office: Vec<OfficeData>,
    #[serde(default)]
    title: Vec<TitleData>,
    #[serde(default)]
    charge: Vec<ChargeData>,
    #[serde(default)]
    limit: Vec<LimitData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfficeData {
    code: String,
    name: String,
    division: String,
    certificate_prefix: String,
    certificate_place: String,
    address: String,
    phone: String,
    matters: Vec<String>,
    deliveries: Vec<String>,
    open_weekdays: Vec<i32>,
    opens: String,
    closes: String,
    notices: Vec<String>,
}

impl OfficeData {
    fn read(self) -> anyhow::Result<RegisteredOffice> {
        let deliveries = self.deliveries.iter().map(|name| {
            DeliveryMethod::from_str_name(&format!("DELIVERY_METHOD_{name}"))
                .map(i32::from)
                .with_context(|| format!("no delivery method {name}"))
        });
        let hours = self.open_weekdays.into_iter().map(|weekday| OpeningHours {
            weekday,
            opens: self.opens.clone(),
            closes: self.closes.clone(),
        });
        Ok(RegisteredOffice {
            description: OfficeDescription {
                office: Some(Office { code: self.code, name: self.name, division: self.division }),
                address: self.address,
                phone: self.phone,
                matters: self.matters,
                deliveries: deliveries.collect::<anyhow::Result<_>>()?,
                hours: hours.collect(),
                notices: self.notices,
            },
            certificate_prefix: self.certificate_prefix,
            certificate_place: self.certificate_place,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TitleData {
    #[serde(default)]
    unit_code: String,
    #[serde(default)]
    presale_contract_number: String,
    #[serde(default)]
    title_numbers: Vec<String>,
    location: String,
    #[serde(default)]
    under_construction: bool,
    seller: Option<HolderData>,
    holders: Vec<HolderData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HolderData {
    name: String,
    #[serde(default)]
    former_names: Vec<String>,
    id_type: String,
    id_number: String,
    /// As `1/3` or `33.33%`: of every holder, or of none.
    share: Option<String>,
}

impl HolderData {
    fn read(self) -> anyhow::Result<Holder> {
        let id_type = IdType::from_str_name(&format!("ID_TYPE_{}", self.id_type))
            .with_context(|| format!("no identity document {}", self.id_type))?;
        Ok(Holder {
            name: self.name,
            former_names: self.former_names,
            id_type,
            id_number: self.id_number,
            share: self.share.as_deref().map(Share::parse).transpose()?,
        })
    }
}

impl TitleData {
    fn read(self) -> anyhow::Result<Title> {
        let holders = self.holders.into_iter().map(HolderData::read);
        let holders = holders.collect::<anyhow::Result<Vec<_>>>()?;
        let shares: Vec<Share> = holders.iter().filter_map(|holder| holder.share).collect();
        ensure!(
            shares.is_empty() || shares.len() == holders.len() && Share::make_a_whole(&shares),
            "the shares of {}{} make no whole",
            self.unit_code,
            self.presale_contract_number
        );
        Ok(Title {
            unit_code: self.unit_code,
            presale_contract_number: self.presale_contract_number,
            title_numbers: self.title_numbers,
            location: self.location,
            under_construction: self.under_construction,
            seller: self.seller.map(HolderData::read).transpose()?,
            holders,
            charges: Vec::new(),
            limits: Vec::new(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChargeData {
    certificate_number: String,
    units: Vec<String>,
    amount_fen: i64,
    from: String,
    to: String,
    entered_on: String,
    mortgagees: Vec<MortgageeData>,
    #[serde(default)]
    transfer_restricted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MortgageeData {
    name: String,
    id_number: String,
}

impl ChargeData {
    fn enter(self, register: &mut Register) -> anyhow::Result<()> {
        let number = self.certificate_number;
        ensure!(self.amount_fen > 0, "charge {number}: no amount");
        let titles = self
            .units
            .iter()
            .map(|unit| register.title_named(unit).with_context(|| format!("charge {number}")))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if register.charge(&number).is_some() {
            bail!("certificate number {number} is there twice");
        }
        register.add_charge(Charge {
            certificate_number: number,
            standing: titles.clone(),
            titles,
            kind: MortgageKind::General,
            stage: MortgageStage::Existing,
            transfer_restricted: self.transfer_restricted,
            amount_fen: self.amount_fen,
            from: self.from,
            to: self.to,
            mortgagees: self
                .mortgagees
                .into_iter()
                .map(|lender| Entitled { name: lender.name, id_number: lender.id_number })
                .collect(),
            entry: 0,
        });
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitData {
    unit: String,
    kind: String,
    number: String,
    /// Names, with `、` between them.
    holder: String,
    /// The institution that had it entered over the service.
    #[serde(default)]
    institution: String,
    from: String,
    #[serde(default)]
    to: String,
    entered_on: String,
}

impl LimitData {
    fn enter(self, register: &mut Register) -> anyhow::Result<()> {
        let kind = EncumbranceKind::from_str_name(&format!("ENCUMBRANCE_KIND_{}", self.kind))
            .with_context(|| format!("limit {}: no kind {}", self.number, self.kind))?;
        let title =
            register.title_named(&self.unit).with_context(|| format!("limit {}", self.number))?;
        register.add_limit(
            title,
            Limit {
                kind,
                number: self.number,
                holders: self.holder.split('、').map(unnumbered).collect(),
                institution: self.institution,
                queued: false,
                from: self.from,
                to: self.to,
                entry: 0,
            },
        );
        Ok(())
    }
}

fn unnumbered(name: &str) -> Entitled {
    Entitled { name: name.to_owned(), id_number: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kits_own_data_is_sound() {
        let register = register(SAMPLES).unwrap();
        assert!(register.title_named("140105001002GB00031F00010023").is_ok());
        assert!(register.title_named("TYYS20260100123").is_ok());
    }

    #[test]
    fn slips_are_told_at_the_start() {
        let told = |text: &str| format!("{:#}", register(text).err().unwrap());
        assert!(told("next_certificate = 1\nnonsense = 2").contains("nonsense"));
        let charge = r#"
            next_certificate = 1
            [[charge]]
            certificate_number = "N1"
            units = ["nowhere"]
            amount_fen = 1
            from = "2026-01-01"
            to = "2026-01-02"
            entered_on = "2026-01-01"
            mortgagees = []
        "#;
        assert!(told(charge).contains("nowhere"));
        assert!(told(&charge.replace("amount_fen = 1", "amount_fen = 0")).contains("no amount"));
        let owned = r#"
            next_certificate = 1
            [[title]]
            unit_code = "U1"
            location = "somewhere"
            holders = [{ name = "one", id_type = "OTHER", id_number = "1", share = "1/2" }]
        "#;
        assert!(told(owned).contains("U1 make no whole"));
    }
}
