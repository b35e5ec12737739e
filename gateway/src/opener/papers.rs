//! The materials of a filing whose office has moved to another registry while it waited: they were handed to the one before,
//! and go to the new one ahead of the filing, as they would have if it came now.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use adapters::{Fault, FaultCode};
use proto::v1::{Application, Material};

use super::Opener;
use crate::{
    ledger::Entry,
    materials::{Found, Sha256},
    refusal::Refusal,
    registry::{Caller, Registry},
};

/// Materials that this process has handed over: institution, digest, registry.
#[derive(Debug, Default)]
pub(super) struct Handed(Mutex<HashSet<(String, String, String)>>);

/// How many of them are remembered; then it begins anew, and some are handed over once more.
const HANDED_MAX: usize = 10_000;

impl Handed {
    fn has(&self, material: &(String, String, String)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(material)
    }

    fn note(&self, material: (String, String, String)) {
        let mut handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if handed.len() >= HANDED_MAX {
            handed.clear();
        }
        handed.insert(material);
    }
}

/// Why a filing is not sent yet, or never.
pub(super) enum Held {
    /// The store, or the registry, does not take part now.
    Later,
    /// A material is not there any more.
    Refused(Box<Refusal>),
}

impl Opener {
    /// Hands to a registry what was uploaded for a filing.
    pub(super) async fn hand_in(
        &self,
        entry: &Entry,
        application: &Application,
        registry: &Registry,
        caller: &Caller,
    ) -> Result<(), Held> {
        let Some(materials) = &self.gateway.materials else { return Ok(()) };
        for (at, material) in application.materials.iter().enumerate() {
            let is_elsewhere = !material.content.is_empty() || !material.reference.is_empty();
            let Some(sha256) = Sha256::of_bytes(&material.sha256).filter(|_| !is_elsewhere) else {
                continue;
            };
            let this = (entry.institution.clone(), sha256.to_string(), registry.name().to_owned());
            if self.handed.has(&this) {
                continue;
            }
            let found = materials.find(&entry.institution, sha256).await.map_err(|error| {
                tracing::error!(%error, "the store of materials does not work");
                Held::Later
            })?;
            let Some(Found::Whole(stored)) = found else { return Err(gone(at)) };
            let bytes = materials.bytes(&entry.institution, sha256, &stored);
            let material = Material {
                size_bytes: i64::try_from(stored.size_bytes).ok(),
                media_type: stored.media_type.clone(),
                ..material.clone()
            };
            registry.upload_material(material, bytes, caller).await.map_err(|error| {
                tracing::warn!(registry = registry.name(), %error, "a material was not handed over");
                Held::Later
            })?;
            self.handed.note(this);
        }
        Ok(())
    }
}

/// Where it stood in the bank's message nobody knows any more.
fn gone(at: usize) -> Held {
    let fault = Fault {
        code: FaultCode::MaterialUnknown,
        place: String::new(),
        offset: 0,
        field: Some(format!("materials[{at}].sha256")),
        found: None,
        expected: None,
    };
    Held::Refused(Box::new(Refusal::of_faults(vec![fault])))
}
