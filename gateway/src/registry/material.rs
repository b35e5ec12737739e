//! Handing a material to a registry, as a stream, before the filing that names it. A registry knows it by its digest, so it
//! may be handed over as often as one likes; nothing is filed by it.

use std::{future::ready, time::Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use proto::v1::{Material, UploadMaterialRequest, registry_client::RegistryClient};

use super::{CallError, Caller, Registry, gate::Purpose};
use crate::telemetry::RegistryCall;

impl Registry {
    /// Whether it takes a reference to a document that it shares with banks in place of the document.
    pub fn takes_references(&self) -> bool {
        self.settings.shared_documents
    }

    /// Hands over one material, which says its digest and length. If `bytes` fail the registry gets less than it was told
    /// of, and its answer shows it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn upload_material<E: Send + 'static>(
        &self,
        material: Material,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
        caller: &Caller,
    ) -> Result<(), CallError> {
        let (sha256, size_bytes) = (material.sha256.clone(), material.size_bytes);
        let first = UploadMaterialRequest { material: Some(material), chunk: Vec::new() };
        let rest = bytes
            .take_while(|bytes| ready(bytes.is_ok()))
            .filter_map(|bytes| ready(bytes.ok()))
            .map(|bytes| UploadMaterialRequest { material: None, chunk: bytes.to_vec() });
        let pieces = stream::iter([first]).chain(rest);
        let deadline = Instant::now() + self.settings.upload;
        let call = self.call(RegistryCall::UploadMaterial, pieces, caller, deadline);
        let mut client = RegistryClient::new(self.courier.clone());
        let answer = self.answer(call, async |request| {
            let taken = client.upload_material(request).await?.into_inner();
            if taken.sha256 != sha256 || Some(taken.size_bytes) != size_bytes {
                return Err(self.not_believed("another material than was handed over"));
            }
            Ok(())
        });
        self.through_gate(Purpose::Filing, answer).await
    }
}
