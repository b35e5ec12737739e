//! Contracts explained: what stands in each message of a bank, and what it means. Without examples: a contract's samples may
//! have been made from what somebody sent.

use std::sync::Arc;

use adapters::{Contract, explain::explain};
use axum::{
    extract::{Path, State},
    response::Response,
};
use minijinja::context;
use serde::Serialize;

use super::{Console, visitor::Asker};
use crate::{exchange::Gateway, explanation::part};

/// A contract in the list.
#[derive(Debug, Serialize)]
struct Served {
    name: String,
    institutions: Vec<String>,
    versions: Vec<Version>,
}

/// One of its versions.
#[derive(Debug, Serialize)]
struct Version {
    name: String,
    from: String,
    to: Option<String>,
    messages: Vec<String>,
}

pub(super) async fn list(State(console): State<Console>, asker: Asker) -> Response {
    let settings = console.settings();
    let make = async |gateway: Arc<Gateway>| {
        let served: Vec<_> = gateway
            .contracts
            .all()
            .into_iter()
            .map(|(name, versions)| Served {
                institutions: settings
                    .institutions
                    .iter()
                    .filter(|it| it.contract == name)
                    .map(|it| it.id.clone())
                    .collect(),
                versions: versions.contracts().map(version).collect(),
                name,
            })
            .collect();
        Ok(Some(context! { place => "contracts", served }))
    };
    console.show_of(&asker, "contracts.html", make).await
}

fn version(contract: &Contract) -> Version {
    let (from, to) = contract.in_force();
    Version {
        name: contract.version().to_owned(),
        from: from.to_owned(),
        to: to.map(str::to_owned),
        messages: contract.messages().map(|(name, _)| name.to_owned()).collect(),
    }
}

pub(super) async fn one(
    State(console): State<Console>,
    asker: Asker,
    Path((name, version)): Path<(String, String)>,
) -> Response {
    let make = async |gateway: Arc<Gateway>| {
        let Some(versions) = gateway.contracts.all().remove(&name) else {
            return Ok(None);
        };
        let Some(contract) = versions.contracts().find(|it| it.version() == version) else {
            return Ok(None);
        };
        let explained = explain(contract, &[]);
        let parts: Vec<_> = explained.iter().map(part).collect();
        let (from, to) = contract.in_force();
        let wire = contract.wire();
        let told = context! {
            name, version, from, to, parts,
            media => format!("{:?}", wire.media).to_uppercase(),
            charset => wire.charset.name(),
            path => wire.http.as_ref().map(|http| http.path.as_str()),
        };
        Ok(Some(context! { place => "contracts", one => told }))
    };
    console.show_of(&asker, "contracts.html", make).await
}
