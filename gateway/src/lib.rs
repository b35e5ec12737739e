//! The gateway between banks' core systems and land registries: ports, identity, routing, ledger, registry client.

pub mod admin_port;
pub mod assembly;
pub mod bank_port;
pub mod capability;
pub mod case;
pub mod contracts;
pub mod discharge_check;
pub mod exchange;
pub mod fault;
pub mod fingerprint;
pub mod hours;
pub mod identity;
pub mod ledger;
pub mod limits;
pub mod matter;
pub mod refusal;
pub mod registry;
pub mod resolver;
pub mod retention;
pub mod retry;
pub mod route;
pub mod settings;
pub mod telemetry;
pub mod tls;
pub mod turnstile;
