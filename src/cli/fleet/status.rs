//! `embedgate fleet status`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::ReportedFault;
use crate::cli::output::print;
use crate::cli::remote::{ApiAnswer, Remote, RemoteCall};
use crate::cli::wait::wait_time;
use crate::cli::{CliError, Common};

/// Time in which edges answer, if none is stated.
const USUAL: Duration = Duration::from_secs(1);

/// Digits of a fingerprint that are shown: enough to tell keys apart.
const SHOWN: usize = 8;

/// Arguments of `embedgate fleet status`.
#[derive(Args, Debug)]
pub(in crate::cli) struct StatusArguments {
    /// How long to wait for the answers of edges, such as 500ms or 10s; at most 60s. Left out: 1s.
    #[arg(long, value_name = "TIME", value_parser = wait_time)]
    timeout: Option<Duration>,
    #[command(flatten)]
    remote: Remote,
}

/// Fleet, as the edge that was asked sees it.
#[derive(Debug, Deserialize)]
struct ReceivedFleet {
    bucket: String,
    edge: String,
    connected: bool,
    last_sequence: u64,
    fault: Option<ReportedFault>,
    edges: Vec<ReceivedEdge>,
}

#[derive(Debug, Deserialize)]
struct ReceivedEdge {
    name: String,
    state: String,
    version: Option<String>,
    sequence: Option<u64>,
    age_seconds: Option<u64>,
    sessions: Option<u64>,
    ticket_keys: Option<String>,
    digest: Option<String>,
}

impl ReceivedEdge {
    fn row(&self) -> [String; 7] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            self.name.clone(),
            self.state.clone(),
            or_dash(self.version.clone()),
            or_dash(self.sequence.map(|sequence| sequence.to_string())),
            or_dash(
                self.age_seconds.map(|age| humantime::format_duration(Duration::from_secs(age)).to_string()),
            ),
            or_dash(self.sessions.map(|sessions| sessions.to_string())),
            or_dash(self.ticket_keys.as_ref().map(|keys| keys.chars().take(SHOWN).collect())),
        ]
    }

    /// What its state means for the others.
    fn concern(&self) -> Option<String> {
        let name = &self.name;
        match self.state.as_str() {
            "current" => None,
            "behind" => Some(format!("{name} does not enforce everything yet")),
            "fault" => Some(format!(
                "{name} keeps its rules: the bucket is not the one that it has followed; its own `embedgate fleet status` \
                 tells more"
            )),
            "silent" => Some(format!(
                "{name} does not answer, and saves with --wait wait for it; if it is gone for good: `embedgate fleet forget \
                 {name}`"
            )),
            "stale" => Some(format!(
                "{name} has been silent for so long that it denies by itself: nobody waits for it"
            )),
            state => Some(format!("{name} is {state}")),
        }
    }
}

impl ReceivedFleet {
    /// What is wrong, the most important first.
    fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        if let Some(ReportedFault { code, detail, since }) = &self.fault {
            concerns
                .push(format!("{} has not followed the bucket since {since} ({code}): {detail}", self.edge));
        } else if !self.connected {
            concerns.push(format!("{} can't reach the bucket: what it tells of others is old", self.edge));
        }
        // The edge that was asked has told of its fault already.
        let told = |edge: &&ReceivedEdge| self.fault.is_none() || edge.name != self.edge;
        concerns.extend(self.edges.iter().filter(told).filter_map(ReceivedEdge::concern));
        let keys: BTreeSet<&String> =
            self.edges.iter().filter_map(|edge| edge.ticket_keys.as_ref()).collect();
        if keys.len() > 1 {
            concerns.push(
                "ticket keys differ: a ticket from one edge is refused by another; give all the same tickets.key_file"
                    .to_owned(),
            );
        }
        let mut digests: BTreeMap<u64, BTreeSet<&String>> = BTreeMap::new();
        for edge in &self.edges {
            if let (Some(sequence), Some(digest)) = (edge.sequence, &edge.digest) {
                digests.entry(sequence).or_default().insert(digest);
            }
        }
        let differing = digests.iter().filter(|(_, digests)| digests.len() > 1);
        concerns.extend(differing.map(|(sequence, _)| {
            format!("edges differ in what they enforce at message {sequence}; they compare it with the bucket again")
        }));
        concerns
    }
}

