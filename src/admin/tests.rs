//! What a running edge can't be made to show at will: the time before its data listeners accept, and refusals
//! that grow old.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::activity::reader::{ActivityError, ActivityReader, RefusedEmbedder};
use crate::activity::seen::WidgetActivity;
use crate::limits::limiter::Limiter;
use crate::notifications::notifier::Notifier;
use crate::notifications::remembered::RememberedReader;
use crate::rules::error::SourceError;
use crate::rules::live::LiveRules;
use crate::rules::sessions::{OpenSession, SessionFacts};
use crate::rules::source::SourceKind;
use crate::telemetry::decision_log::Scope;
use crate::telemetry::request_log::{AddressScope, RequestScope};
use crate::telemetry::upstream_servers::UpstreamServer;
use embedgate_policy::ticket::{Ticket, TicketError};
use embedgate_policy::widget::Widget;

/// Tokens of callers.
const WRITE: &str = "write-write-write-write-write-write";
const READ: &str = "read-read-read-read-read-read-read";

pub(super) struct Served {
    pub(super) admin: Arc<Admin>,
    addr: SocketAddr,
}

struct Sessionless;

#[async_trait::async_trait]
impl Reconfigure for Sessionless {
    async fn reload(&self) -> Result<Reconfigured, NotReconfigured> {
        Ok(Reconfigured::default())
    }
}

impl CachedAssets for Sessionless {
    fn purge(&self, _: &str) -> usize {
        0
    }
}

impl ActivityReader for Sessionless {
    fn since(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn widget(&self, _: &str) -> Result<WidgetActivity, ActivityError> {
        Ok(WidgetActivity::default())
    }

    fn page(&self, _: Option<&str>, _: usize) -> Result<Vec<(Box<str>, WidgetActivity)>, ActivityError> {
        Ok(Vec::new())
    }

    fn most_refused(&self) -> Vec<RefusedEmbedder> {
        Vec::new()
    }
}

impl OpenSessions for Sessionless {
    fn of_widget(&self, _: &str) -> Vec<OpenSession> {
        Vec::new()
    }

    fn count_of_widget(&self, _: &str) -> usize {
        0
    }

    fn count(&self) -> usize {
        0
    }
}

impl RememberedReader for Sessionless {
    fn count(&self) -> usize {
        0
    }

    fn of_widget(&self, _: &str) -> Vec<(SessionFacts, usize)> {
        Vec::new()
    }
}

impl UpstreamServers for Sessionless {
    fn servers(&self) -> Vec<UpstreamServer> {
        Vec::new()
    }
}

impl TicketReader for Sessionless {
    fn renewable_for(&self) -> jiff::SignedDuration {
        jiff::SignedDuration::ZERO
    }

