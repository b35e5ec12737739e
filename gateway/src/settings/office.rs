//! Which office is in charge of which land, when, and for what.

use std::{
    collections::BTreeMap, collections::BTreeSet, num::NonZeroU32, path::PathBuf, time::Duration,
};

use super::reader;
use crate::hours::Hours;

/// `[[office]]`: who is in charge of which land.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Office {
    /// The registry's own code for the office.
    pub code: String,
    /// Its name, as banks are told it.
    pub name: String,
    /// The registry it is reached through: the `name` of a `[[registry]]`.
    pub registry: String,
    /// Its administrative division, 6 digits.
    pub division: String,
    /// Beginnings of unit codes, of 6, 9, 12 or 19 characters; the longest that fits decides; no two offices may have
    /// the same.
    pub prefixes: Vec<String>,
    /// Beginnings of presale contract filing numbers (商品房买卖合同备案号) it is in charge of, for presale homes that have no
    /// unit code yet; the longest that fits decides; no two offices may have the same. Default: none.
    #[serde(default)]
    pub presale_prefixes: Vec<String>,
    /// Province and place that the numbers of its certificates begin with: `晋太原市` of `晋(2026)太原市不动产权第1号`; several
    /// offices may have the same. A title number from another office's place is refused (ROUTE_CONFLICT). Default:
    /// none.
    #[serde(default)]
    pub title_places: Vec<String>,
    /// Matters it takes, by the names of `Application.matter` (`mortgage_registration`, `mortgage_discharge`, …).
    /// Default: every one its registry says.
    pub matters: Option<BTreeSet<String>>,
    /// How it hands out certificates: ELECTRONIC, COURIER, PICKUP. Default: every way its registry says.
    pub delivery: Option<Vec<Delivery>>,
    /// When it is open: a line for each row of days (1 is Monday), as `1-5 09:00-12:00 13:30-17:00`. Default: whenever
    /// its registry says.
    #[serde(deserialize_with = "reader::hours", default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub hours: Option<Hours>,
    /// How many filings that waited for it are sent to it a minute, by all replicas together. Default: 300.
    pub queued_per_minute_max: Option<NonZeroU32>,
    /// Its address, for banks that have to turn to it. Default: what its registry says.
    pub address: Option<String>,
    /// Its telephone, for the same. Default: what its registry says.
    pub phone: Option<String>,
}

impl Office {
    /// How long after a filing that waited for it the next may be sent.
    pub fn queue_interval(&self) -> Duration {
        Duration::from_secs(60) / self.queued_per_minute_max.map_or(300, NonZeroU32::get)
    }

    /// How it hands out certificates, if settings say so.
    pub fn deliveries(&self) -> Option<Vec<proto::v1::DeliveryMethod>> {
        let methods = self.delivery.as_ref()?.iter().copied();
        Some(methods.map(proto::v1::DeliveryMethod::from).collect())
    }
}

/// How an office hands out certificates (领证方式).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// Electronic certificates only (电子证照).
    Electronic,
    /// By courier (邮寄).
    Courier,
    /// Fetched at the office (自取).
    Pickup,
}

impl From<Delivery> for proto::v1::DeliveryMethod {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Electronic => Self::Electronic,
            Delivery::Courier => Self::Courier,
            Delivery::Pickup => Self::Pickup,
        }
    }
}

/// `[routing]`: what else decides the office.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// Administrative divisions that exist no more, and the one each has become: 6 digits = 6 digits. Default: none.
    pub retired: BTreeMap<String, String>,
}

/// `[queue]`: filings that come while their office is closed.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// File of the keys that filings which wait are sealed with, a line each: `NAME BASE64`, 32 bytes; the first seals,
    /// all of them open: [settings.md](settings.md#filings-out-of-hours). Default: nothing waits.
    pub key_file: Option<PathBuf>,
}
