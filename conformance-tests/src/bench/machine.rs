//! What figures were taken on.

use std::{fs, thread};

/// Processors, system and memory, in one line.
pub fn description() -> String {
    let of = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown");
        value.trim_start_matches([' ', '\t', ':']).trim_end().to_owned()
    };
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpu = of("/proc/cpuinfo", "model name");
    let kernel = of("/proc/sys/kernel/osrelease", "");
    let memory = of("/proc/meminfo", "MemTotal");
    let build = if cfg!(debug_assertions) { "; DEBUG BUILD: figures mean nothing" } else { "" };
    format!("{cores} cores of {cpu}, {memory} of memory, Linux {kernel}{build}")
}
