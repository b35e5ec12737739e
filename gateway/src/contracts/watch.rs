//! Takes contracts that have changed on disk while the gateway runs.
//!
//! A contract is taken whole or not at all: one that does not pass the check is told, with every complaint, and what was
//! served before is served on. Files are read and contracts compiled on threads of their own; messages meanwhile are
//! read with what there is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{signal::unix::Signal, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Contracts,
    folder::{Contents, Digest},
};
use crate::{
    exchange::Gateway,
    settings::Problem,
    telemetry::{ContractEnd, Metrics},
};

/// Looks at the contracts' folders `every` so often until `stop` is cancelled; at once when `asked`.
///
/// Files are rarely all written in one moment: what has changed is taken once two looks find the same. Whoever asks
/// says that they are.
pub async fn watch(
    gateway: Arc<Gateway>,
    every: Duration,
    mut asked: Signal,
    stop: CancellationToken,
) {
    let mut watch = Watch::default();
    let mut pause = every;
    loop {
        let look = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(()) = asked.recv() => Look::Asked,
            () = sleep(pause) => Look::Routine,
        };
        let gateway = Arc::clone(&gateway);
        let looking = tokio::task::spawn_blocking(move || {
            let is_moving = watch.look(&gateway.contracts, look, &gateway.metrics);
            (watch, is_moving)
        });
        let is_moving;
        (watch, is_moving) = looking.await.unwrap_or_else(|error| {
            tracing::error!(%error, "looking for changed contracts broke");
            Default::default()
        });
        pause = if is_moving { every.min(SETTLING) } else { every };
    }
}

/// How long after a change is first seen it is looked at again.
const SETTLING: Duration = Duration::from_secs(1);

/// Why the folders are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Routine,
    Asked,
}

/// What was seen on disk that is not served, by contract.
#[derive(Debug, Default)]
struct Watch {
    /// Not yet found the same twice.
    moving: HashMap<String, Digest>,
    /// Did not pass; told once.
    refused: HashMap<String, Digest>,
}

impl Watch {
    /// Takes what has changed; says whether something is still changing.
    fn look(&mut self, contracts: &Contracts, look: Look, metrics: &Metrics) -> bool {
        let all = contracts.all();
        self.moving.retain(|name, _| all.contains_key(name));
        let left_out: Vec<_> =
            self.refused.keys().filter(|name| !all.contains_key(*name)).cloned().collect();
        left_out.iter().for_each(|name| self.pass(name, metrics));
        for (name, served) in &all {
            let contents = Contents::read(&contracts.folder.join(name));
            let digest = contents.digest();
            if digest == served.digest {
                self.moving.remove(name);
                self.pass(name, metrics);
                continue;
            }
            if look == Look::Routine {
                if self.refused.get(name) == Some(&digest) {
                    continue;
                }
                if self.moving.insert(name.clone(), digest) != Some(digest) {
                    continue;
                }
            }
            self.moving.remove(name);
            match contracts.take(name, &contents) {
                Ok(versions) => {
                    tracing::info!(
                        contract = name,
                        versions = versions.names(),
                        "a changed contract is served from now on"
                    );
                    metrics.contract(name, ContractEnd::Taken);
                    self.pass(name, metrics);
                }
                Err(problems) => {
                    tell(name, &problems);
                    metrics.contract(name, ContractEnd::Refused);
                    if self.refused.insert(name.clone(), digest).is_none() {
                        metrics.contracts_outdated(1);
                    }
                }
            }
        }
        !self.moving.is_empty()
    }

    /// What is on disk is what is served, or of no account.
    fn pass(&mut self, name: &str, metrics: &Metrics) {
        if self.refused.remove(name).is_some() {
            metrics.contracts_outdated(-1);
        }
    }
}

