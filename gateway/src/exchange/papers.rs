//! The materials of a filing (申请材料): looked over before anything is claimed, and handed to the registry before the filing
//! that names them. Handing them over files nothing, so whatever becomes of it nothing was sent that could register.

use adapters::FaultCode;
use proto::v1::{Application, Material};

use super::Hearing;
use crate::{
    materials::{Found, Materials, Sha256, Stored, beginning_of},
    refusal::{Code, Refusal},
    registry::Registry,
};

/// A material that was uploaded.
pub(super) struct Uploaded {
    material: Material,
    sha256: Sha256,
    stored: Stored,
}

impl Hearing<'_> {
    /// Looks over the materials of a filing; those that were uploaded are returned, to be handed over.
    pub(super) async fn papers(
        &self,
        application: &Application,
        registry: &Registry,
    ) -> Result<Vec<Uploaded>, Refusal> {
        let (mut uploaded, mut faults) = (Vec::new(), Vec::new());
        for (at, material) in application.materials.iter().enumerate() {
            match self.paper(material, registry).await? {
                Ok(paper) => uploaded.extend(paper),
                Err(wrong) => faults.extend(wrong.into_iter().flat_map(|(code, name)| {
                    self.faults(code, &[format!("materials[{at}].{name}")])
                })),
            }
        }
        if faults.is_empty() {
            return Ok(uploaded);
        }
        faults.sort_by_key(|fault| fault.offset);
        Err(Refusal::of_faults(faults))
    }

    /// Hands to the registry what was uploaded.
    pub(super) async fn hand_in(
        &self,
        papers: Vec<Uploaded>,
        registry: &Registry,
    ) -> Result<(), Refusal> {
        let Some(materials) = &self.gateway.materials else { return Ok(()) };
        for paper in papers {
            self.hand_over(materials, paper, registry).await?;
        }
        Ok(())
    }

    /// One material: what is to be handed over of it, or what is wrong with it at which of its fields.
    async fn paper(
        &self,
        material: &Material,
        registry: &Registry,
    ) -> Result<Result<Option<Uploaded>, Vec<(FaultCode, &'static str)>>, Refusal> {
        if !material.content.is_empty() {
            let wrong = inline(material, self.gateway.inline_material_bytes_max);
            return Ok(if wrong.is_empty() { Ok(None) } else { Err(wrong) });
        }
        if !material.reference.is_empty() {
            let wrong = vec![(FaultCode::FieldForbidden, "reference")];
            return Ok(if registry.takes_references() { Ok(None) } else { Err(wrong) });
        }
        let Some(materials) = &self.gateway.materials else { return Ok(Ok(None)) };
        if material.sha256.is_empty() {
            return Ok(Ok(None));
        }
        let Some(sha256) = Sha256::of_bytes(&material.sha256) else {
            return Ok(Err(vec![(FaultCode::MaterialMismatch, "sha256")]));
        };
        let found = materials.find(self.bank.id(), sha256).await.map_err(|error| {
            tracing::error!(%error, "the store of materials does not work");
            Refusal::retry_same_key(Code::MaterialsUnavailable, self.gateway.ask_again_after)
        })?;
        let Some(Found::Whole(stored)) = found else {
            return Ok(Err(vec![(FaultCode::MaterialUnknown, "sha256")]));
        };
        let size_bytes = i64::try_from(stored.size_bytes).unwrap_or(i64::MAX);
        let mut wrong = Vec::new();
        if material.size_bytes.is_some_and(|said| said != size_bytes) {
            wrong.push((FaultCode::MaterialMismatch, "size_bytes"));
        }
        if !material.media_type.is_empty() && material.media_type != stored.media_type {
            wrong.push((FaultCode::MaterialMismatch, "media_type"));
        }
        if !wrong.is_empty() {
            return Ok(Err(wrong));
        }
        let material = Material {
            size_bytes: Some(size_bytes),
            media_type: stored.media_type.clone(),
            ..material.clone()
        };
        Ok(Ok(Some(Uploaded { material, sha256, stored })))
    }

    async fn hand_over(
        &self,
        materials: &Materials,
        paper: Uploaded,
        registry: &Registry,
    ) -> Result<(), Refusal> {
        let Uploaded { material, sha256, stored } = paper;
        // The filing may wait, and need it once more.
        if let Err(error) = materials.renew(self.bank.id(), sha256, &stored).await {
            tracing::warn!(%error, "a material does not count as uploaded now");
        }
        let bytes = materials.bytes(self.bank.id(), sha256, &stored);
        let caller = self.caller();
        let handing = registry.upload_material(material, bytes, &caller);
        let handed = handing.await;
        handed.map_err(|error| {
            tracing::warn!(registry = registry.name(), %error, "a material was not handed over");
            match error {
                crate::registry::CallError::NoAnswer(_) => {
                    Refusal::retry_same_key(Code::MaterialUndelivered, self.gateway.ask_again_after)
                }
                error => self.untold(&error),
            }
        })
    }
}

/// What is wrong with a material that came in the message itself.
fn inline(material: &Material, bytes_max: usize) -> Vec<(FaultCode, &'static str)> {
    let mut wrong = Vec::new();
    if material.content.len() > bytes_max {
        wrong.push((FaultCode::ValueTooLong, "content"));
    }
    let sha256 = Sha256::of(&material.content);
    if !material.sha256.is_empty() && material.sha256 != sha256.as_bytes() {
        wrong.push((FaultCode::MaterialMismatch, "sha256"));
    }
    let length = i64::try_from(material.content.len()).unwrap_or(i64::MAX);
    if material.size_bytes.is_some_and(|said| said != length) {
        wrong.push((FaultCode::MaterialMismatch, "size_bytes"));
    }
    let beginning = beginning_of(&material.media_type);
    if beginning.is_some_and(|beginning| !material.content.starts_with(beginning)) {
        wrong.push((FaultCode::MaterialMismatch, "media_type"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_the_message_is_what_it_says_and_not_too_much() {
        let content = b"%PDF-1.4".to_vec();
        let right = Material {
            media_type: "application/pdf".into(),
            sha256: Sha256::of(&content).as_bytes().to_vec(),
            size_bytes: Some(8),
            content,
            ..Material::default()
        };
        assert_eq!(inline(&right, 8), Vec::new());
        assert_eq!(inline(&right, 7), [(FaultCode::ValueTooLong, "content")]);
        let wrong = Material {
            media_type: "image/png".into(),
            sha256: vec![1; 32],
            size_bytes: Some(9),
            ..right
        };
        let fields: Vec<_> = inline(&wrong, 8).into_iter().map(|(_, field)| field).collect();
        assert_eq!(fields, ["sha256", "size_bytes", "media_type"]);
    }
}
