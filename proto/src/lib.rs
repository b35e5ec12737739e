//! The canonical model: what a bank's message becomes and what a registry receives.
//!
//! Generated messages and the Registry service are in [`v1`]; their descriptors, with the rules of every field,
//! in [`descriptors`]. No I/O and no policy. Sources: `directlink/v1/*.proto`, where each field says its own.

pub mod descriptors;

/// The messages and the Registry service of package `directlink.v1`.
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::large_futures,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("directlink.v1");
}
