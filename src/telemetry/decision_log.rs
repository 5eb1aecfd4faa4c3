//! Decision log: one JSON object per line on standard output, and the same to live listeners. It names
//! embedders only by origin, never by the path or query of a page, and it names no visitors.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::queue::{LogFlush, LogQueue};
use embedgate_policy::decision::Decision;
use embedgate_policy::verdict::Verdict;
use jiff::Timestamp;
use tokio::sync::broadcast;

mod bound;

use bound::LineBound;

/// Scope of the decision log: which decisions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// All decisions.
    All = 0,
    /// Denials, and requests that `access: monitor` allowed and `enforce` would deny.
    Denied = 1,
    /// No decisions.
    Off = 2,
}

/// Record of one decision, one line of the log.
#[derive(Debug)]
pub struct DecisionRecord<'a> {
    /// When the request arrived, RFC 3339.
    pub time: Timestamp,
    /// The decision's id; the denied page shows the same one.
    pub decision_id: &'a str,
    /// The requested widget; absent if what the request names is not an id.
    pub widget: Option<&'a str>,
    /// The class of the route.
    pub class: &'a str,
    /// `allow` or `deny`.
    pub verdict: &'a str,
    /// The stable reason code.
    pub reason: &'a str,
    /// The reason code with which `enforce` would deny what `monitor` allowed.
    pub would_deny: Option<&'a str>,
    /// The embedder's origin, `null` if it is opaque; absent if it is unknown or malformed.
    pub embedder: Option<&'a str>,
    /// The error of a malformed `Origin` or `Referer`.
    pub malformed: Option<&'a str>,
    /// The origin that opened the widget, by a genuine ticket. Never the ticket itself.
    pub opened_by: Option<&'a str>,
    /// The error of an invalid ticket.
    pub ticket_fault: Option<&'a str>,
    /// The entry that matched.
    pub entry: Option<String>,
    /// The near miss.
    pub near_miss: Option<String>,
    /// The request method.
    pub method: &'a str,
    /// What else to know: a setting that makes the browser refuse what the edge allows.
    pub hint: Option<&'a str>,
}

/// Buffer size that is enough for most lines, in bytes.
const LINE_BYTES: usize = 512;

