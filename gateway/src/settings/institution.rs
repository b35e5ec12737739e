//! Who may file, and for what.

use std::num::NonZeroU32;

/// `[[institution]]`: one that may file, and the one certificate it is known by.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Institution {
    /// Its name in the ledger, metrics and logs: letters, digits, `-` and `_`, at most 64. Never changed once used: the
    /// idempotency keys are kept under it. Required.
    pub id: String,
    /// Its name as registries are told it. Required.
    pub name: String,
    /// `BANK`, `COURT`, `PROVIDENT_FUND` or `OTHER`. Required.
    pub kind: InstitutionKind,
    /// Folder of its contract, inside `contracts.folder`. Required.
    pub contract: String,
    /// `production`, or `test`: then an unknown leaf in a message is refused instead of dropped and counted.
    /// Default: `production`.
    #[serde(default)]
    pub mode: InstitutionMode,
    /// The distinguished name its certificate is issued by, in the certificate's order: `C=CN, O=…, CN=…`. Required.
    pub certificate_issuer: String,
    /// The subject alternative name its certificate holds: a DNS name, a URI or an e-mail address. Required.
    pub certificate_san: String,
    /// Codes its messages may name it by; a message that names another is refused. Default: none, codes are not
    /// compared.
    #[serde(default)]
    pub codes: Vec<String>,
    /// What the names of its lending branches begin with. Default: none.
    #[serde(default)]
    pub mortgagee_names: Vec<String>,
    /// Identity numbers of its lending branches. With either of the two, an application of which none of the lenders is
    /// one of them is refused. Default: none.
    #[serde(default)]
    pub mortgagee_codes: Vec<String>,
    /// Most messages of it that are being answered at a time. Default: `institution_exchanges_max` of `[limits]`.
    pub exchanges_max: Option<usize>,
    /// Most connections of it. Default: `institution_connections_max` of `[limits]`.
    pub connections_max: Option<usize>,
    /// Most messages a second, over a while. Default: `institution_messages_per_second_max` of `[limits]`.
    pub messages_per_second_max: Option<NonZeroU32>,
    /// Most messages at once, after a pause. Default: `institution_messages_burst_max` of `[limits]`.
    pub messages_burst_max: Option<NonZeroU32>,
}

/// What an institution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstitutionKind {
    /// A bank (银行).
    Bank,
    /// A court (法院).
    Court,
    /// A housing provident fund (住房公积金).
    ProvidentFund,
    /// Another institution.
    Other,
}

impl From<InstitutionKind> for proto::v1::InstitutionKind {
    fn from(kind: InstitutionKind) -> Self {
        match kind {
            InstitutionKind::Bank => Self::Bank,
            InstitutionKind::Court => Self::Court,
            InstitutionKind::ProvidentFund => Self::ProvidentFund,
            InstitutionKind::Other => Self::Other,
        }
    }
}

/// Whether an institution is trying things out or doing business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstitutionMode {
    /// An unknown leaf in a message is dropped and counted.
    #[default]
    Production,
    /// An unknown leaf in a message is refused.
    Test,
}

impl From<InstitutionMode> for adapters::Mode {
    fn from(mode: InstitutionMode) -> Self {
        match mode {
            InstitutionMode::Production => Self::Production,
            InstitutionMode::Test => Self::Test,
        }
    }
}

/// `[matters]`: of each matter, the kinds of institution that may ask for it. Default: courts seize, and everybody else
/// does everything else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    missing_docs,
    reason = "a key each for the arms of `Application.matter`, documented there"
)]
pub struct Matters {
    pub mortgage_registration: Vec<InstitutionKind>,
    pub mortgage_discharge: Vec<InstitutionKind>,
    pub mortgage_change: Vec<InstitutionKind>,
    pub mortgage_transfer: Vec<InstitutionKind>,
    pub advance_notice: Vec<InstitutionKind>,
    pub advance_notice_discharge: Vec<InstitutionKind>,
    pub new_home_transfer: Vec<InstitutionKind>,
    pub ownership_transfer: Vec<InstitutionKind>,
    pub ownership_change: Vec<InstitutionKind>,
    pub certificate_reissue: Vec<InstitutionKind>,
    pub seizure: Vec<InstitutionKind>,
}

impl Default for Matters {
    fn default() -> Self {
        let others =
            || vec![InstitutionKind::Bank, InstitutionKind::ProvidentFund, InstitutionKind::Other];
        Self {
            mortgage_registration: others(),
            mortgage_discharge: others(),
            mortgage_change: others(),
            mortgage_transfer: others(),
            advance_notice: others(),
            advance_notice_discharge: others(),
            new_home_transfer: others(),
            ownership_transfer: others(),
            ownership_change: others(),
            certificate_reissue: others(),
            seizure: vec![InstitutionKind::Court],
        }
    }
}
