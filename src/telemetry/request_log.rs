//! Request log: one JSON object per answered request on standard output, beside the decision log. It names no path, no
//! query and no header field, and of the client its address at most.

use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use super::json_line::JsonLine;
use super::line_bound::LineBound;
use super::queue::{LogFlush, LogQueue};

mod address;

pub use address::AddressScope;

/// Name of the log in its lines and in metrics.
pub const REQUESTS: &str = "requests";

/// Scope of the request log: which requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RequestScope {
    /// All requests.
    All = 0,
    /// Those that were refused or failed, and those whose answer broke off.
    Errors = 1,
    /// No requests.
    Off = 2,
}

/// Request that is over, one line of the log.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// When the request arrived.
    pub time: Timestamp,
    /// The decision's id; absent where nothing was decided, as for a redirect.
    pub decision_id: Option<&'a str>,
    /// The trace that the client says the request is of.
    pub trace_id: Option<&'a str>,
    /// The widget; absent if what the request names is not an id.
    pub widget: Option<&'a str>,
    /// The class of the route; absent without a route.
    pub class: Option<&'a str>,
    /// The request method.
    pub method: &'a str,
    /// `HTTP/1.1`, `HTTP/2` or `websocket`.
    pub protocol: &'a str,
    /// The status; absent where the client got none.
    pub status: Option<u16>,
    /// Number of bytes of the answer's body, or of what a tunnel has brought the browser.
    pub bytes: u64,
    /// From the head of the request to the end of the answer.
    pub took: Duration,
    /// The upstream; absent where none was asked.
    pub upstream: Option<&'a str>,
    /// From the first try at the upstream to the head of its answer, or to its failure.
    pub upstream_took: Option<Duration>,
    /// The kind of the upstream's failure.
    pub failure: Option<&'a str>,
    /// How the answer ended, if it is not complete.
    pub end: Option<&'a str>,
    /// The client's address or network.
    pub client: Option<IpNet>,
}

impl RequestLine<'_> {
    /// The line, without its line end.
    fn to_text(&self) -> String {
        let mut line = JsonLine::new(REQUESTS, self.time);
        line.optional("decision_id", self.decision_id);
        line.optional("trace_id", self.trace_id);
        line.optional("widget", self.widget);
        line.optional("class", self.class);
        line.text("method", self.method);
        line.text("protocol", self.protocol);
        if let Some(status) = self.status {
            line.number("status", status.into());
        }
        line.number("bytes", self.bytes);
        line.number("duration_us", micros(self.took));
        line.optional("upstream", self.upstream);
        if let Some(took) = self.upstream_took {
            line.number("upstream_us", micros(took));
        }
        line.optional("failure", self.failure);
        line.optional("end", self.end);
        if let Some(client) = self.client {
            line.text("client", &address::text(client));
        }
        line.into_text()
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Writer of the request log. A line that standard output can't take in time is dropped; no request waits for it.
#[derive(Debug)]
pub struct RequestLog {
    scope: AtomicU8,
    address: AtomicU8,
    bound: LineBound,
    out: LogQueue,
}

impl RequestLog {
    /// Starts the writing thread. `most_per_second`: the number of lines in a second past which they are left out and
    /// summed up; 0: any number.
    pub fn start(
        scope: RequestScope,
        address: AddressScope,
        most_per_second: u32,
        out: impl Write + Send + 'static,
    ) -> (Self, LogFlush) {
        let (out, flush) = LogQueue::start(out);
        let (scope, address) = (AtomicU8::new(scope as u8), AtomicU8::new(address as u8));
        (Self { scope, address, bound: LineBound::new(most_per_second), out }, flush)
    }

    /// Changes which requests are written, and what of a client's address.
    pub fn set_scope(&self, scope: RequestScope, address: AddressScope) {
        self.scope.store(scope as u8, Ordering::Relaxed);
        self.address.store(address as u8, Ordering::Relaxed);
    }

    /// Changes the number of lines in a second; 0: any number.
    pub fn set_most_per_second(&self, most: u32) {
        self.bound.set(most);
    }

    /// Whether a request has a line. `failed`: it was refused, failed, or its answer broke off.
    #[inline]
    pub fn wants(&self, failed: bool) -> bool {
        let scope = self.scope.load(Ordering::Relaxed);
        scope == RequestScope::All as u8 || scope == RequestScope::Errors as u8 && failed
    }

    /// What is written of a client's address.
    pub fn address(&self) -> AddressScope {
        AddressScope::of(self.address.load(Ordering::Relaxed))
    }

    /// Queues one line, unless this second has had its lines.
    pub fn write(&self, line: &RequestLine<'_>, now: Timestamp) {
        if self.bound.admits(now) {
            let mut line = line.to_text();
            line.push('\n');
            self.out.push(line.as_bytes());
        }
    }

    /// Writes a line about those that were left out since the last call, if there were any.
    pub fn sum_up(&self) {
        if let Some((left_out, time)) = self.bound.take_left_out() {
            let line = JsonLine::left_out(REQUESTS, time, left_out, "log.requests_per_second");
            self.out.push(format!("{line}\n").as_bytes());
        }
    }

    /// Number of lines that were dropped because standard output was too slow, or could not be written to.
    pub fn dropped(&self) -> u64 {
        self.out.dropped()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;

    use super::*;

    #[test]
    fn a_line_has_what_there_is_and_nothing_else() {
        let line = RequestLine {
            time: Timestamp::UNIX_EPOCH,
            decision_id: Some("id"),
            trace_id: None,
            widget: Some("w"),
            class: Some("session"),
            method: "GET",
            protocol: "HTTP/2",
            status: Some(502),
            bytes: 120,
            took: Duration::from_micros(1_234),
            upstream: Some("app"),
            upstream_took: Some(Duration::from_millis(1)),
            failure: Some("connect_refused"),
            end: None,
            client: AddressScope::Truncated.of_client("203.0.113.7".parse().unwrap()),
        };
        let expected = serde_json::json!({
            "log": "requests", "time": "1970-01-01T00:00:00.000000Z", "decision_id": "id", "widget": "w",
            "class": "session", "method": "GET", "protocol": "HTTP/2", "status": 502, "bytes": 120, "duration_us": 1234,
            "upstream": "app", "upstream_us": 1000, "failure": "connect_refused", "client": "203.0.113.0/24",
        });
        assert_eq!(line.to_text(), expected.to_string());
    }

    #[test]
    fn the_scope_says_which_requests_are_written() {
        let (log, _) = RequestLog::start(RequestScope::All, AddressScope::Off, 0, io::sink());
        for (scope, wanted) in [
            (RequestScope::All, [true, true]),
            (RequestScope::Errors, [false, true]),
            (RequestScope::Off, [false, false]),
        ] {
            log.set_scope(scope, AddressScope::Full);
            assert_eq!([false, true].map(|failed| log.wants(failed)), wanted, "{scope:?}");
            assert_eq!(log.address(), AddressScope::Full);
        }
    }
}
