//! The gateway between banks' core systems and land registries: ports, identity, routing, ledger, registry client.

pub mod identity;
pub mod ledger;
pub mod limits;
pub mod settings;
pub mod tls;