impl DecisionRecord<'_> {
    /// The line, without its line end. It is written by hand because a request waits for it, and nearly every
    /// value needs no escaping.
    fn to_line(&self) -> String {
        let mut line = String::with_capacity(LINE_BYTES);
        // Writing to a string can't fail.
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
            ("hint", self.hint),
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
    // No early exit, so that the compiler can check many bytes at once.
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |special, byte| special | is_special(byte)) {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        line.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Number of decisions that a listener may be behind before it misses some.
const LIVE_BACKLOG: usize = 1024;

/// Writer of the decision log. A line that standard output can't take in time is dropped; no request waits
/// for it.
#[derive(Debug)]
pub struct DecisionLog {
    scope: AtomicU8,
    bound: LineBound,
    out: LogQueue,
    /// Number of live listeners. Every request reads it, and it is cheaper than the channel's own count,
    /// which takes a lock.
    listeners: AtomicUsize,
    live: broadcast::Sender<Arc<str>>,
}

/// Live listener: gets every decision as one JSON object, independent of the scope of the log.
#[derive(Debug)]
pub struct DecisionListener {
    log: Arc<DecisionLog>,
    live: broadcast::Receiver<Arc<str>>,
}

impl DecisionListener {
    /// The next decision.
    ///
    /// # Errors
    ///
    /// The number of decisions that were missed because this listener was too slow.
    pub async fn next(&mut self) -> Result<Arc<str>, u64> {
        loop {
            match self.live.recv().await {
                Ok(line) => return Ok(line),
                Err(broadcast::error::RecvError::Lagged(missed)) => return Err(missed),
                // This listener holds the log, so the channel is never closed.
                Err(broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
            }
        }
    }
}

impl Drop for DecisionListener {
    fn drop(&mut self) {
        self.log.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DecisionLog {
    /// Starts the writing thread. `most_per_second`: the number of lines in a second past which they are left out and
    /// summed up; 0: any number.
    pub fn start(scope: Scope, most_per_second: u32, out: impl Write + Send + 'static) -> (Self, LogFlush) {
        let (out, flush) = LogQueue::start(out);
        let (live, _) = broadcast::channel(LIVE_BACKLOG);
        let (scope, bound) = (AtomicU8::new(scope as u8), LineBound::new(most_per_second));
        (Self { scope, bound, out, listeners: AtomicUsize::new(0), live }, flush)
    }

    /// Listens from now on.
    pub fn listen(self: &Arc<Self>) -> DecisionListener {
        let live = self.live.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        DecisionListener { log: Arc::clone(self), live }
    }

    /// Changes which decisions are written.
    pub fn set_scope(&self, scope: Scope) {
        self.scope.store(scope as u8, Ordering::Relaxed);
    }

    /// Changes the number of lines in a second; 0: any number.
    pub fn set_most_per_second(&self, most: u32) {
        self.bound.set(most);
    }

    /// Writes a line about those that were left out since the last call, if there were any.
    pub fn sum_up(&self) {
        if let Some((left_out, time)) = self.bound.take_left_out() {
            let line = format!(
                "{{\"time\":\"{time}\",\"left_out\":{left_out},\"bound\":\"log.decisions_per_second\"}}\n"
            );
            self.out.push(line.as_bytes());
        }
    }

    /// Whether this decision has to be written, to the log or to a listener.
    pub fn wants(&self, decision: &Decision) -> bool {
        self.in_scope(decision.verdict == Verdict::Deny || decision.would_deny.is_some())
            || self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Queues one line, and sends it to live listeners.
    pub fn write(&self, record: &DecisionRecord<'_>) {
        let is_heard = self.listeners.load(Ordering::Relaxed) > 0;
        let is_in_scope =
            self.in_scope(record.verdict == Verdict::Deny.as_str() || record.would_deny.is_some());
        let is_written = is_in_scope && self.bound.admits(record.time);
        if !is_heard && !is_written {
            return;
        }
        let mut line = record.to_line();
        if is_heard {
            // An error means that the last listener has just left.
            let _ = self.live.send(line.as_str().into());
        }
        if is_written {
            line.push('\n');
            self.out.push(line.as_bytes());
        }
    }

    fn in_scope(&self, denied: bool) -> bool {
        let scope = self.scope.load(Ordering::Relaxed);
        scope == Scope::All as u8 || scope == Scope::Denied as u8 && denied
    }

    /// Number of lines that were dropped because standard output was too slow, or could not be written to.
    pub fn dropped(&self) -> u64 {
        self.out.dropped()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::io;

    use super::*;
    use embedgate_policy::verdict::Reason;

    fn decision(verdict: Verdict) -> Decision {
        Decision { verdict, reason: Reason::Exact, would_deny: None, entry: None, near_miss: None }
    }

    fn record(verdict: Verdict, id: &str) -> DecisionRecord<'_> {
        DecisionRecord {
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
            hint: None,
        }
    }

    #[test]
    fn a_line_is_a_json_object() {
        let odd = "a\"b\\c\u{1}d\u{e9}";
        let record = DecisionRecord {
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
        let (log, _guard) = DecisionLog::start(Scope::Off, 0, io::sink());
        let log = Arc::new(log);
        assert!(!log.wants(&decision(Verdict::Deny)));
        let mut listener = log.listen();
        assert!(log.wants(&decision(Verdict::Allow)));
        log.write(&record(Verdict::Allow, "one"));
        assert!(listener.next().await.unwrap().contains("\"decision_id\":\"one\""));
        drop(listener);
        assert!(!log.wants(&decision(Verdict::Deny)));
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_how_many_it_missed() {
        let (log, _guard) = DecisionLog::start(Scope::Off, 0, io::sink());
        let log = Arc::new(log);
        let mut listener = log.listen();
        for id in 0..LIVE_BACKLOG + 3 {
            log.write(&record(Verdict::Deny, &id.to_string()));
        }
        assert_eq!(listener.next().await, Err(3));
        assert!(listener.next().await.unwrap().contains("\"decision_id\":\"3\""));
    }
}
