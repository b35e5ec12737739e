//! Bundles: leaves with all that proves them, in one file, for whoever is to be convinced; and the judgement of such a file,
//! which needs no ledger, no network and no settings.
//!
//! Nothing here believes what a bundle says of itself: leaves are believed for their proofs, proofs for the checkpoint,
//! the checkpoint for a key that whoever judges has from elsewhere. Source of the forms: docs/evidence.md.

use serde::{Deserialize, Serialize};

use super::{
    checkpoint::{Checkpoint, PublicKey, SignedCheckpoint},
    leaf::{Leaf, Part, Salt},
    tree::{self, Hash},
};

/// What is given to whoever is to be convinced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form")]
pub enum Proof {
    /// Exchanges, and that they are in the log.
    #[serde(rename = "directlink-evidence-bundle/v1")]
    Bundle(Bundle),
    /// That the log of a later checkpoint begins with that of an earlier one.
    #[serde(rename = "directlink-evidence-consistency/v1")]
    Consistency(Consistency),
}

/// Exchanges, and that they are in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// A checkpoint that all of them are under.
    pub checkpoint: String,
    /// The exchanges, in the order of the log.
    pub exchanges: Vec<Proved>,
}

/// An exchange, and that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proved {
    /// The place of its leaf.
    pub index: u64,
    /// The leaf's text.
    pub leaf: String,
    /// The leaf's salt in hexadecimal; nothing, if it is erased.
    pub salt: Option<String>,
    /// The inclusion proof (RFC 6962, 2.1.1), in base64.
    pub proof: Vec<String>,
}

/// That one log is the beginning of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consistency {
    /// The earlier checkpoint.
    pub older: String,
    /// The later one.
    pub newer: String,
    /// The consistency proof (RFC 6962, 2.1.2), in base64.
    pub proof: Vec<String>,
}

impl Proof {
    /// Reads a file.
    ///
    /// # Errors
    /// It is neither of the two.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// What was found out about a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Everything that was looked at, in order.
    pub findings: Vec<Finding>,
    /// The checkpoint, if there is one.
    pub checkpoint: Option<Head>,
    /// The exchanges, as far as they could be read.
    pub exchanges: Vec<Read>,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it turned out.
    pub verdict: Verdict,
    /// In English.
    pub english: String,
    /// In Chinese.
    pub chinese: String,
}

/// How something turned out, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It holds, as far as nobody vouched for the key.
    Unvouched,
    /// It does not hold.
    Fails,
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The log's name.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: String,
}

/// An exchange as its leaf tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Read {
    /// The place of its leaf.
    pub index: u64,
    /// Whether it is proved to be in the log.
    pub is_proved: bool,
    /// Whether its salt is there, so that messages can be compared.
    pub is_salted: bool,
    /// The leaf's lines, as name and value.
    pub lines: Vec<(String, String)>,
    /// Files that were found to be a part of it: the part's name, and the file's.
    pub files: Vec<(String, String)>,
}

impl Account {
    /// Whether everything holds.
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().unwrap_or(Verdict::Fails)
    }

    fn add(&mut self, verdict: Verdict, english: String, chinese: String) {
        self.findings.push(Finding { verdict, english, chinese });
    }

    fn holds(&mut self, it_does: bool, english: String, chinese: String) -> bool {
        self.add(if it_does { Verdict::Holds } else { Verdict::Fails }, english, chinese);
        it_does
    }
}

/// What a proof is judged by.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    /// Keys that whoever judges has from elsewhere.
    pub keys: Vec<PublicKey>,
    /// Files that are said to be messages: name and bytes.
    pub messages: Vec<(String, Vec<u8>)>,
    /// That the log went on from the bundle's checkpoint.
    pub newer: Option<Consistency>,
}

impl Judge {
    /// Judges a bundle, or a proof of consistency alone.
    pub fn judge(&self, proof: &Proof) -> Account {
        let mut account = Account { findings: Vec::new(), checkpoint: None, exchanges: Vec::new() };
        match proof {
            Proof::Bundle(bundle) => self.judge_bundle(bundle, &mut account),
            Proof::Consistency(consistency) => {
                self.judge_consistency(consistency, None, &mut account);
            }
        }
        account
    }