fn tell(contract: &str, problems: &[Problem]) {
    for Problem { file, line, message } in problems {
        tracing::error!(
            contract,
            file = %file.display(),
            line,
            problem = message,
            "a changed contract is not taken, the one before is served on"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use adapters::Mode;

    use super::super::tests::House;

    use super::*;

    /// A house with one contract, and somebody who looks after it.
    struct Kept {
        house: House,
        contracts: Contracts,
        watch: Watch,
        metrics: Metrics,
    }

    impl Kept {
        fn new() -> Self {
            let house = House::new();
            house.write("", &[]);
            let contracts = house.load().unwrap();
            Self { house, contracts, watch: Watch::default(), metrics: Metrics::new().unwrap() }
        }

        fn look(&mut self, look: Look) -> bool {
            self.watch.look(&self.contracts, look, &self.metrics)
        }

        /// Whether a message with this word is understood.
        fn knows(&self, word: &str) -> bool {
            let live = self.contracts.at("/cases", "2026-03-01").unwrap();
            let message = format!(r#"{{"do":"{word}","serial":"S-1","case":"C-1"}}"#);
            live.told(&message, Mode::Test).1.is_empty()
        }

        fn counted(&self, line: &str) -> bool {
            let text = String::from_utf8(self.metrics.text().unwrap()).unwrap();
            text.lines().any(|told| told == line)
        }
    }

    const ASK: (&str, &str) = ("\"poll\"", "\"ask\"");

    #[test]
    fn a_change_is_taken_once_it_is_found_the_same_twice() {
        let mut kept = Kept::new();
        assert!(!kept.look(Look::Routine));
        kept.house.write("", &[ASK]);
        assert!(kept.look(Look::Routine) && kept.knows("poll"));
        kept.house.write("", &[("\"poll\"", "\"tell\"")]);
        assert!(kept.look(Look::Routine) && kept.knows("poll"), "half written, it may be");
        assert!(!kept.look(Look::Routine) && kept.knows("tell") && !kept.knows("poll"));
        assert!(
            kept.counted(r#"directlink_contracts_changed_total{contract="one",end="taken"} 1"#)
        );
        kept.house.write("", &[ASK]);
        assert!(!kept.look(Look::Asked) && kept.knows("ask"), "whoever asks need not wait");
    }

    #[test]
    fn what_does_not_pass_is_told_once_and_the_old_one_served_on() {
        let mut kept = Kept::new();
        let refused = |times| {
            format!(r#"directlink_contracts_changed_total{{contract="one",end="refused"}} {times}"#)
        };
        kept.house.write("", &[ASK, ("{case_id}", "{no_such_field}")]);
        kept.look(Look::Routine);
        for _ in 0..3 {
            assert!(!kept.look(Look::Routine) && kept.knows("poll"));
            assert!(kept.counted(&refused(1)) && kept.counted("directlink_contracts_outdated 1"));
        }
        fs::remove_dir_all(kept.house.contract()).unwrap();
        assert!(!kept.look(Look::Asked) && kept.knows("poll"));
        assert!(kept.counted(&refused(2)) && kept.counted("directlink_contracts_outdated 1"));
        kept.house.write("", &[ASK]);
        assert!(!kept.look(Look::Asked) && kept.knows("ask"));
        assert!(kept.counted("directlink_contracts_outdated 0"));
    }

    #[test]
    fn how_keys_are_built_does_not_change_while_filings_may_be_under_way() {
        let mut kept = Kept::new();
        kept.house.write("", &[ASK, ("{exchange.serial}\"\n", "K-{exchange.serial}\"\n")]);
        assert!(!kept.look(Look::Asked) && kept.knows("poll") && !kept.knows("ask"));
    }

    #[test]
    fn an_exchange_keeps_the_contract_it_began_with() {
        let mut kept = Kept::new();
        let live = kept.contracts.at("/cases", "2026-03-01").unwrap();
        kept.house.write("", &[ASK]);
        kept.look(Look::Asked);
        let message = r#"{"do":"poll","serial":"S-1","case":"C-1"}"#;
        assert!(live.told(message, Mode::Test).1.is_empty() && !kept.knows("poll"));
    }
}
