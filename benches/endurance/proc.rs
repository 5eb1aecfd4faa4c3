//! What the system says of a process.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bench_support::command;
use bench_support::process::output;

/// Resident bytes.
pub fn resident(id: u32) -> Result<u64> {
    Ok(status(id, "VmRSS:")?.trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Threads.
pub fn threads(id: u32) -> Result<usize> {
    Ok(status(id, "Threads:")?.parse()?)
}

/// Open descriptors.
pub fn descriptors(id: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{id}/fd")).context("descriptors")?.count())
}

/// Time that the host of this machine has not given its processors, of all of them, since it was started; nothing where they
/// are its own.
pub fn stolen() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("processors")?;
    let ticks =
        text.lines().next().and_then(|line| line.split_whitespace().nth(8)).context("no stolen time")?;
    // A tick is the same for all programs (`USER_HZ`).
    Ok(Duration::from_millis(10) * ticks.parse::<u32>()?)
}

/// The most descriptors that this process may have, and each that it starts.
pub fn most_descriptors() -> Result<usize> {
    let text = fs::read_to_string("/proc/self/limits").context("limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    Ok(soft.context("no limit on descriptors")?.parse().unwrap_or(usize::MAX))
}

/// Lets this process, and each that it starts, have as many descriptors as the system lets it.
pub fn raise_descriptors() -> Result<()> {
    let text = fs::read_to_string("/proc/self/limits").context("limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)).context("no limit on descriptors")?;
    let id = std::process::id().to_string();
    output(&command!["prlimit", "--pid", id, format!("--nofile={hard}:{hard}")], Path::new(".")).map(drop)
}

fn status(id: u32, name: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).with_context(|| format!("process {id}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.with_context(|| format!("no {name}"))?.trim().to_owned())
}