    fn judge_bundle(&self, bundle: &Bundle, account: &mut Account) {
        let checkpoint = self.judge_checkpoint(&bundle.checkpoint, account);
        account.checkpoint = checkpoint.as_ref().map(Head::of);
        if bundle.exchanges.is_empty() {
            account.add(
                Verdict::Fails,
                "the bundle has no exchanges".to_owned(),
                "证据包内没有任何交互记录".to_owned(),
            );
        }
        for proved in &bundle.exchanges {
            let read = judge_exchange(proved, checkpoint.as_ref(), account);
            account.exchanges.extend(read);
        }
        self.compare_messages(bundle, account);
        if let Some(newer) = &self.newer {
            self.judge_consistency(newer, checkpoint.as_ref(), account);
        }
    }

    /// What a checkpoint says, if it is one; whoever signed it.
    fn judge_checkpoint(&self, note: &str, account: &mut Account) -> Option<Checkpoint> {
        let signed = match SignedCheckpoint::read(note) {
            Ok(signed) => signed,
            Err(error) => {
                let chinese = "检查点格式不正确".to_owned();
                account.add(Verdict::Fails, error.to_string(), chinese);
                return None;
            }
        };
        let Checkpoint { origin, size, .. } = &signed.checkpoint;
        match signed.signed_by(&self.keys) {
            Some(key) => account.add(
                Verdict::Holds,
                format!("the checkpoint of `{origin}` over {size} leaves is signed by {key}"),
                format!("日志“{origin}”含{size}条记录的检查点由公钥{key}签名，签名有效"),
            ),
            None if self.keys.is_empty() => account.add(
                Verdict::Unvouched,
                format!(
                    "nobody vouches for the signature of the checkpoint of `{origin}` over {size} leaves: no key was given (--key)"
                ),
                format!("未提供公钥（--key），无法确认日志“{origin}”含{size}条记录的检查点由谁签名"),
            ),
            None => account.add(
                Verdict::Fails,
                format!(
                    "the checkpoint of `{origin}` over {size} leaves is signed by none of the keys that were given"
                ),
                format!("日志“{origin}”含{size}条记录的检查点不是由所给公钥中的任何一个签名的"),
            ),
        }
        Some(signed.checkpoint)
    }

    fn judge_consistency(
        &self,
        consistency: &Consistency,
        from: Option<&Checkpoint>,
        account: &mut Account,
    ) {
        let older = self.judge_checkpoint(&consistency.older, account);
        let newer = self.judge_checkpoint(&consistency.newer, account);
        let (Some(older), Some(newer)) = (older, newer) else { return };
        if let Some(from) = from {
            account.holds(
                *from == older || *from == newer,
                "the proof of consistency is about the bundle's own checkpoint".to_owned(),
                "一致性证明涉及本证据包的检查点".to_owned(),
            );
        }
        let proof = hashes(&consistency.proof);
        let is_consistent = older.origin == newer.origin
            && proof.is_some_and(|proof| {
                tree::is_consistent((older.size, older.root), (newer.size, newer.root), &proof)
            });
        let (english, chinese) = match is_consistent {
            true => ("nothing was changed or taken out since then", "此后既有记录未被修改或删除"),
            false => (
                "what was logged then is NOT the beginning of what is logged now",
                "原有记录不是现有日志的开头部分，日志曾被改动",
            ),
        };
        account.holds(
            is_consistent,
            format!("from {} to {} leaves: {english}", older.size, newer.size),
            format!("日志从{}条增长到{}条：{chinese}", older.size, newer.size),
        );
        account.checkpoint.get_or_insert_with(|| Head::of(&newer));
    }

