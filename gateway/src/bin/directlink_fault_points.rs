//! `directlink` with its fault points compiled in, for tests alone: the same program under another name, so that it is
//! never taken for the one that serves banks.

#[path = "../main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
