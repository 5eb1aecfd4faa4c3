//! Errors and warnings of a configuration, with their place.

use std::fmt;
use std::sync::Arc;

/// Place of a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigPlace {
    /// The file as a whole.
    File(Arc<str>),
    /// A place in the file; line and column (in characters) count from 1.
    Line {
        /// The name of the file, as given.
        file: Arc<str>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable, by its name.
    Variable(Arc<str>),
}

/// `conf/embedgate.toml:12:5`, the file alone, or the variable's name.
impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(file),
            Self::Line { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Error in a configuration, or (as a warning) something that is probably unintended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigFault {
    /// The place.
    pub place: ConfigPlace,
    /// What is wrong and what would be right, in one line.
    pub detail: String,
}

/// `conf/embedgate.toml:12:5: unknown key 'lisen' in [edge]; did you mean 'listen'?`
impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)
    }
}

/// Error with every fault of one configuration, at least one, in the order of the file, variables last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<ConfigFault>);

impl ConfigError {
    pub(super) fn new(mut faults: Vec<ConfigFault>) -> Self {
        faults.sort();
        faults.dedup();
        Self(faults)
    }

    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        let detail = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "no such file; name the configuration with --config FILE".to_owned()
            }
            std::io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
            _ => format!("can't be read: {error}"),
        };
        Self(vec![ConfigFault { place: ConfigPlace::File(file.into()), detail }])
    }

    /// The faults.
    pub fn faults(&self) -> &[ConfigFault] {
        &self.0
    }
}

/// One line for each fault.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
