//! The decision log: one JSON object a line on standard output, and the same to whoever listens live. It names
//! embedders by origin alone, never the path or query of a page, and no visitor.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use jiff::Timestamp;
use tokio::sync::broadcast;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};

use crate::policy::decision::{Decision, Verdict};

/// Which decisions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Each one.
    All = 0,
    /// Denials, and what a monitored widget would have denied.
    Denied = 1,
    /// None.
    Off = 2,
}

/// One line.
#[derive(Debug)]
pub struct Record<'a> {
    /// When the request arrived, RFC 3339.
    pub time: Timestamp,
    /// The decision's id; the denied page shows the same one.
    pub decision_id: &'a str,
    /// The widget that was asked for; absent when the path names no possible id.
    pub widget: Option<&'a str>,
    /// The class of the route.
    pub class: &'a str,
    /// `allow` or `deny`.
    pub verdict: &'a str,
    /// The stable reason code.
    pub reason: &'a str,
    /// The code with which `enforce` would deny what `monitor` let through.
    pub would_deny: Option<&'a str>,
    /// The embedder's origin, `null` for an opaque one; absent when unknown or malformed.
    pub embedder: Option<&'a str>,
    /// What is wrong with a malformed `Origin` or `Referer`.
    pub malformed: Option<&'a str>,
    /// The origin that opened the widget, as a genuine ticket says. Never the ticket itself.
    pub opened_by: Option<&'a str>,
    /// Why what was presented as a ticket is none.
    pub ticket_fault: Option<&'a str>,
    /// The entry that matched.
    pub entry: Option<String>,
    /// The entry that nearly did.
    pub near_miss: Option<String>,
    /// The request method.
    pub method: &'a str,
}

/// Room for most lines.
const LINE_BYTES: usize = 512;

impl Record<'_> {
    /// The line, without its end. Written field by field: nearly every value is plain, and a request waits for it.
    fn to_line(&self) -> String {
        let mut line = String::with_capacity(LINE_BYTES);
        // Writing into memory does not fail.
        let _ = write!(line, "{{\"time\":\"{}\"", self.time);
        let fields = [
            ("decision_id", Some(self.decision_id)),
            ("widget", self.widget),
            ("class", Some(self.class)),
            ("verdict", Some(self.verdict)),
            ("reason", Some(self.reason)),
            ("would_deny", self.would_deny),
            ("embedder", self.embedder),
            ("malformed", self.malformed),
            ("opened_by", self.opened_by),
            ("ticket_fault", self.ticket_fault),
            ("entry", self.entry.as_deref()),
            ("near_miss", self.near_miss.as_deref()),
            ("method", Some(self.method)),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            line.push_str(",\"");
            line.push_str(name);
            line.push_str("\":");
            push_text(&mut line, value);
        }
        line.push('}');
        line
    }
}

