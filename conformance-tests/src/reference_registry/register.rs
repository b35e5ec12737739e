//! The register (登记簿): titles, the charges on them and what limits them, in order of entry.
//!
//! Knows no clock, no case and no network; what may be entered is decided in `judgement`. Law behind it: Civil Code
//! (民法典) arts. 214 (a right exists from entry), 406 (a charge stays when the home is sold), 414 (earlier
//! entry, earlier rank).

mod charge;
mod limit;
mod ownership;

use std::collections::HashMap;

use anyhow::{Context, ensure};
use aws_lc_rs::digest;
pub(super) use ownership::{concerns, share_of};
use prost::Message;
use proto::Share;
use proto::v1::{
    CertificateState, Encumbrance, EncumbranceKind, IdType, MortgageKind, MortgageStage,
    OfficeDescription, Party, Property, TitleAnswer, TitleEntry, TitleQuery, TitleState,
    VerifyCertificateResponse,
};
use time::Date;

use super::certificates::Records;

/// A title's place in the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TitleId(usize);

/// A charge's place in the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ChargeId(usize);

/// All that is registered.
#[derive(Debug)]
pub(super) struct Register {
    pub(super) offices: Vec<RegisteredOffice>,
    titles: Vec<Title>,
    titles_by_name: HashMap<String, TitleId>,
    charges: Vec<Charge>,
    charges_by_certificate: HashMap<String, ChargeId>,
    /// Registration record certificates issued.
    pub(super) records: Records,
    entries: u64,
    next_certificate: u64,
    /// Seizures entered.
    seizures: u64,
    /// Today, in Asia/Shanghai.
    pub(super) day: Date,
}

/// Where and when something is entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp<'s> {
    /// The office's code.
    pub(super) office: &'s str,
    /// The day in Asia/Shanghai.
    pub(super) day: Date,
}

/// An office, and how the numbers of its certificates read.
#[derive(Debug)]
pub(super) struct RegisteredOffice {
    pub(super) description: OfficeDescription,
    pub(super) certificate_prefix: String,
    pub(super) certificate_place: String,
}

/// One unit, or one home that is sold before it is built.
#[derive(Debug)]
pub(super) struct Title {
    /// 28 characters; empty for a presale home.
    pub(super) unit_code: String,
    /// Empty for a unit.
    pub(super) presale_contract_number: String,
    pub(super) title_numbers: Vec<String>,
    pub(super) location: String,
    /// The building stands, but is not finished (在建工程).
    pub(super) under_construction: bool,
    /// Who sells a presale home, where the register knows.
    pub(super) seller: Option<Holder>,
    pub(super) holders: Vec<Holder>,
    pub(super) charges: Vec<ChargeId>,
    pub(super) limits: Vec<Limit>,
}

impl Title {
    /// In which stage a charge on it is registered.
    pub(super) fn stage(&self) -> MortgageStage {
        if self.under_construction {
            MortgageStage::UnderConstruction
        } else if self.presale_contract_number.is_empty() {
            MortgageStage::Existing
        } else {
            MortgageStage::PresaleNotice
        }
    }

    /// What stands on it of one sort, in order of entry.
    pub(super) fn limits_of(&self, kind: EncumbranceKind) -> impl Iterator<Item = &Limit> {
        self.limits.iter().filter(move |limit| limit.kind == kind)
    }
}

/// Who owns a unit, or bought a presale home.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) former_names: Vec<String>,
    pub(super) id_type: IdType,
    pub(super) id_number: String,
    /// Of a home that is owned by shares (按份共有); `None` where it is owned by one, or jointly.
    pub(super) share: Option<Share>,
}

impl Holder {
    /// Whether the party is this holder: same document, same number, and a name the register knows.
    pub(super) fn is(&self, party: &Party) -> bool {
        self.id_type == party.id_type()
            && self.id_number == party.id_number
            && (self.name == party.name || self.former_names.contains(&party.name))
    }
}

/// A mortgage, or the advance notice of one.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) certificate_number: String,
    /// What was charged at first.
    pub(super) titles: Vec<TitleId>,
    /// What still is; empty when the charge has ended.
    pub(super) standing: Vec<TitleId>,
    pub(super) kind: MortgageKind,
    pub(super) stage: MortgageStage,
    pub(super) amount_fen: i64,
    /// `YYYY-MM-DD`.
    pub(super) from: String,
    /// `YYYY-MM-DD`.
    pub(super) to: String,
    pub(super) mortgagees: Vec<Entitled>,
    /// The parties agreed that the home may not change hands while it is charged.
    pub(super) transfer_restricted: bool,
    /// Set on entry.
    pub(super) entry: u64,
}

/// Whose charge, notice, objection or seizure it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entitled {
    pub(super) name: String,
    /// Empty where the register has none.
    pub(super) id_number: String,
}

impl Entitled {
    pub(super) fn of(party: &Party) -> Self {
        Self { name: party.name.clone(), id_number: party.id_number.clone() }
    }

