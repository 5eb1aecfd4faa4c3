//! What is wrong or doubtful in the settings, before the edge starts.

use std::io::ErrorKind;

use jiff::Timestamp;

use super::demo::Demo;
use super::preparation::Preparation;
use super::sockets::Sockets;
use super::tls::certificate_concerns;
use super::upgrade::UpgradeSocket;
use super::{AppError, systemd, written};
use crate::config::{self, Settings};
use crate::edge::error::EdgeError;
use crate::files::private::IfMissing;

/// What is found without a start.
#[derive(Debug)]
pub struct StartFindings {
    /// Every error that would keep the edge from starting, except those of the rules.
    pub faults: Vec<AppError>,
    /// What is allowed but probably unintended.
    pub warnings: Vec<String>,
}

impl StartFindings {
    /// Whether the rules can't be read for one of these faults, which reading them would only say in other words.
    pub fn keep_rules_from_being_read(&self) -> bool {
        self.faults.iter().any(|fault| match fault {
            // The audit log tells whether a store is lost.
            AppError::Unwritable { key, .. } | AppError::SameFile { key, .. } => {
                key.starts_with("rules.") || *key == "log.audit"
            }
            AppError::Suffixes { .. } | AppError::Unreadable { .. } => true,
            _ => false,
        })
    }
}

/// What a start would find, without its rules. Nothing is made, and nobody can connect.
pub fn findings(settings: &Settings, now: Timestamp) -> StartFindings {
    let prepared = Preparation::of(settings, Demo::unserved(settings), IfMissing::LeftOut);
    let mut faults = prepared.err().unwrap_or_default();
    let mut warnings = warnings(settings, now);
    warnings.extend(written::concerns(settings));
    let tried = Sockets::of_systemd().map(|sockets| sockets.try_others(settings));
    let of_addresses = tried.unwrap_or_else(|fault| vec![fault]);
    let (in_use, others): (Vec<_>, Vec<_>) = of_addresses.into_iter().partition(is_in_use);
    faults.extend(others);
    if UpgradeSocket::is_taken(&settings.edge.upgrade_socket) {
        // An edge of this configuration runs, and has them.
    } else if systemd::is_started_by() {
        // Before a service starts, its socket unit has them, and what is given to the start is not given to this.
        warnings.extend(in_use.iter().map(ToString::to_string));
    } else {
        faults.extend(in_use);
    }
    StartFindings { faults, warnings }
}

fn is_in_use(fault: &AppError) -> bool {
    matches!(fault, AppError::Edge(EdgeError::Listen { source, .. }) if source.kind() == ErrorKind::AddrInUse)
}

/// The settings that are allowed but probably unintended, and those that have no effect with the other settings.
pub(super) fn warnings(settings: &Settings, now: Timestamp) -> Vec<String> {
    let mut warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(config::notices(settings));
    warnings.extend(certificate_concerns(settings, now));
    warnings.extend(written::concern(settings));
    warnings
}
