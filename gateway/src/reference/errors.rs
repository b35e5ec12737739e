//! docs/errors.md: the codes of refusals, problems and faults, with what is said of each beside it in the code.

use adapters::FaultCode;
use minijinja::{Environment, context};
use proto::v1::{Layer, NextAction, Sent};
use serde::Serialize;
use strum::IntoEnumIterator;

use super::said;
use crate::{
    bank_port,
    refusal::{Code, layer_of},
};

/// One code.
#[derive(Serialize)]
struct Row {
    code: &'static str,
    what: String,
    layer: &'static str,
    sent: &'static str,
    next: &'static str,
}

pub(super) fn page() -> String {
    let refusals: Vec<Row> = Code::iter().map(refusal).collect();
    let faults: Vec<Row> = FaultCode::iter().map(fault).collect();
    let problems: Vec<_> = bank_port::problems().collect();
    let told = context! { refusals, problems, faults };
    let mut environment = Environment::new();
    environment.set_keep_trailing_newline(true);
    // The page stands beside this file: a slip in it is in what this answers, and docs/ differs.
    environment
        .render_str(include_str!("errors.jinja"), told)
        .unwrap_or_else(|slip| slip.to_string())
}

fn refusal(code: Code) -> Row {
    let (sent, next) = code.rule();
    Row {
        code: code.as_str(),
        what: said(&code),
        layer: layer_name(code.layer()),
        sent: sent.as_str_name().trim_start_matches("SENT_"),
        next: next.as_str_name().trim_start_matches("NEXT_ACTION_"),
    }
}

fn fault(code: FaultCode) -> Row {
    Row {
        code: code.as_str(),
        what: said(&code),
        layer: layer_name(layer_of(code)),
        sent: Sent::No.as_str_name(),
        next: NextAction::CorrectAndResend.as_str_name(),
    }
}

fn layer_name(layer: Layer) -> &'static str {
    layer.as_str_name().trim_start_matches("LAYER_")
}