    pub(super) fn is(&self, party: &Party) -> bool {
        match self.id_number.as_str() {
            "" => self.name == party.name,
            number => number == party.id_number,
        }
    }
}

/// A seizure, an objection or an advance notice.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) kind: EncumbranceKind,
    pub(super) number: String,
    pub(super) holders: Vec<Entitled>,
    /// The institution that had it entered; empty where that was not over this service.
    pub(super) institution: String,
    /// A seizure that takes effect only once those before it have ended (轮候).
    pub(super) queued: bool,
    /// `YYYY-MM-DD`.
    pub(super) from: String,
    /// `YYYY-MM-DD`, or empty.
    pub(super) to: String,
    /// Set on entry.
    pub(super) entry: u64,
}

impl Register {
    pub(super) fn empty(next_certificate: u64) -> Self {
        Self {
            offices: Vec::new(),
            titles: Vec::new(),
            titles_by_name: HashMap::new(),
            charges: Vec::new(),
            charges_by_certificate: HashMap::new(),
            records: Records::default(),
            entries: 0,
            next_certificate,
            seizures: 0,
            day: Date::MIN,
        }
    }

    /// What day it is in Asia/Shanghai: what has run out since, ends.
    pub(super) fn it_is(&mut self, day: Date) {
        if self.day != day {
            self.day = day;
            self.titles.iter_mut().for_each(|title| limit::run_out(&mut title.limits, day));
        }
    }

    pub(super) fn add_title(&mut self, title: Title) -> anyhow::Result<()> {
        let id = TitleId(self.titles.len());
        let names = [&title.unit_code, &title.presale_contract_number];
        ensure!(names.iter().any(|name| !name.is_empty()), "a title without a number");
        for name in names.into_iter().chain(&title.title_numbers).filter(|name| !name.is_empty()) {
            let earlier = self.titles_by_name.insert(name.clone(), id);
            ensure!(earlier.is_none(), "{name} names two titles");
        }
        self.titles.push(title);
        Ok(())
    }

    pub(super) fn add_charge(&mut self, mut charge: Charge) {
        self.entries += 1;
        charge.entry = self.entries;
        let id = ChargeId(self.charges.len());
        self.charges_by_certificate.insert(charge.certificate_number.clone(), id);
        for title in &charge.titles {
            if let Some(title) = self.titles.get_mut(title.0) {
                title.charges.push(id);
            }
        }
        self.charges.push(charge);
    }

    pub(super) fn add_limit(&mut self, title: TitleId, mut limit: Limit) {
        self.entries += 1;
        limit.entry = self.entries;
        if let Some(title) = self.titles.get_mut(title.0) {
            title.limits.push(limit);
        }
    }

    /// The title of that unit code, presale contract number or title number.
    pub(super) fn title_named(&self, name: &str) -> anyhow::Result<TitleId> {
        self.titles_by_name.get(name).copied().with_context(|| format!("no title {name}"))
    }

    /// The title an application or query means: by unit code where one is given, else by presale contract, else by
    /// title number. `None` where there is none.
    pub(super) fn title_of(&self, property: &Property) -> Option<(TitleId, &Title)> {
        let name = [&property.unit_code, &property.presale_contract_number]
            .into_iter()
            .chain(&property.title_numbers)
            .find(|name| !name.is_empty())?;
        let id = *self.titles_by_name.get(name)?;
        Some((id, self.titles.get(id.0)?))
    }

    /// The charge that certificate is about, ended or not.
    pub(super) fn charge(&self, certificate_number: &str) -> Option<(ChargeId, &Charge)> {
        let id = *self.charges_by_certificate.get(certificate_number)?;
        Some((id, self.charges.get(id.0)?))
    }

    /// The charges that stand on a title.
    pub(super) fn charges_on(&self, id: TitleId) -> impl Iterator<Item = &Charge> {
        let charges = self.title(id).into_iter().flat_map(|title| &title.charges);
        let charges = charges.filter_map(|charge| self.charges.get(charge.0));
        charges.filter(move |charge| charge.standing.contains(&id))
    }

    pub(super) fn office(&self, code: &str) -> Option<&RegisteredOffice> {
        self.offices
            .iter()
            .find(|office| office.description.office.as_ref().is_some_and(|o| o.code == code))
    }

    pub(super) fn title(&self, id: TitleId) -> Option<&Title> {
        self.titles.get(id.0)
    }

    /// A number for the certificate of a charge or of a notice (不动产登记证明).
    fn new_certificate_number(&mut self, stamp: Stamp<'_>) -> String {
        self.new_number(stamp, "不动产证明")
    }

    /// A number for the certificate of a title (不动产权证书).
    fn new_title_number(&mut self, stamp: Stamp<'_>) -> String {
        self.new_number(stamp, "不动产权")
    }

