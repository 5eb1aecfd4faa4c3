//! `--wait`: a command that changes something ends once every edge of the fleet enforces it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output::note;
use super::remote::RemoteCall;

/// Time to wait if none is stated. The edge takes at most a minute.
const USUAL: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);

/// Options of a change that may wait for the fleet.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct WaitArguments {
    /// Wait until every edge of the fleet enforces the change. It ends with 1, and names those that don't, if that takes
    /// longer than --timeout.
    #[arg(long)]
    wait: bool,
    /// How long to wait, such as 500ms or 10s; at most 60s. Left out: 2s.
    #[arg(long, value_name = "TIME", value_parser = wait_time, requires = "wait")]
    timeout: Option<Duration>,
}

/// A time that an edge takes to wait for others.
pub(super) fn wait_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "write a time such as 500ms or 10s".to_owned())?;
    // The API's times are in whole milliseconds.
    match Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)) {
        time if time.is_zero() || time > LONGEST => Err("write a time from 1ms to 60s".to_owned()),
        time => Ok(time),
    }
}

impl WaitArguments {
    /// Whether the fleet is waited for.
    pub(super) fn is_asked(self) -> bool {
        self.wait
    }

    /// The call, which waits for the fleet if that was asked for.
    pub(super) fn apply_to(self, call: RemoteCall) -> RemoteCall {
        if !self.wait {
            return call;
        }
        let within = self.timeout.unwrap_or(USUAL);
        call.with_query(&format!("wait=fleet&timeout={}ms", within.as_millis())).waiting(within)
    }
}

/// The exit code of a change that these edges do not enforce yet. It names them on standard error.
pub(super) fn exit_code(behind: &[String]) -> ExitCode {
    if behind.is_empty() {
        return ExitCode::SUCCESS;
    }
    note(&format!("not enforced yet by {}; `embedgate fleet status` tells how they are", behind.join(", ")));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_that_the_edge_takes() {
        for (text, millis) in [("1ms", 1), ("500ms", 500), ("2s", 2000), ("1m", 60_000), ("1s 500ms", 1500)] {
            assert_eq!(wait_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "2", "0s", "61s", "1us", "-1s", "soon"] {
            assert!(wait_time(text).is_err(), "{text}");
        }
    }
}