fn push_text(line: &mut String, text: &str) {
    // Without a way out in between, so that many bytes are looked at at once.
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |special, byte| special | is_special(byte)) {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        line.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// How many decisions a listener may be behind before it misses some.
const LIVE_BACKLOG: usize = 1024;

/// The writer. A line that the standard output can't take in time is dropped, never waited for.
#[derive(Debug)]
pub struct DecisionLog {
    scope: AtomicU8,
    out: NonBlocking,
    /// How many listen: asked for every request, and cheaper than the channel's own count, which takes a lock.
    listeners: AtomicUsize,
    live: broadcast::Sender<Arc<str>>,
}

/// Hears every decision as it is made, whatever the scope of the log: one JSON object each.
#[derive(Debug)]
pub struct Listener {
    log: Arc<DecisionLog>,
    live: broadcast::Receiver<Arc<str>>,
}

impl Listener {
    /// The next decision, or how many were missed because this listener was too slow.
    pub async fn next(&mut self) -> Result<Arc<str>, u64> {
        loop {
            match self.live.recv().await {
                Ok(line) => return Ok(line),
                Err(broadcast::error::RecvError::Lagged(missed)) => return Err(missed),
                // The log is held by this listener, so its end of the channel is never gone.
                Err(broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.log.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DecisionLog {
    /// Starts the writing thread; lines still queued are written when the guard is dropped.
    pub fn start(scope: Scope, out: impl Write + Send + 'static) -> (Self, WorkerGuard) {
        let (out, guard) = tracing_appender::non_blocking(out);
        let (live, _) = broadcast::channel(LIVE_BACKLOG);
        (Self { scope: AtomicU8::new(scope as u8), out, listeners: AtomicUsize::new(0), live }, guard)
    }

    /// Listens from now on.
    pub fn listen(self: &Arc<Self>) -> Listener {
        let live = self.live.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener { log: Arc::clone(self), live }
    }

    /// Changes which decisions are written.
    pub fn set_scope(&self, scope: Scope) {
        self.scope.store(scope as u8, Ordering::Relaxed);
    }

    /// Whether anybody wants to know of this decision.
    pub fn wants(&self, decision: &Decision) -> bool {
        self.in_scope(decision.verdict == Verdict::Deny || decision.would_deny.is_some())
            || self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Queues one line, and tells those who listen.
    pub fn write(&self, record: &Record<'_>) -> io::Result<()> {
        let mut line = record.to_line();
        if self.listeners.load(Ordering::Relaxed) > 0 {
            // An error is that the last of them has just gone.
            let _ = self.live.send(line.as_str().into());
        }
        if !self.in_scope(record.verdict == Verdict::Deny.as_str() || record.would_deny.is_some()) {
            return Ok(());
        }
        line.push('\n');
        self.out.clone().write_all(line.as_bytes())
    }

    fn in_scope(&self, denied: bool) -> bool {
        let scope = self.scope.load(Ordering::Relaxed);
        scope == Scope::All as u8 || scope == Scope::Denied as u8 && denied
    }

    /// How many lines were dropped because the standard output was too slow.
    pub fn dropped(&self) -> usize {
        self.out.error_counter().dropped_lines()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::policy::decision::Reason;

    fn decision(verdict: Verdict) -> Decision {
        Decision { verdict, reason: Reason::Exact, would_deny: None, entry: None, near_miss: None }
    }

    fn record(verdict: Verdict, id: &str) -> Record<'_> {
        Record {
            time: Timestamp::UNIX_EPOCH,
            decision_id: id,
            widget: None,
            class: "asset",
            verdict: verdict.as_str(),
            reason: "exact",
            would_deny: None,
            embedder: None,
            malformed: None,
            opened_by: None,
            ticket_fault: None,
            entry: None,
            near_miss: None,
            method: "GET",
        }
    }

    #[test]
    fn a_line_is_a_json_object() {
        let odd = "a\"b\\c\u{1}d\u{e9}";
        let record = Record {
            widget: Some("w"),
            malformed: Some(odd),
            opened_by: Some("https://a.example"),
            ticket_fault: Some("altered"),
            entry: Some("*.example.org".to_owned()),
            ..record(Verdict::Deny, "id")
        };
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00Z",
            "decision_id": "id",
            "widget": "w",
            "class": "asset",
            "verdict": "deny",
            "reason": "exact",
            "malformed": odd,
            "opened_by": "https://a.example",
            "ticket_fault": "altered",
            "entry": "*.example.org",
            "method": "GET",
        });
        assert_eq!(record.to_line(), expected.to_string());
    }

    #[tokio::test]
    async fn listeners_hear_what_the_log_leaves_out_and_cost_nothing_once_gone() {
        let (log, _guard) = DecisionLog::start(Scope::Off, io::sink());
        let log = Arc::new(log);
        assert!(!log.wants(&decision(Verdict::Deny)));
        let mut listener = log.listen();
        assert!(log.wants(&decision(Verdict::Allow)));
        log.write(&record(Verdict::Allow, "one")).unwrap();
        assert!(listener.next().await.unwrap().contains("\"decision_id\":\"one\""));
        drop(listener);
        assert!(!log.wants(&decision(Verdict::Deny)));
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_how_many_it_missed() {
        let (log, _guard) = DecisionLog::start(Scope::Off, io::sink());
        let log = Arc::new(log);
        let mut listener = log.listen();
        for id in 0..LIVE_BACKLOG + 3 {
            log.write(&record(Verdict::Deny, &id.to_string())).unwrap();
        }
        assert_eq!(listener.next().await, Err(3));
        assert!(listener.next().await.unwrap().contains("\"decision_id\":\"3\""));
    }
}
