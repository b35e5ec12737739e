//! Whoever runs the program to change something in the ledger: the leaf that is kept of it, before it is done, as the console
//! keeps one. Commands that only read keep none.

use anyhow::Context;
use gateway::{
    evidence::act::{Act, OperatorAct},
    ledger::Ledger,
    settings::Settings,
};
use time::OffsetDateTime;

/// Keeps who is about to do what in the log of exchanges; what cannot be kept is not done.
pub(crate) async fn note(
    settings: &Settings,
    ledger: &dyn Ledger,
    act: Act,
    subject: &str,
) -> anyhow::Result<()> {
    let done = OperatorAct {
        origin: &settings.evidence.origin,
        institution: None,
        key: None,
        who: &name(),
        by: "command",
        act,
        subject: Some(subject),
        at: OffsetDateTime::now_utc(),
    };
    let kept = ledger.witness(&done.to_keep()?, None).await.leaf;
    kept.context("the act could not be kept in the log of exchanges, and was not done")
}

/// As the shell has it, whoever they turned into last.
fn name() -> String {
    let names = ["SUDO_USER", "LOGNAME", "USER"].into_iter();
    let mut names = names.filter_map(|name| std::env::var(name).ok());
    names.find(|name| !name.is_empty()).unwrap_or_else(|| "nobody named".to_owned())
}
