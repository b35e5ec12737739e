//! `directlink contract …`: what an integration engineer does with a contract before a bank is let in.
//!
//! Each command reads files, asks `adapters`, and says what came of it. What a contract means is decided there; nothing
//! here knows a bank. Documented with real output in docs/contract-tools.md.

mod check;
mod difference;
mod draft;
mod explain;
mod fake;
mod folder;
mod golden;
mod openapi;
mod trial;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use adapters::Mode;
use clap::{Subcommand, ValueEnum};
use proto::DivisionCode;

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
    /// Decode one real message and print what it means and where each value came from; or its faults. 试读报文
    ///
    /// The faults are told as the bank would read them, and the refusal is written as the bank would get it. Nothing is
    /// sent.
    #[command(after_help = AFTER_TRY)]
    Try {
        /// The folder that holds the contract.toml. 合约目录
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The message as the bank sends it, length prefix included. 报文文件
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// In test an item nobody agreed on is a fault, in production it is dropped. 模式
        #[arg(long, value_enum, default_value = "test")]
        mode: Trial,
    },
    /// Print a contract as a table: the bank's name, the canonical field, format, mandatory, example. 合约对照表
    ///
    /// Examples come from DIR/cases, if there are any.
    #[command(after_help = AFTER_EXPLAIN)]
    Explain {
        /// The folder that holds the contract.toml. 合约目录
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only this message. 报文名
        #[arg(value_name = "MESSAGE")]
        message: Option<String>,
        /// One self-contained HTML page instead of Markdown.
        #[arg(long)]
        html: bool,
    },
    /// Print the OpenAPI 3.1 document of a contract whose messages are whole HTTP requests. 生成OpenAPI文档
    ///
    /// The gateway serves the same at /openapi.json to the contract's institutions. Examples come from DIR/cases, if
    /// there are any.
    #[command(after_help = AFTER_OPENAPI)]
    Openapi {
        /// The folder that holds the contract.toml. 合约目录
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Tell what a bank would notice between two versions of its contract. 版本差异
    ///
    /// BREAKING is what hurts a bank that goes on as before: a message, leaf or code it sends that is no longer read or
    /// means another thing, something new that it must send, another form of what it is answered, another wire or key.
    /// Harmless is what it may use or not: a new message, an optional leaf, a code more.
    #[command(after_help = AFTER_DIFF)]
    Diff {
        /// The contract as it was. 旧合约
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The contract as it is to be. 新合约
        #[arg(value_name = "NEW")]
        new: PathBuf,
    },
    /// Write a first contract from raw samples: holes proposed by names, by the form of values, by known codes. 起草合约
    ///
    /// A proposal is for a person to read: what could not be placed is marked, and `contract check` refuses the marks.
    /// Answers cannot be told from requests and are left to be written.
    #[command(after_help = AFTER_DRAFT)]
    Draft {
        /// Messages as the bank sends them, one a file, length prefix included. 样例报文
        #[arg(long = "like", required = true, num_args = 1.., value_name = "SAMPLE")]
        samples: Vec<PathBuf>,
        /// The bank's name, for people. 银行名称
        #[arg(long, value_name = "NAME")]
        bank: String,
        /// What all these messages are about, as application.mortgage_discharge; otherwise each is about what its names
        /// tell. 事项
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// The folder to write into; nothing in it is overwritten. Otherwise everything is printed. 输出目录
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make up valid messages in the bank's own bytes, for load and for tests. 生成模拟报文
    ///
    /// One seed is one message, always the same. Check digits, days and rules hold, and the contract itself reads the
    /// message back before it is handed out. Nobody real is meant.
    #[command(after_help = AFTER_FAKE)]
    Fake {
        /// The folder that holds the contract.toml. 合约目录
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The message's name in contract.toml. 报文名
        #[arg(value_name = "MESSAGE")]
        message: String,
        /// Which message. 种子
        #[arg(long, value_name = "N")]
        seed: u64,
        /// How many, with the seeds that follow. 条数
        #[arg(long, value_name = "N", default_value_t = 1)]
        count: u64,
        /// Where the properties lie, 6 digits, so that a gateway finds their office; anywhere if left out. 行政区划代码
        #[arg(long, value_name = "CODE", value_parser = DivisionCode::parse)]
        division: Option<DivisionCode>,
        /// A folder for one file a message; otherwise they follow each other on standard output, as on one connection (a
        /// line each where there is no length prefix). 输出目录
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// Whether a bank is trying things out or doing business.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Trial {
    Test,
    Production,
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

const AFTER_TRY: &str = "\
Examples 示例:
  directlink contract try contracts/banks/mybank message.bin
  directlink contract try contracts/banks/mybank message.bin --mode production

Exit codes 退出码:
  0  it was understood 已读懂
  1  it has faults, which were told 报文有误
  2  the command line was not understood, or names what is not there 命令行有误";

const AFTER_OPENAPI: &str = "\
Examples 示例:
  directlink contract openapi contracts/standard > openapi.json

Exit codes 退出码:
  0  it was written 已生成
  1  the contract does not pass its check 合约有误
  2  the command line was not understood, or the contract has nothing to describe 命令行有误";

const AFTER_EXPLAIN: &str = "\
Examples 示例:
  directlink contract explain contracts/banks/mybank > mybank.md
  directlink contract explain contracts/banks/mybank first
  directlink contract explain contracts/banks/mybank --html > mybank.html

Exit codes 退出码:
  0  it was written 已生成
  1  the contract does not pass its check 合约有误
  2  the command line was not understood, or names what is not there 命令行有误";

const AFTER_DIFF: &str = "\
Examples 示例:
  directlink contract diff contracts/banks/mybank-1 contracts/banks/mybank-2

Exit codes 退出码:
  0  nothing, or nothing that breaks 无不兼容
  1  something breaks, or a contract does not pass its check 有不兼容
  2  the command line was not understood, or names what is not there 命令行有误";

const AFTER_FAKE: &str = "\
Examples 示例:
  directlink contract fake contracts/banks/mybank first --seed 1 > first.bin
  directlink contract fake contracts/banks/mybank first --seed 1 --count 1000 --division 140105 --out load/

Exit codes 退出码:
  0  they were made 已生成
  1  they could not be made, or the contract does not pass its check 有误
  2  the command line was not understood, or names what is not there 命令行有误";

const AFTER_DRAFT: &str = "\
Examples 示例:
  directlink contract draft --like samples/*.xml --bank 某某银行 --out contracts/banks/mybank
  directlink contract draft --like samples/discharge*.xml --bank 某某银行 --subject application.mortgage_discharge
  directlink contract check contracts/banks/mybank    what is still to be decided

Exit codes 退出码:
  0  it was written 已生成
  1  a sample is no document, nothing is about that subject, or a file is there already 样例有误
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
        ContractCommand::Try { folder, file, mode } => {
            let mode = match mode {
                Trial::Test => Mode::Test,
                Trial::Production => Mode::Production,
            };
            trial::try_message(&folder, &file, mode)
        }
        ContractCommand::Explain { folder, message, html } => {
            let style = if html { explain::Style::Html } else { explain::Style::Markdown };
            explain::explain_contract(&folder, message.as_deref(), style)
        }
        ContractCommand::Openapi { folder } => openapi::describe(&folder),
        ContractCommand::Fake { folder, message, seed, count, division, out } => {
            let wanted = fake::Wanted {
                message: &message,
                seed,
                count,
                division: division.as_ref(),
                out: out.as_deref(),
            };
            fake::fake(&folder, &wanted)
        }
        ContractCommand::Draft { samples, bank, subject, out } => {
            draft::draft_contract(&bank, subject.as_deref(), &samples, out.as_deref())
        }
        ContractCommand::Diff { old, new } => difference::diff(&old, &new),
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
