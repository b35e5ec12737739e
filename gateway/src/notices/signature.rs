//! Signatures of notices, as the Standard Webhooks specification says: HMAC-SHA256 over identifier, moment and body, by each
//! secret that holds. Source: standardwebhooks.com, "Signature scheme".

use std::{fmt, path::PathBuf};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

/// The secrets that one subscriber's notices are signed with.
pub(super) struct Secrets(Vec<hmac::Key>);

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} secrets", self.0.len())
    }
}

/// A file holds no secrets. Nothing of what it holds is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSecrets {
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    #[error("line {0} is no secret: expected `whsec_` and 24 to 64 bytes in Base64")]
    NotASecret(usize),
    #[error("holds no secret")]
    Empty,
}

impl Secrets {
    /// Reads all secrets of all files; which file is wrong, if one is.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, (PathBuf, NoSecrets)> {
        let mut keys = Vec::new();
        for file in files {
            let told = |why| (file.clone(), why);
            let text = std::fs::read_to_string(file)
                .map_err(|error| told(NoSecrets::Unreadable(error)))?;
            let before = keys.len();
            for (number, line) in (1..).zip(text.lines()) {
                let line = line.trim();
                if line.is_empty() {
                    continue;
                }
                keys.push(key(line).ok_or_else(|| told(NoSecrets::NotASecret(number)))?);
            }
            if keys.len() == before {
                return Err(told(NoSecrets::Empty));
            }
        }
        Ok(Self(keys))
    }

    /// `webhook-signature`: a signature by each secret, with blanks between. `sent_at`: seconds since 1970.
    pub(super) fn sign(&self, id: &str, sent_at: u64, body: &[u8]) -> String {
        let signed = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{sent_at}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        self.0.iter().map(signed).collect::<Vec<_>>().join(" ")
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn key(line: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(line.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The example of the specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn read(files: &[&str]) -> Result<Secrets, String> {
        let folder = tempfile::tempdir().unwrap();
        let written: Vec<_> = (0..)
            .zip(files)
            .map(|(number, text)| {
                let file = folder.path().join(format!("{number}"));
                fs::write(&file, text).unwrap();
                file
            })
            .collect();
        Secrets::read(&written).map_err(|(_, why)| why.to_string())
    }

    #[test]
    fn the_specifications_example_is_signed_as_there_and_every_secret_signs() {
        let sign = |secrets: Secrets| {
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
        };
        assert_eq!(sign(read(&[SECRET]).unwrap()), SIGNED);
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let both = sign(read(&[&format!("{other}\n\n"), SECRET]).unwrap());
        let (first, second) = both.split_once(' ').unwrap();
        assert!(first != SIGNED && second == SIGNED, "{both}");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let told = |text: &str| read(&[text]).unwrap_err();
        assert_eq!(told("\n"), "holds no secret");
        let short = told(&format!("{SECRET}\nwhsec_aHVzaA==\n"));
        assert!(short.contains("line 2") && !short.contains("aHVzaA"), "{short}");
        assert!(told("hush").contains("line 1"));
    }
}
