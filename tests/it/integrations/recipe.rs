//! What docs/integrations.md says of a product, taken out of it: the command, the edge's configuration, the tags.

use std::net::SocketAddr;

use serde_json::{Value, json};
use toml::Table;

use crate::support::edge::EdgeSpec;

const GUIDE: &str = "docs/integrations.md";

/// Where each product listens, in the guide.
const SERVER: &str = "127.0.0.1:7001";

/// One section's code.
pub struct Recipe {
    command: String,
    config: String,
    /// What customers put on their pages.
    pub tags: Vec<String>,
}

impl Recipe {
    /// That of the section with this heading.
    pub fn of(heading: &str) -> Self {
        // A hosted product has no command.
        let one = |language| blocks(heading, language).pop().unwrap_or_default();
        Self { command: one("sh"), config: one("toml"), tags: blocks(heading, "html") }
    }

    /// The same with one line of the configuration replaced, wherever it stands.
    pub fn with(mut self, line: &str, other: &str) -> Self {
        assert!(self.config.contains(line), "no {line} in {}", self.config);
        self.config = self.config.replace(line, other);
        self
    }

    /// The command, for a product that listens at this address.
    pub fn command(&self, addr: SocketAddr) -> String {
        let (_, port) = SERVER.split_once(':').unwrap();
        assert!(self.command.contains(port), "{}", self.command);
        self.command.replace(port, &addr.port().to_string())
    }

    /// An edge in front of it, which logs every decision.
    pub fn edge(&self, addr: SocketAddr, widget: &Value) -> EdgeSpec {
        assert!(self.config.contains(SERVER), "{}", self.config);
        let mut config: Table = self.config.replace(SERVER, &addr.to_string()).parse().unwrap();
        let edge = config.remove("edge").unwrap();
        EdgeSpec {
            public_origins: Some(edge["public_origins"].to_string()),
            more: "[log]\ndecisions = \"all\"\n".to_owned(),
            routes: Some(config.to_string()),
            ..EdgeSpec::stored(&json!([widget]))
        }
    }
}

/// The code in this language of the section with this heading.
pub fn blocks(heading: &str, language: &str) -> Vec<String> {
    let guide = text();
    let mut sections = guide.split("\n## ").filter_map(|section| section.split_once('\n'));
    let found = sections.find(|(title, _)| *title == heading);
    let (_, section) = found.unwrap_or_else(|| panic!("{GUIDE} has no section {heading}"));
    let begin = format!("```{language}\n");
    let blocks = section.split(&begin).skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

/// The widget of all sections.
pub fn widget() -> Value {
    let guide = text();
    let (_, document) = guide.split_once("```json\n").unwrap();
    serde_json::from_str(document.split_once("```").unwrap().0).unwrap()
}

/// The whole guide.
pub fn text() -> String {
    std::fs::read_to_string(GUIDE).unwrap()
}
