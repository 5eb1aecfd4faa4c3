//! Every raw figure of a run, as JSON.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::instructions::Count;
use crate::latency::Turn;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::rounds::Round;
use crate::scale::Scale;
use crate::settings::Settings;

/// One run. Parts that weren't measured are empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub settings: Settings,
    pub instructions: Vec<Count>,
    pub rounds: Vec<Round>,
    pub latency: Vec<Turn>,
    #[serde(default)]
    pub memory: Vec<Memory>,
    pub scale: Vec<Scale>,
}

const FILE: &str = "side_by_side.json";

/// The folder with the last run's figures.
pub fn latest() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("side_by_side")
}

impl Report {
    pub fn new(settings: &Settings, machine: Machine) -> Self {
        Self {
            machine,
            settings: settings.clone(),
            instructions: Vec::new(),
            rounds: Vec::new(),
            latency: Vec::new(),
            memory: Vec::new(),
            scale: Vec::new(),
        }
    }

    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text =
            fs::read(&path).with_context(|| format!("{}: run `make bench-peers` first", path.display()))?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        // A line each for the many small records.
        let text = serde_json::to_string(self)?.replace("},{", "},\n{").replace("\":[{", "\":[\n{");
        fs::write(&path, text + "\n").with_context(|| path.display().to_string())
    }
}