    fn read_ticket(&self, _: &str, _: &[u8]) -> Result<Ticket, TicketError> {
        Err(TicketError::UnknownKey)
    }
}

/// An admin listener of an edge that should listen at these addresses.
fn served(data: Vec<SocketAddr>) -> Served {
    served_in(data, None)
}

/// The same in a fleet.
pub(super) fn served_in(data: Vec<SocketAddr>, fleet: Option<Arc<dyn Fleet>>) -> Served {
    served_seeing(data, fleet, Arc::new(Sessionless))
}

/// The same with what was seen.
pub(super) fn served_seeing(
    data: Vec<SocketAddr>,
    fleet: Option<Arc<dyn Fleet>>,
    activity: Arc<dyn ActivityReader>,
) -> Served {
    served_by(data, fleet, activity, Limiter::new(Notifier::new(), Metrics::new().unwrap().limits))
}

/// An admin listener of an edge that has counted this.
pub(super) fn served_counting(limits: Arc<dyn LimitReader>) -> Served {
    served_by(Vec::new(), None, Arc::new(Sessionless), limits)
}

fn served_by(
    data: Vec<SocketAddr>,
    fleet: Option<Arc<dyn Fleet>>,
    activity: Arc<dyn ActivityReader>,
    limits: Arc<dyn LimitReader>,
) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("write {WRITE} operator\nread {READ}\n")).unwrap();
    std::fs::set_permissions(&tokens, Permissions::from_mode(0o600)).unwrap();
    let events = Arc::new(EventFeed::new());
    let (decisions, _) = DecisionLog::start(Scope::Off, 0, Arc::clone(&events), io::sink());
    let (requests, _) = RequestLog::start(RequestScope::Off, AddressScope::Off, 0, io::sink());
    let metrics = Arc::new(Metrics::new().unwrap());
    let admin = Arc::new(Admin {
        limits,
        outbox: Outbox::new(
            &folder.path().join("notify.redb"),
            Arc::clone(&events),
            metrics.notifications.clone(),
        ),
        remembered: Arc::new(Sessionless),
        hosts: vec!["127.0.0.1".to_owned()],
        tokens: Tokens::open(tokens).unwrap(),
        policy: Arc::new(ArcSwap::from_pointee(EdgePolicy::default())),
        suffixes: Arc::new(PublicSuffixes::shipped().clone()),
        answers: Arc::new(ArcSwap::from_pointee(ClassAnswers::from_iter([]))),
        configuration: Arc::new(Sessionless),
        operational: LogQueue::start(io::sink()).0,
        gate: Arc::default(),
        bounds: CallBounds::within(super::MOST_DESCRIPTORS),
        sessions: Arc::new(Sessionless),
        assets: Arc::new(Sessionless),
        upstreams: Arc::new(Sessionless),
        tickets: Arc::new(Sessionless),
        events,
        fleet,
        rules_file: None,
        backup_path: None,
        publisher: Arc::new(Publisher::new(LiveRules::new(), SourceKind::FILE, "w.json")),
        metrics,
        decisions: Arc::new(decisions),
        activity,
        requests: Arc::new(requests),
        certificates: Vec::new(),
        runtimes: Vec::new(),
        readiness: Arc::new(Readiness::new(data)),
        is_secure: false,
        page_sessions: PageSessions::default(),
        minutes: Arc::default(),
        survey: Survey::default(),
        checklists: ChecklistRuns::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = StoppableListener::new(listener, Intake::default()).unwrap();
    tokio::spawn(serve(Arc::clone(&admin), listener, None));
    Served { admin, addr }
}

impl Served {
    /// A call with a token that may write, or may only read.
    pub(super) fn call(&self, method: Method, path: &str, writes: bool) -> reqwest::RequestBuilder {
        let token = if writes { WRITE } else { READ };
        reqwest::Client::new().request(method, format!("http://{}{path}", self.addr)).bearer_auth(token)
    }

    /// The answer to a call with a token that may only read.
    pub(super) async fn read(&self, method: Method, path: &str) -> (u16, Value) {
        let answer = self.call(method, path, false).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The answer to a `POST` with a token that may write.
    pub(super) async fn write(&self, path: &str, body: Option<Value>) -> (u16, Value) {
        let call = self.call(Method::POST, path, true);
        let call = body.iter().fold(call, |call, body| call.json(body));
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.addr)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(super) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    }
}

#[tokio::test]
async fn ready_while_every_data_listener_accepts_and_no_stop_was_asked_for() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    // Bound and let go again: nobody listens there.
    let second = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let served = served(vec![first.local_addr().unwrap(), second]);

    let (status, body) = served.get("/readyz").await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["code"]), (503, &"not_ready".into()));
    assert!(problem["detail"].as_str().unwrap().contains(&second.to_string()), "{problem}");

    let second = TcpListener::bind(second).unwrap();
    assert_eq!(served.get("/readyz").await, (200, "ready\n".to_owned()));
    drop((first, second));
    assert_eq!(served.get("/readyz").await.0, 200, "asked no more once they have accepted");

    served.admin.readiness.stop();
    assert_eq!(served.get("/readyz").await.0, 503);
    assert_eq!(served.get("/livez").await, (200, "alive\n".to_owned()));
}

#[tokio::test]
async fn a_refusal_that_stands_is_a_lag_and_an_absent_file_a_lost_source() {
    let served = served(Vec::new());
    let lag = "embedgate_rules_source_lag_seconds";
    let connected = "embedgate_rules_source_connected";
    let apply = |json: &str| {
        let widget = Widget::parse(json.as_bytes(), PublicSuffixes::shipped()).unwrap();
        served.admin.publisher.replace_all(vec![widget], |fault| fault)
    };
    apply(r#"{"id": "w", "allowed_domains": ["example.com"]}"#).unwrap();
    assert_eq!((served.metric(lag).await, served.metric(connected).await), (0.0, 1.0));

    apply(r#"{"id": "w"}"#).unwrap_err();
    let first = served.metric(lag).await;
    apply(r#"{"id": "w"}"#).unwrap_err();
    let second = served.metric(lag).await;
    assert!(first > 0.0 && second > first, "{first} {second}: it counts from the first refusal");
    assert_eq!(served.metric(connected).await, 1.0);

    let source = Arc::new(io::Error::from(io::ErrorKind::NotFound));
    served.admin.publisher.reject(&SourceError::Unreadable { path: "w.json".into(), source }.into());
    assert_eq!(served.metric(connected).await, 0.0);

    apply(r#"{"id": "w", "allowed_domains": ["example.com"]}"#).unwrap();
    assert_eq!((served.metric(lag).await, served.metric(connected).await), (0.0, 1.0));
}
