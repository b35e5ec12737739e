//! `directlink contract …`: what an integration engineer does with a contract before a bank is let in.
//!
//! Each command reads files, asks `adapters`, and says what came of it. What a contract means is decided there; nothing
//! here knows a bank. Documented with real output in docs/contract-tools.md.

mod check;
mod folder;
mod golden;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum ContractCommand {
    /// Compile contracts and say all that is wrong with them: file, line, column. 检查合约
    ///
    /// Refused is everything in docs/contract-language.md, "The checker". All complaints come at once, on standard
    /// error.
    #[command(after_help = AFTER_CHECK)]
    Check {
        /// Folders that hold a contract.toml. 合约目录
        #[arg(required = true, value_name = "DIR")]
        folders: Vec<PathBuf>,
    },
    /// Run a contract's golden cases and show what differs. 运行样例
    ///
    /// Every request must decode to its canonical JSON, every answer be written byte for byte, every odd message give the
    /// faults listed for it. How the folder of cases is laid out is told in contracts/README.md. The last line is always
    /// `N passed, N failed`.
    #[command(after_help = AFTER_TEST)]
    Test {
        /// Folders that hold a contract.toml. 合约目录
        #[arg(required = true, value_name = "DIR")]
        folders: Vec<PathBuf>,
        /// Another folder of the same layout as DIR/cases. 样例目录
        #[arg(long, value_name = "DIR")]
        cases: Option<PathBuf>,
    },
}

const AFTER_CHECK: &str = "\
Examples 示例:
  directlink contract check contracts/banks/*        every contract of a tree, as CI does
  directlink contract check contracts/banks/mybank   one, while writing it

Exit codes 退出码:
  0  nothing is wrong 无误
  1  something is wrong, and was told 有误
  2  the command line was not understood, or names what is not there 命令行有误";

const AFTER_TEST: &str = "\
Examples 示例:
  directlink contract test contracts/banks/*
  directlink contract test contracts/banks/mybank --cases ../samples-of-mybank

Exit codes 退出码:
  0  every case holds 全部通过
  1  a case does not hold, or the contract does not pass its check 有未通过
  2  the command line was not understood, or names what is not there 命令行有误";

/// How a command ended, with what is still to be said on standard error.
enum End {
    Fine,
    Wrong(String),
    Usage(String),
}

/// Does what the command says.
pub(crate) fn run(command: ContractCommand) -> ExitCode {
    let end = match command {
        ContractCommand::Check { folders } => check::check(&folders),
        ContractCommand::Test { folders, cases } => golden::test(&folders, cases.as_deref()),
    };
    let (code, told) = match end {
        End::Fine => (0, String::new()),
        End::Wrong(told) => (1, told),
        End::Usage(told) => (2, format!("directlink: {told}\n")),
    };
    // Nobody can be told if standard error is gone.
    let _unsaid = write!(io::stderr(), "{told}");
    ExitCode::from(code)
}

/// Says it to whoever runs the program.
fn say(text: &str) {
    // Nobody can be told if standard output is gone.
    let _unsaid = writeln!(io::stdout(), "{text}");
}

/// Whether colours would be seen on standard error.
fn in_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
