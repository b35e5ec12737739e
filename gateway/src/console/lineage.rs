//! Field lineage of a message that an operator hands in: which of its bytes gave each field, and what gave each part of the
//! reply. The message is proved to be the one of that exchange, and not kept.

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use minijinja::context;
use serde::Deserialize;

use super::{Console, acts::Deed, visitor::Asker};
use crate::evidence::{
    act::Act,
    lineage::{NoLineage, lineage},
};

/// What is handed in, as Base64.
#[derive(Deserialize)]
pub(super) struct HandedIn {
    message: String,
    /// The answer; empty, if it is not there.
    #[serde(default)]
    reply: String,
}

pub(super) async fn show(
    State(console): State<Console>,
    asker: Asker,
    Path((institution, key)): Path<(String, String)>,
    Form(handed_in): Form<HandedIn>,
) -> Response {
    let Some(gateway) = console.gateway() else {
        return console.missing(&asker, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    let bytes = |text: &str| BASE64_STANDARD.decode(text.trim().as_bytes()).ok();
    let (sent, reply) = (bytes(&handed_in.message), bytes(&handed_in.reply));
    let Some(sent) = sent.filter(|sent| !sent.is_empty()) else {
        return console.missing(&asker, "no_message", StatusCode::BAD_REQUEST);
    };
    let reply = reply.filter(|reply| !reply.is_empty());
    match gateway.ledger.find(&institution, &key).await {
        Ok(Some(_)) => {}
        Ok(None) => return console.missing(&asker, "nothing", StatusCode::NOT_FOUND),
        Err(error) => return console.ledger_away(&asker, &error),
    }
    let case = Some((institution.as_str(), key.as_str()));
    let deed = Deed { act: Act::Lineage, case, subject: None };
    if !console.note(&gateway, &asker.visitor, deed).await {
        return console.missing(&asker, "unkept", StatusCode::SERVICE_UNAVAILABLE);
    }
    let leaves = match gateway.ledger.leaves_of(&institution, &key).await {
        Ok(leaves) => leaves,
        Err(error) => return console.ledger_away(&asker, &error),
    };
    match lineage(&console.settings(), &institution, &leaves, &sent, reply.as_deref()) {
        Ok(told) => {
            console.show(&asker, "lineage.html", context! { place => "cases", told, institution })
        }
        Err(error) => console.missing(&asker, why(&error), StatusCode::UNPROCESSABLE_ENTITY),
    }
}

fn why(error: &NoLineage) -> &'static str {
    match error {
        NoLineage::Unheard | NoLineage::NotThis(_) | NoLineage::Institution => "other_message",
        NoLineage::NotTheReply | NoLineage::ForeignReply => "other_reply",
        NoLineage::Erased => "erased",
        NoLineage::NotOnDisk { .. } | NoLineage::Faulty(_) => "contract_gone",
        NoLineage::Unread(_) => "unreadable",
    }
}
