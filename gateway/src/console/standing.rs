//! What stands in settings, beside what is known of it: offices with what they do, institutions with what they may and what
//! they were refused for, and our own certificates with their last day.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Serialize;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::now::{AtOffice, is_refusal};
use crate::{exchange::Gateway, settings::Settings, telemetry::Reading};

/// An office.
#[derive(Debug, Serialize)]
pub(super) struct Office {
    code: String,
    name: String,
    registry: String,
    matters: Vec<String>,
    deliveries: Option<Vec<&'static str>>,
    hours: Option<String>,
    is_open: bool,
    opens_at: Option<i64>,
    /// Its registry is left alone because it did not answer.
    paused: bool,
    queued: Option<u64>,
    /// Of 100 filings lately that were to be sent, how many were answered; `None` if there was none.
    available: Option<u64>,
    /// How long answers took on average.
    mean_ms: Option<i64>,
    is_slow: bool,
}

/// Every office of the settings, in their order.
pub(super) fn offices(
    gateway: &Gateway,
    readings: &[Reading],
    queued: Option<&[(String, u64)]>,
    counts: &[AtOffice],
) -> Vec<Office> {
    let (now, directory) = (OffsetDateTime::now_utc(), gateway.directory());
    let all: BTreeSet<String> = proto::descriptors::message("Application")
        .and_then(|it| it.oneofs().find(|oneof| oneof.name() == "matter"))
        .map(|oneof| oneof.fields().map(|field| field.name().to_owned()).collect())
        .unwrap_or_default();
    let office = |office: &crate::settings::Office| {
        let service = gateway.capabilities.of(office);
        let hours = service.hours();
        let is_open = hours.as_ref().is_none_or(|it| it.is_open(&directory.calendar, now));
        let opens = hours.as_ref().and_then(|it| it.opens_next(&directory.calendar, now));
        let deliveries = service.deliveries();
        let lately =
            counts.iter().find(|it| it.code == office.code && it.registry == office.registry);
        Office {
            matters: all.iter().filter(|matter| service.takes(matter)).cloned().collect(),
            deliveries: deliveries
                .map(|all| all.into_iter().map(crate::capability::name_of).collect()),
            hours: hours.map(|hours| hours.to_string()),
            is_open,
            opens_at: opens.filter(|_| !is_open).map(OffsetDateTime::unix_timestamp),
            paused: readings.iter().any(|it| {
                it.name == "directlink_registry_paused"
                    && it.label("registry") == office.registry
                    && it.value > 0
            }),
            queued: queued.map(|queued| {
                let its = queued.iter().find(|(code, _)| *code == office.code);
                its.map_or(0, |(_, count)| *count)
            }),
            available: lately.and_then(AtOffice::available),
            mean_ms: lately.and_then(|it| it.mean_ms),
            is_slow: lately.is_some_and(|it| it.is_slow),
            code: office.code.clone(),
            name: office.name.clone(),
            registry: office.registry.clone(),
        }
    };
    directory.route.offices().iter().map(|it| office(it)).collect()
}

/// An institution.
#[derive(Debug, Serialize)]
pub(super) struct Institution {
    id: String,
    name: String,
    kind: &'static str,
    mode: &'static str,
    contract: String,
    /// By version of its contract, how many messages it read.
    versions: BTreeMap<String, u64>,
    issuer: String,
    san: String,
    /// When the certificate it last came with ends; `None` if it has not come yet.
    ends: Option<u64>,
    days_left: Option<i64>,
    exchanges_max: usize,
    connections_max: usize,
    per_second_max: u32,
    burst_max: u32,
    /// By code, how often it was refused for that.
    refusals: Vec<(String, u64)>,
    /// Messages refused unread.
    turned_back: BTreeMap<String, u64>,
}

/// Every institution of the settings, in their order; counts are this process's, since it started.
pub(super) fn institutions(settings: &Settings, readings: &[Reading]) -> Vec<Institution> {
    let limits = &settings.limits;
    let institution = |institution: &crate::settings::Institution| {
        let by = |name: &str, label: &str, is: fn(&Reading) -> bool| {
            let its = readings.iter().filter(|it| {
                it.name == name && it.label("institution") == institution.id && is(it)
            });
            its.fold(BTreeMap::new(), |mut by: BTreeMap<String, u64>, it| {
                *by.entry(it.label(label).to_owned()).or_default() += it.value;
                by
            })
        };
        let ends = readings.iter().find(|it| {
            it.name == "directlink_certificate_expires"
                && it.label("holder") == "institution"
                && it.label("name") == institution.id
        });
        let ends = ends.map(|it| it.value).filter(|ends| *ends > 0);
        let refusals = by("directlink_exchanges_total", "result", is_refusal);
        let mut refusals: Vec<_> = refusals.into_iter().collect();
        refusals.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let kind = proto::v1::InstitutionKind::from(institution.kind);
        Institution {
            id: institution.id.clone(),
            name: institution.name.clone(),
            kind: kind.as_str_name().trim_start_matches("INSTITUTION_KIND_"),
            mode: match institution.mode {
                crate::settings::InstitutionMode::Production => "production",
                crate::settings::InstitutionMode::Test => "test",
            },
            contract: institution.contract.clone(),
            versions: by("directlink_versions_used_total", "version", |_| true),
            issuer: institution.certificate_issuer.clone(),
            san: institution.certificate_san.clone(),
            days_left: ends.and_then(|ends| {
                let left = i64::try_from(ends).ok()?;
                Some(
                    left.saturating_sub(OffsetDateTime::now_utc().unix_timestamp()) / SECONDS_A_DAY,
                )
            }),
            ends,
            exchanges_max: institution.exchanges_max.unwrap_or(limits.institution_exchanges_max),
            connections_max: institution
                .connections_max
                .unwrap_or(limits.institution_connections_max),
            per_second_max: institution
                .messages_per_second_max
                .unwrap_or(limits.institution_messages_per_second_max)
                .get(),
            burst_max: institution
                .messages_burst_max
                .unwrap_or(limits.institution_messages_burst_max)
                .get(),
            refusals,
            turned_back: by("directlink_messages_turned_back_total", "why", |_| true),
        }
    };
    settings.institutions.iter().map(|it| institution(it)).collect()
}

/// One of our own certificates.
#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    /// What it is for: `banks`, or a registry's name.
    used: String,
    file: String,
    subject: Option<String>,
    ends: Option<i64>,
    days_left: Option<i64>,
}

/// What the gateway shows banks and registries. Read from disk each time; a file that cannot be read has no last day.
pub(super) fn certificates(settings: &Settings) -> Vec<Certificate> {
    let registries = settings.registries.iter().map(|it| (it.name.clone(), &*it.certificate));
    let banks = std::iter::once(("banks".to_owned(), &*settings.listen.certificate));
    banks.chain(registries).map(|(used, file)| certificate(used, file)).collect()
}

fn certificate(used: String, file: &Path) -> Certificate {
    let read = || {
        let pem = fs::read(file).ok()?;
        let der = CertificateDer::from_pem_slice(&pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let ends = certificate.validity().not_after.timestamp();
        Some((certificate.subject().to_string(), ends))
    };
    let (subject, ends) = read().unzip();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let days_left = ends.map(|ends| ends.saturating_sub(now) / SECONDS_A_DAY);
    Certificate { used, file: file.display().to_string(), subject, ends, days_left }
}

const SECONDS_A_DAY: i64 = 24 * 60 * 60;
