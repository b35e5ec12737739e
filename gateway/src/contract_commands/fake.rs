//! `directlink contract fake`: made-up messages in a bank's own bytes.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use proto::DivisionCode;

use super::{End, folder::Folder, say};

/// What is to be made.
pub(super) struct Wanted<'w> {
    pub(super) message: &'w str,
    pub(super) seed: u64,
    pub(super) count: u64,
    /// Where the properties lie.
    pub(super) division: Option<&'w DivisionCode>,
    /// A folder for one file a message; standard output otherwise.
    pub(super) out: Option<&'w Path>,
}

pub(super) fn fake(folder: &Path, wanted: &Wanted<'_>) -> End {
    let contract = match Folder::contract(folder, &folder.join("cases")) {
        Ok(contract) => contract,
        Err(end) => return end,
    };
    let names: Vec<&str> = contract.messages().map(|(name, _)| name).collect();
    if !names.contains(&wanted.message) {
        let names = names.join(", ");
        return End::Usage(format!("there is no message `{}`: {names}", wanted.message));
    }
    let is_framed = contract.wire().prefix.is_some();
    for number in 0..wanted.count {
        let seed = wanted.seed.wrapping_add(number);
        let bytes = match contract.fake(wanted.message, seed, wanted.division) {
            Ok(bytes) => bytes,
            Err(why) => return End::Wrong(format!("seed {seed}: {} {}\n", why.field, why.reason)),
        };
        if let Err(error) = put(wanted, seed, is_framed, &bytes) {
            return End::Wrong(format!("directlink: {error}\n"));
        }
    }
    End::Fine
}

fn put(wanted: &Wanted<'_>, seed: u64, is_framed: bool, bytes: &[u8]) -> io::Result<()> {
    match wanted.out {
        Some(folder) => {
            fs::create_dir_all(folder)?;
            let file = folder.join(format!("{}-{seed}.bin", wanted.message));
            fs::write(&file, bytes)?;
            say(&file.display().to_string());
        }
        None => {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            // A length before each message tells where it ends; elsewhere a line does.
            if !is_framed && wanted.count > 1 {
                out.write_all(b"\n")?;
            }
            out.flush()?;
        }
    }
    Ok(())
}
