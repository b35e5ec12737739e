//! What is logged and traced, and where traces go.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::{Uri, uri::Scheme};

use super::reader;
use crate::telemetry::log_filter;

/// `[telemetry]`: logs and traces.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// `http://HOST:PORT` or `https://HOST:PORT` of the collector that takes traces as OTLP; over HTTP a path may
    /// follow. Default: not exported.
    pub otlp: Option<String>,
    /// `grpc`, or `http` (protobuf, to `/v1/traces` if `otlp` has no path).
    pub otlp_protocol: OtlpProtocol,
    /// With https: PEM file of the authorities the collector's certificate may be issued by; its name is the host of
    /// `otlp`.
    pub otlp_ca: Option<PathBuf>,
    /// With https: PEM file of the gateway's certificate, for a collector that asks for one. Default: none is shown.
    pub otlp_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub otlp_key: Option<PathBuf>,
    /// One in how many exchanges is kept where the bank's own `traceparent` has not decided it; 1 is all, 0 none. What
    /// is refused, unknown or slow is kept whatever this says ([traces.md](traces.md)).
    pub trace_one_in: u32,
    /// `trace_slow_seconds`: from when on an exchange is slow.
    #[serde(rename = "trace_slow_seconds", with = "reader::Seconds")]
    pub trace_slow: Duration,
    /// How much may wait for the collector, of 65536 to 268435456; what is more is lost and counted in
    /// `directlink_traces_lost_total`.
    pub trace_queue_bytes_max: u32,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, for Directlink's own parts; or `part=level` pairs
    /// separated by commas, for libraries too. No level logs a message's content.
    pub log: String,
    /// Which of several replicas this is, in traces. Default: `HOSTNAME`, or the process id.
    pub instance: Option<String>,
}

/// How traces travel to their collector.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OtlpProtocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP, as protobuf.
    Http,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp: None,
            otlp_protocol: OtlpProtocol::default(),
            otlp_ca: None,
            otlp_certificate: None,
            otlp_key: None,
            trace_one_in: 10,
            trace_slow: Duration::from_secs(3),
            trace_queue_bytes_max: 8 * 1024 * 1024,
            log: "info".to_owned(),
            instance: None,
        }
    }
}

impl Telemetry {
    /// What is wrong with it: the key, and what was expected.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Some(otlp) = &self.otlp {
            let uri = otlp.parse::<Uri>().ok();
            let is_tls = uri.as_ref().and_then(Uri::scheme) == Some(&Scheme::HTTPS);
            if !uri.is_some_and(|uri| self.is_collector(&uri)) {
                let expected = match self.otlp_protocol {
                    OtlpProtocol::Grpc => "expected http://HOST:PORT or https://HOST:PORT",
                    OtlpProtocol::Http => "expected http://HOST:PORT or https://HOST:PORT/PATH",
                };
                faults.push(("otlp", format!("`{otlp}`: {expected}")));
            } else if is_tls && self.otlp_ca.is_none() {
                let told = "https needs `otlp_ca`: by which authorities the collector is known";
                faults.push(("otlp", told.to_owned()));
            }
        }
        if self.otlp_certificate.is_some() != self.otlp_key.is_some() {
            let told = "`otlp_certificate` and `otlp_key` go together".to_owned();
            faults.push(("otlp_certificate", told));
        }
        if !(QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX).contains(&self.trace_queue_bytes_max) {
            let told = format!("expected {QUEUE_BYTES_MIN} to {QUEUE_BYTES_MAX}");
            faults.push(("trace_queue_bytes_max", told));
        }
        if let Err(error) = log_filter(&self.log) {
            faults.push(("log", format!("`{}`: {error}", self.log)));
        }
        faults
    }

    /// Host and port, with a path where there may be one.
    fn is_collector(&self, uri: &Uri) -> bool {
        let schemes = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)];
        let has_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        schemes.contains(&uri.scheme())
            && uri.port_u16().is_some()
            && uri.host().is_some_and(|host| !host.is_empty())
            && !(has_path && self.otlp_protocol == OtlpProtocol::Grpc)
    }

    /// The same with its paths starting from `folder`.
    pub(super) fn beside(self, folder: &Path) -> Self {
        let beside = |file: Option<PathBuf>| file.map(|file| folder.join(file));
        Self {
            otlp_ca: beside(self.otlp_ca),
            otlp_certificate: beside(self.otlp_certificate),
            otlp_key: beside(self.otlp_key),
            ..self
        }
    }
}

/// Room for some traces, however few.
const QUEUE_BYTES_MIN: u32 = 64 * 1024;

/// A quarter of what a semaphore counts on the smallest machines, and more than anybody wants to lose at once.
const QUEUE_BYTES_MAX: u32 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<&'static str> {
        let read: Telemetry = toml::from_str(text).unwrap();
        read.faults().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_collector_has_host_and_port_and_over_tls_an_authority() {
        let none: [&str; 0] = [];
        assert_eq!(faults(""), none);
        assert_eq!(faults("otlp = 'http://collector:4317'"), none);
        assert_eq!(faults("otlp = 'https://[::1]:4317'\notlp_ca = 'ca.pem'"), none);
        assert_eq!(faults("otlp = 'http://c:4318/v1/traces'\notlp_protocol = 'http'"), none);
        for odd in ["collector:4317", "https://c:4317", "http://c", "http://c:1/path", "ftp://c:1"]
        {
            assert_eq!(faults(&format!("otlp = '{odd}'")), ["otlp"], "{odd}");
        }
        assert_eq!(faults("otlp_key = 'k.pem'"), ["otlp_certificate"]);
        assert_eq!(
            faults("log = 'gateway=loud'\ntrace_queue_bytes_max = 1"),
            ["trace_queue_bytes_max", "log"]
        );
    }
}
