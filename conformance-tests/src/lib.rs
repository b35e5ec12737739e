//! What holds the gateway to its word: a development PKI, a reference registry, fake banks, and the scenarios that
//! bring them together over real sockets. No product logic: nothing here runs inside a gateway.

pub mod bench;
pub mod browser;
pub mod collector;
pub mod demo;
pub mod deployment;
pub mod fake_bank;
pub mod faulty_network;
pub mod history;
pub mod personal;
pub mod pki;
pub mod postgres_server;
pub mod programme;
pub mod receiver;
pub mod reference_registry;
pub mod reserved_port;
pub mod samples;
pub mod scenario;
pub mod soak;
pub mod tls;