impl fmt::Display for ReceivedFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head =
            ["EDGE", "STATE", "VERSION", "SEQUENCE", "AGE", "SESSIONS", "TICKET KEYS"].map(str::to_owned);
        let rows: Vec<[String; 7]> =
            std::iter::once(head).chain(self.edges.iter().map(ReceivedEdge::row)).collect();
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; 7] = std::array::from_fn(width);
        for row in &rows {
            let [name, state, version, sequence, age, sessions, keys] = row;
            let [of_name, of_state, of_version, of_sequence, of_age, of_sessions, _] = widths;
            writeln!(
                f,
                "{name:of_name$}  {state:of_state$}  {version:of_version$}  {sequence:>of_sequence$}  {age:>of_age$}  \
                 {sessions:>of_sessions$}  {keys}"
            )?;
        }
        write!(f, "bucket {}, last message {}, as {} knows", self.bucket, self.last_sequence, self.edge)?;
        for concern in self.concerns() {
            write!(f, "\n  {concern}")?;
        }
        Ok(())
    }
}

pub(super) fn run(
    common: &Common,
    StatusArguments { timeout, remote }: &StatusArguments,
) -> Result<ExitCode, CliError> {
    let within = timeout.unwrap_or(USUAL);
    let call = RemoteCall::get(format!("/v1/fleet?timeout={}ms", within.as_millis())).waiting(within);
    let fleet: ApiAnswer<ReceivedFleet> = remote.running(common)?.call(&call)?;
    print(common.json, &fleet)?;
    Ok(if fleet.shown.concerns().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn edge(name: &str, state: &str) -> Value {
        json!({ "name": name, "state": state, "version": "0.1.0", "sequence": 1042, "age_seconds": 0, "sessions": 12,
                "ticket_keys": "3f6c9a0712345678", "digest": "aa", "heard_at": "2031-01-31T12:00:00Z" })
    }

    fn fleet(edges: &[Value]) -> ReceivedFleet {
        let fleet = json!({ "bucket": "embedgate-widgets", "edge": "edge-1", "connected": true, "last_sequence": 1042,
                            "fault": null, "edges": edges });
        serde_json::from_value(fleet).unwrap()
    }

    #[test]
    fn a_fleet_in_order_is_a_table() {
        let mut far = edge("frankfurt-10", "current");
        far["age_seconds"] = json!(125);
        let fleet = fleet(&[edge("edge-1", "current"), far]);
        assert_eq!(
            fleet.to_string(),
            "EDGE          STATE    VERSION  SEQUENCE    AGE  SESSIONS  TICKET KEYS\n\
             edge-1        current  0.1.0        1042     0s        12  3f6c9a07\n\
             frankfurt-10  current  0.1.0        1042  2m 5s        12  3f6c9a07\n\
             bucket embedgate-widgets, last message 1042, as edge-1 knows"
        );
        assert!(fleet.concerns().is_empty());
    }

    #[test]
    fn whatever_is_wrong_is_told() {
        let with = |mut edge: Value, field: &str, value: Value| {
            edge[field] = value;
            edge
        };
        let current = || edge("edge-1", "current");
        let other = || edge("edge-2", "current");
        let unknown = json!({ "name": "edge-2", "state": "silent" });
        for (edges, says) in [
            (vec![current(), edge("edge-2", "behind")], "edge-2 does not enforce everything yet"),
            (vec![current(), edge("edge-2", "fault")], "edge-2 keeps its rules"),
            (vec![current(), unknown], "`embedgate fleet forget edge-2`"),
            (vec![current(), edge("edge-2", "stale")], "nobody waits for it"),
            (vec![current(), edge("edge-2", "asleep")], "edge-2 is asleep"),
            (vec![current(), with(other(), "ticket_keys", json!("b"))], "the same tickets.key_file"),
            (vec![current(), with(other(), "digest", json!("b"))], "at message 1042"),
        ] {
            let concerns = fleet(&edges).concerns();
            assert!(concerns.len() == 1 && concerns[0].contains(says), "{says}: {concerns:?}");
        }
        let behind = with(with(edge("edge-2", "behind"), "digest", json!("b")), "sequence", json!(1041));
        assert_eq!(fleet(&[current(), behind]).concerns().len(), 1, "another sequence, another digest");

        let mut cut_off = fleet(&[current(), other()]);
        cut_off.connected = false;
        assert!(cut_off.concerns().concat().contains("edge-1 can't reach the bucket"));
        let mut faulty = fleet(&[edge("edge-1", "fault"), other()]);
        let fault =
            json!({ "code": "bucket_shrunk", "detail": "it ends at 9", "since": "2031-01-31T12:00:00Z" });
        faulty.fault = serde_json::from_value(fault).unwrap();
        let told = faulty.concerns();
        assert!(told.len() == 1 && told[0].contains("(bucket_shrunk): it ends at 9"), "{told:?}");
    }
}
