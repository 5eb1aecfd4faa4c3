//! Where and with what it was measured.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::peers::Peer;
use crate::{command, process};

/// What figures have to be read with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// RFC 3339, UTC.
    pub date: String,
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    pub compiler: String,
    /// What every peer and tool says its version is.
    pub versions: Vec<(String, String)>,
}

pub fn describe(peers: &[Peer]) -> Result<Machine> {
    let here = Path::new(".");
    let line = |command: &[std::ffi::OsString]| {
        let said = process::output(command, here).unwrap_or_default();
        said.lines().next().unwrap_or_default().trim().to_owned()
    };
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim_matches([' ', '\t', ':']).to_owned()
    };
    let kilobytes = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let mut versions = Vec::new();
    for peer in peers {
        versions.push((peer.title().to_owned(), peer.version()?));
    }
    versions.push(("valgrind".to_owned(), line(&command!["valgrind", "--version"])));
    versions.push(("oha".to_owned(), line(&command![crate::latency::program(), "--version"])));
    Ok(Machine {
        date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        processor: field("/proc/cpuinfo", "model name"),
        cores: fs::read_to_string("/proc/cpuinfo")?.matches("processor\t").count(),
        memory_bytes: kilobytes * 1024,
        kernel: line(&command!["uname", "-sr"]),
        compiler: line(&command!["rustc", "--version"]),
        versions,
    })
}