    /// Each file must be a part of some exchange.
    fn compare_messages(&self, bundle: &Bundle, account: &mut Account) {
        for (name, bytes) in &self.messages {
            let mut found = Vec::new();
            for proved in &bundle.exchanges {
                let Some((leaf, salt)) = leaf_of(proved).zip(salt_of(proved)) else { continue };
                let parts = Part::ALL.into_iter();
                let is_it = |part: &Part| leaf.digest(*part) == Some(salt.digest(*part, bytes));
                found.extend(parts.filter(is_it).map(|part| (proved.index, part)));
            }
            for (index, part) in &found {
                let read = account.exchanges.iter_mut().find(|read| read.index == *index);
                read.into_iter()
                    .for_each(|read| read.files.push((part.name().to_owned(), name.clone())));
                account.add(
                    Verdict::Holds,
                    format!("{name} is, byte for byte, what leaf {index} calls `{}`", part.name()),
                    format!("文件{name}与第{index}条记录的“{}”逐字节一致", chinese(*part)),
                );
            }
            if found.is_empty() {
                account.add(
                    Verdict::Fails,
                    format!("{name} is no part of any exchange in the bundle whose salt is there"),
                    format!("文件{name}与证据包内任何尚存盐值的记录都不一致"),
                );
            }
        }
    }
}

/// What a part is called in Chinese.
pub fn chinese(part: Part) -> &'static str {
    match part {
        Part::Received => "银行来文",
        Part::Canonical => "规范化内容",
        Part::RegistryAnswer => "登记机构答复",
        Part::Replied => "对银行的回复",
    }
}

fn judge_exchange(
    proved: &Proved,
    checkpoint: Option<&Checkpoint>,
    account: &mut Account,
) -> Option<Read> {
    let index = proved.index;
    let leaf = match Leaf::read(&proved.leaf) {
        Ok(leaf) => leaf,
        Err(error) => {
            account.add(
                Verdict::Fails,
                format!("leaf {index} cannot be read: {error}"),
                format!("第{index}条记录格式不正确"),
            );
            return None;
        }
    };
    let is_proved = checkpoint.zip(hashes(&proved.proof)).is_some_and(|(checkpoint, proof)| {
        let Checkpoint { size, root, .. } = checkpoint;
        tree::is_included(leaf.text().as_bytes(), index, *size, *root, &proof)
    });
    let (english, chinese) = match is_proved {
        true => ("is in the log, unchanged", "在日志中且未被改动"),
        false => ("is NOT what the log has there", "与日志所载不符"),
    };
    let result = leaf.says("result").or_else(|| leaf.says("act")).unwrap_or_default();
    let heard = leaf.says("heard").unwrap_or_default();
    account.holds(
        is_proved,
        format!("leaf {index} ({heard}, {result}) {english}"),
        format!("第{index}条记录（{heard}，{result}）{chinese}"),
    );
    if proved.salt.is_some() && salt_of(proved).is_none() {
        account.add(
            Verdict::Fails,
            format!(
                "the salt of leaf {index} is none: it is neither erased nor 64 hexadecimal digits"
            ),
            format!("第{index}条记录的盐值格式不正确：既未删除，也不是64位十六进制数"),
        );
    }
    let lines = leaf.lines().map(|(name, value)| (name.to_owned(), value)).collect();
    let is_salted = salt_of(proved).is_some();
    Some(Read { index, is_proved, is_salted, lines, files: Vec::new() })
}

impl Head {
    fn of(checkpoint: &Checkpoint) -> Self {
        let Checkpoint { origin, size, root } = checkpoint;
        Self { origin: origin.clone(), size: *size, root: root.to_string() }
    }
}

fn leaf_of(proved: &Proved) -> Option<Leaf> {
    Leaf::read(&proved.leaf).ok()
}

fn salt_of(proved: &Proved) -> Option<Salt> {
    let mut salt = Salt([0; Salt::BYTES]);
    hex::decode_to_slice(proved.salt.as_ref()?, &mut salt.0).ok()?;
    Some(salt)
}

fn hashes(proof: &[String]) -> Option<Vec<Hash>> {
    proof.iter().map(|text| Hash::read(text)).collect()
}
