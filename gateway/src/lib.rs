//! The gateway between banks' core systems and land registries: ports, identity, routing, ledger, registry client.

pub mod ledger;
