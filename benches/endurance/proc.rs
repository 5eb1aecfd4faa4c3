//! What the system says of a process.

use std::fs;

use anyhow::{Context, Result};

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

fn status(id: u32, name: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).with_context(|| format!("process {id}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.with_context(|| format!("no {name}"))?.trim().to_owned())
}
