//! Who may file, and for what.

use std::num::NonZeroU32;

/// `[[institution]]`: who may file; at least one.
///
/// No two institutions may have the same issuer and name. What a refused certificate says is in the log as it is to
/// be written here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Institution {
    /// Its name in the ledger, metrics and logs: letters, digits, `-` and `_`, at most 64. Never changed once used: the
    /// idempotency keys are kept under it.
    pub id: String,
    /// Its name as registries are told it.
    pub name: String,
    /// `BANK`, `COURT`, `PROVIDENT_FUND` or `OTHER`.
    pub kind: InstitutionKind,
    /// Folder of its contract, inside `folder` of `[contracts]`.
    pub contract: String,
    /// `production`, or `test`: an unknown item in a message is refused instead of dropped and counted.
    #[serde(default)]
    pub mode: InstitutionMode,
    /// The distinguished name its certificate is issued by, in the certificate's order: `C=CN, O=…, CN=…`; a `\` before
    /// a `,`, `+` or `\` that belongs to a value.
    pub certificate_issuer: String,
    /// The subject alternative name its certificate holds: a DNS name; with a `:`, a URI; with an `@` and no `:`, an
    /// e-mail address. A name of another kind is not it, even if it reads the same.
    pub certificate_san: String,
    /// Codes its messages may name it by; a message that names another is refused. Default: none.
    #[serde(default)]
    pub codes: Vec<String>,
    /// What the names of its lending branches begin with. Default: none.
    #[serde(default)]
    pub mortgagee_names: Vec<String>,
    /// Identity numbers (统一社会信用代码) of its lending branches. With either key, an application is refused whose lenders
    /// (抵押权人) name none of them; of a mortgage's transfer either side may be it. Default: none.
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
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
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
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

/// `[matters]`: which kinds of institution may ask for what.
///
/// Of each matter a list of kinds, as in `kind` of `[[institution]]`; an empty list is nobody. What is not allowed
/// is refused (`MATTER_NOT_ALLOWED`) before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matters {
    /// First registration of a mortgage 抵押权首次登记.
    pub mortgage_registration: Vec<InstitutionKind>,
    /// Its discharge 注销.
    pub mortgage_discharge: Vec<InstitutionKind>,
    /// Its change 变更.
    pub mortgage_change: Vec<InstitutionKind>,
    /// Its transfer to another lender 转移.
    pub mortgage_transfer: Vec<InstitutionKind>,
    /// Advance notice 预告登记.
    pub advance_notice: Vec<InstitutionKind>,
    /// Its discharge.
    pub advance_notice_discharge: Vec<InstitutionKind>,
    /// Transfer of a new home 新建商品房转移登记.
    pub new_home_transfer: Vec<InstitutionKind>,
    /// Transfer of ownership 转移登记.
    pub ownership_transfer: Vec<InstitutionKind>,
    /// Change of what is recorded of it 变更登记.
    pub ownership_change: Vec<InstitutionKind>,
    /// Reissue of a certificate 补换证.
    pub certificate_reissue: Vec<InstitutionKind>,
    /// Seizure 查封, queued 轮候, renewed 续封 or released 解封.
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
