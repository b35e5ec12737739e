//! The canonical model: what a bank's message becomes and what a registry receives.
//!
//! Generated messages and the Registry service are in [`v1`]; their descriptors in [`descriptors`],
//! the rules of every field in [`rules`], the canonical JSON in [`golden`]. Beside them stand the
//! exact types of the domain, one noun a file. No I/O and no policy. Sources:
//! `directlink/v1/*.proto`, where each field says its own.

pub mod descriptors;
pub mod golden;
pub mod rules;
pub mod terms;

mod area;
mod case_id;
#[cfg(test)]
mod cases;
mod clock;
mod credit_code;
mod date;
mod division_code;
mod fen;
mod identity_number;
mod institution_id;
mod key;
mod malformed;
mod office_code;
mod resident_id;
mod share;
mod unit_code;

pub use area::AreaDm2;
pub use case_id::CaseId;
pub use clock::Clock;
pub use credit_code::CreditCode;
pub use date::Date;
pub use division_code::DivisionCode;
pub use fen::Fen;
pub use identity_number::{IdentityFault, IdentityNumber};
pub use institution_id::InstitutionId;
pub use key::IdempotencyKey;
pub use malformed::Malformed;
pub use office_code::OfficeCode;
pub use resident_id::ResidentId;
pub use share::Share;
pub use unit_code::UnitCode;

/// The messages and the Registry service of package `directlink.v1`.
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("directlink.v1");
}