    fn new_number(&mut self, stamp: Stamp<'_>, sort: &str) -> String {
        let sequence = self.next_certificate;
        self.next_certificate += 1;
        let (prefix, place) = self
            .office(stamp.office)
            .map(|office| (office.certificate_prefix.as_str(), office.certificate_place.as_str()))
            .unwrap_or_default();
        format!("{prefix}({}){place}{sort}第{sequence:07}号", stamp.day.year())
    }

    /// What the register says, an entry for each property in the order asked. `digest` is the SHA-256, in lower-case
    /// hexadecimal, of the answer's protobuf encoding (fields in order of number, nothing unset written) without
    /// `digest` itself; `as_of` is in it, so that the moment can't be changed either.
    pub(super) fn answer(&self, query: &TitleQuery, as_of: prost_types::Timestamp) -> TitleAnswer {
        let entries = query.properties.iter().map(|property| self.entry(property)).collect();
        let mut answer = TitleAnswer { as_of: Some(as_of), digest: String::new(), entries };
        let encoded = answer.encode_to_vec();
        answer.digest = hex::encode(digest::digest(&digest::SHA256, &encoded));
        answer
    }

    fn entry(&self, property: &Property) -> TitleEntry {
        // A title number that does not belong to the unit finds nothing: whoever asks with a wrong number has
        // not shown that the owner let them ask.
        let title = self.title_of(property).filter(|(_, title)| {
            property.title_numbers.iter().all(|number| title.title_numbers.contains(number))
        });
        let Some((id, title)) = title else {
            return TitleEntry {
                unit_code: property.unit_code.clone(),
                state: TitleState::NotFound.into(),
                ..TitleEntry::default()
            };
        };
        TitleEntry {
            unit_code: title.unit_code.clone(),
            state: TitleState::Found.into(),
            location: title.location.clone(),
            holder_names: title.holders.iter().map(|holder| holder.name.clone()).collect(),
            encumbrances: self.encumbrances(id, title),
        }
    }

    fn encumbrances(&self, id: TitleId, title: &Title) -> Vec<Encumbrance> {
        let limits = title.limits.iter().map(|limit| {
            let encumbrance = Encumbrance {
                kind: limit.kind.into(),
                number: limit.number.clone(),
                holder: names_of(&limit.holders),
                amount_fen: None,
                from: limit.from.clone(),
                to: limit.to.clone(),
            };
            (limit.entry, encumbrance)
        });
        let charges = title.charges.iter().filter_map(|charge| self.charges.get(charge.0));
        let charges = charges
            .filter(|charge| charge.standing.contains(&id))
            .map(|charge| (charge.entry, charge.encumbrance()));
        let mut entered: Vec<(u64, Encumbrance)> = limits.chain(charges).collect();
        entered.sort_by_key(|(entry, _)| *entry);
        entered.into_iter().map(|(_, encumbrance)| encumbrance).collect()
    }

    /// The numbers of all certificates there are.
    pub(super) fn certificate_numbers(&self) -> impl Iterator<Item = &str> {
        self.charges_by_certificate.keys().map(String::as_str).chain(self.records.numbers())
    }

    /// Whether that certificate is genuine and in force.
    pub(super) fn verify(
        &self,
        certificate_number: &str,
        as_of: prost_types::Timestamp,
    ) -> VerifyCertificateResponse {
        if let Some(record) = self.records.get(certificate_number) {
            return VerifyCertificateResponse {
                state: CertificateState::InForce.into(),
                certificate_number: record.certificate_number.clone(),
                unit_codes: record.unit_codes.clone(),
                as_of: Some(as_of),
            };
        }
        let (state, titles) = match self.charge(certificate_number) {
            None => (CertificateState::NotFound, [].as_slice()),
            Some((_, charge)) if charge.standing.is_empty() => {
                (CertificateState::Ended, charge.titles.as_slice())
            }
            Some((_, charge)) => (CertificateState::InForce, charge.standing.as_slice()),
        };
        VerifyCertificateResponse {
            state: state.into(),
            certificate_number: certificate_number.to_owned(),
            unit_codes: titles
                .iter()
                .filter_map(|id| self.titles.get(id.0))
                .map(|title| title.unit_code.clone())
                .collect(),
            as_of: Some(as_of),
        }
    }
}

impl Charge {
    fn encumbrance(&self) -> Encumbrance {
        // A charge on a home that is not yet built is only the notice of one (预告抵押).
        let kind = match self.stage {
            MortgageStage::PresaleNotice => EncumbranceKind::AdvanceNotice,
            MortgageStage::Existing
            | MortgageStage::UnderConstruction
            | MortgageStage::Unspecified => EncumbranceKind::Mortgage,
        };
        Encumbrance {
            kind: kind.into(),
            number: self.certificate_number.clone(),
            holder: names_of(&self.mortgagees),
            amount_fen: Some(self.amount_fen),
            from: self.from.clone(),
            to: self.to.clone(),
        }
    }
}

fn names_of(entitled: &[Entitled]) -> String {
    entitled.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join("、")
}
