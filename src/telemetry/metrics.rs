//! Metrics: all names in one place. Prometheus text format, prefix `embedgate_`, base units (seconds, bytes).
//!
//! No label has a widget's id, an origin or a path, because visitors could grow the number of its values
//! without bound. The hot path finds each counter once, at its first use; from then on, counting is one
//! atomic addition.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use embedgate_policy::decision::Decision;
use embedgate_policy::verdict::Class;

mod activity;
mod admin;
mod brake;
mod certificates;
mod connections;
mod decisions;
mod fleet;
mod handshakes;
mod http2_endings;
mod life;
mod limits;
mod logs;
mod notifications;
mod registration;
mod remembered;
mod reports;
mod rules;
mod tickets;
mod traffic;
mod upstreams;

use decisions::DecisionMetrics;
use registration::{Families, counters, gauge, gauges, histograms, register};
use tickets::TicketCounter;

pub use activity::ActivityMetrics;
pub use admin::UnauthorizedCounter;
pub use brake::BrakeCounter;
pub use certificates::ExpiryGauge;
pub use connections::{ConnectionMetrics, ConnectionRefusal, ListenerGauge, OpenConnection};
pub use fleet::FleetMetrics;
pub use handshakes::{HandshakeCounter, HandshakeOutcome};
pub use http2_endings::{Http2Ending, Http2EndingCounter};
pub use life::AttemptCounter;
pub use limits::LimitMetrics;
pub use logs::DroppedLines;
pub use notifications::{NOTIFICATION_KINDS, NotificationMetrics, NotificationOutcome, NotificationTotals};
pub use remembered::{RememberedMetrics, RememberedOutcome};
pub use reports::{ReportCounter, ReportOutcome};
pub use tickets::TicketOutcome;
pub use traffic::TrafficTotals;
pub use upstreams::{AnswerDuration, HealthGauge, UpstreamMetrics};

const NAMESPACE: &str = "embedgate";
const STATUSES: std::ops::Range<u16> = 100..600;

/// Bucket bounds of revocation times, in seconds. One of them is the promised maximum, 50 ms.
const REVOCATION_BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Class labels: those of routes, and `none` for requests that no route takes.
const CLASSES: [&str; 5] = ["asset", "frame", "session", "public", "none"];

/// Outcome of one request at the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Answered from memory.
    Hit,
    /// Answered from memory with a stale answer: its upstream failed, or another request was revalidating it.
    Stale,
    /// Answered from memory after the upstream confirmed the stored answer.
    Revalidated,
    /// Answered by the upstream; the answer is stored if it may be.
    Miss,
    /// Not for the cache: the request is conditional, or its answers can't be stored.
    Bypass,
}

const CACHE_OUTCOMES: [&str; 5] = ["hit", "stale", "revalidated", "miss", "bypass"];

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    families: Families,
    decisions: DecisionMetrics,
    requests: IntCounterVec,
    requests_by_status: Vec<OnceLock<IntCounter>>,
    request_duration: Vec<Histogram>,
    /// `upstream_errors_total{upstream,kind}`, `upstream_healthy{upstream,server}` and
    /// `upstream_duration_seconds{upstream}`.
    pub upstreams: UpstreamMetrics,
    /// `rules_generation`: version of the rule book in force.
    pub rules_generation: IntGauge,
    /// `rules_widgets{environment,access}`.
    pub rules_widgets: IntGaugeVec,
    /// `rules_unrestricted{environment}`: widgets that any site may embed.
    pub rules_unrestricted: IntGaugeVec,
    /// `rules_apply_duration_seconds{source}`: from the arrival of a change until every later request is
    /// judged by it.
    pub rules_apply_duration: HistogramVec,
    /// `rules_rejected_total{source,code}`: refused updates.
    pub rules_rejected: IntCounterVec,
    /// `fleet_edges{state}`, `fleet_enforced_duration_seconds` and `fleet_waits_total{outcome}`.
    pub fleet: FleetMetrics,
    /// `brake_refusals_total{road}`: changes of many widgets that were held.
    pub brake_refusals: BrakeCounter,
    /// `rules_source_connected`: 1 while the source can be reached.
    pub rules_source_connected: IntGauge,
    /// `sessions_open`: sessions being served, from their verdict to their end.
    pub sessions_open: IntGauge,
    /// `sessions_revoked_total`: open sessions that a change of the rules, or an entry's expiry, denied.
    pub sessions_revoked: IntCounter,
    /// `session_revocation_duration_seconds`: from a change in force until the end of a session that it denies.
    pub session_revocation_duration: Histogram,
    cache_requests: Vec<IntCounter>,
    /// `cache_bytes`: memory used by stored assets.
    pub cache_bytes: IntGauge,
    /// `cache_entries`: assets in memory; variants of one asset count once.
    pub cache_entries: IntGauge,
    /// `cache_purged_total`: assets dropped because their widget was changed or purged.
    pub cache_purged: IntCounter,
    tickets: TicketCounter,
    /// `activity_bytes` and `activity_sightings_total{outcome}`.
    pub activity: ActivityMetrics,
    /// `limit_refusals_total{part,kind,mode}` and `limits_bytes`.
    pub limits: LimitMetrics,
    /// `remembered_sessions` and `remembered_sessions_total{outcome}`.
    pub remembered: RememberedMetrics,
    /// `reports_total{outcome}`: what browsers reported of the pages around a frame.
    pub reports: ReportCounter,
    /// `notifications_total{kind,outcome}` and `notifications_pending`.
    pub notifications: NotificationMetrics,
    /// `connections{listener}` and `connections_refused_total{reason}`.
    pub connections: ConnectionMetrics,
    /// `tls_handshakes_total{outcome}`: at the data listeners.
    pub handshakes: HandshakeCounter,
    /// `http2_connections_ended_total{reason}`: those that the edge ended although their client went on.
    pub http2_endings: Http2EndingCounter,
    /// `tasks{runtime}`: tasks that run or wait, on the threads of requests and of everything else.
    pub tasks: IntGaugeVec,
    /// `reloads_total{outcome}`.
    pub reloads: AttemptCounter,
    /// `upgrades_total{outcome}`.
    pub upgrades: AttemptCounter,
    /// `admin_tls_handshakes_total{outcome}`: at the admin listener.
    pub admin_handshakes: HandshakeCounter,
    /// `admin_unauthorized_total{token}`: calls without a known token.
    pub admin_unauthorized: UnauthorizedCounter,
    /// `certificate_expiry_timestamp_seconds{certificate}`: when each certificate in force expires.
    pub certificate_expiry: ExpiryGauge,
    /// `log_lines_dropped_total{log}`: lines that a log could not write.
    pub log_lines: DroppedLines,
    /// `rules_source_lag_seconds`: for how long the source has had rules that are not in force.
    pub rules_source_lag: prometheus::Gauge,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    ///
    /// Two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let families = Families::new(NAMESPACE)?;
        let requests = counters(
            &families,
            "requests_total",
            "Answers, by class of route and status.",
            &["class", "status"],
        )?;
        let durations = histograms(
            &families,
            "request_duration_seconds",
            "Time from a request's head until its answer is complete.",
            &["class"],
            prometheus::exponential_buckets(traffic::FIRST_DURATION, 2.0, traffic::DURATION_BUCKETS)?,
        )?;
        let cached = counters(
            &families,
            "cache_requests_total",
            "Allowed requests for assets, by outcome at the cache.",
            &["outcome"],
        )?;
        let build = gauges(&families, "build_info", "Always 1; the label has the version.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            decisions: DecisionMetrics::new(&families)?,
            requests_by_status: (0..CLASSES.len() * STATUSES.len()).map(|_| OnceLock::new()).collect(),
            requests,
            request_duration: CLASSES.iter().map(|class| durations.with_label_values(&[class])).collect(),
            upstreams: UpstreamMetrics::new(&families)?,
            rules_generation: gauge(&families, "rules_generation", "Version of the rule book in force.")?,
            rules_widgets: rules::widgets(&families)?,
            rules_unrestricted: rules::unrestricted(&families)?,
            rules_apply_duration: histograms(
                &families,
                "rules_apply_duration_seconds",
                "Time from the arrival of a change until every later request is judged by it.",
                &["source"],
                prometheus::exponential_buckets(0.000_01, 4.0, 12)?,
            )?,
            rules_rejected: counters(
                &families,
                "rules_rejected_total",
                "Refused updates of the rules, by source and code.",
                &["source", "code"],
            )?,
            fleet: FleetMetrics::new(&families)?,
            brake_refusals: BrakeCounter::new(&families)?,
            rules_source_connected: gauge(
                &families,
                "rules_source_connected",
                "1 while the source of rules can be read, else 0.",
            )?,
            sessions_open: gauge(
                &families,
                "sessions_open",
                "Open sessions: requests of class session, including WebSockets and streams, from verdict to end.",
            )?,
            sessions_revoked: register(
                &families,
                IntCounter::new(
                    "sessions_revoked_total",
                    "Open sessions that a change of the rules, or an entry's expiry, denied.",
                )?,
            )?,
            activity: ActivityMetrics::new(&families)?,
            limits: LimitMetrics::new(&families)?,
            remembered: RememberedMetrics::new(&families)?,
            reports: ReportCounter::new(&families)?,
            notifications: NotificationMetrics::new(&families)?,
            connections: ConnectionMetrics::new(&families)?,
            handshakes: HandshakeCounter::of_clients(&families)?,
            http2_endings: Http2EndingCounter::new(&families)?,
            tasks: life::tasks(&families)?,
            reloads: AttemptCounter::of_reloads(&families)?,
            upgrades: AttemptCounter::of_upgrades(&families)?,
            admin_handshakes: HandshakeCounter::of_operators(&families)?,
            admin_unauthorized: UnauthorizedCounter::new(&families)?,
            certificate_expiry: ExpiryGauge::new(&families)?,
            log_lines: DroppedLines::new(&families)?,
            session_revocation_duration: register(
                &families,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "session_revocation_duration_seconds",
                        "Time from a change coming into force until the end of a session that it denies.",
                    )
                    .buckets(REVOCATION_BUCKETS.to_vec()),
                )?,
            )?,
            cache_requests: CACHE_OUTCOMES.iter().map(|name| cached.with_label_values(&[name])).collect(),
            cache_bytes: gauge(&families, "cache_bytes", "Memory used by stored assets, in bytes.")?,
            cache_entries: gauge(
                &families,
                "cache_entries",
                "Assets in memory; variants of one asset count once.",
            )?,
            cache_purged: register(
                &families,
                IntCounter::new(
                    "cache_purged_total",
                    "Assets dropped from memory because their widget was changed or purged.",
                )?,
            )?,
            tickets: TicketCounter::new(&families)?,
            rules_source_lag: register(
                &families,
                prometheus::Gauge::new(
                    "rules_source_lag_seconds",
                    "For how long the source of rules has had rules that are not in force, or a bucket may have had some.",
                )?,
            )?,
            families,
        })
    }

    /// Counts one verdict, and the time it took.
    pub fn decided(&self, class: Class, decision: &Decision, took: Duration) {
        self.decisions.decided(class, decision, took);
    }

    /// Counts one answer. `class` is `None` for a request that no route takes.
    pub fn answered(&self, class: Option<Class>, status: u16, took: Duration) {
        let class = class.map_or(CLASSES.len() - 1, |class| class as usize);
        if let Some(histogram) = self.request_duration.get(class) {
            histogram.observe(took.as_secs_f64());
        }
        let status = status.clamp(STATUSES.start, STATUSES.end - 1);
        let index = class * STATUSES.len() + usize::from(status - STATUSES.start);
        if let (Some(cell), Some(class)) = (self.requests_by_status.get(index), CLASSES.get(class)) {
            cell.get_or_init(|| self.requests.with_label_values(&[class, status.to_string().as_str()])).inc();
        }
    }

    /// Counts the outcome of one request at the cache.
    pub fn cache_answered(&self, outcome: CacheOutcome) {
        if let Some(counter) = self.cache_requests.get(outcome as usize) {
            counter.inc();
        }
    }

    /// Counts the outcome of a ticket.
    pub fn ticket(&self, outcome: TicketOutcome) {
        self.tickets.count(outcome);
    }

    /// What was answered since the start. The times are those of requests that are no sessions, which last as long as somebody
    /// stays.
    pub fn traffic(&self) -> TrafficTotals {
        let mut totals = TrafficTotals::default();
        self.decisions.add_to(&mut totals);
        for (index, answers) in self.requests_by_status.iter().enumerate() {
            let status = STATUSES.start + u16::try_from(index % STATUSES.len()).unwrap_or_default();
            totals.errors += answers.get().filter(|_| status >= 500).map_or(0, IntCounter::get);
        }
        let sessions = Class::Session as usize;
        let brief = self.request_duration.iter().enumerate().filter(|(class, _)| *class != sessions);
        brief.for_each(|(_, answers)| totals.add(answers));
        totals
    }

    /// All metrics, in the Prometheus text format.
    ///
    /// # Errors
    ///
    /// A metric can't be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        self.families.render()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use embedgate_policy::ticket::TicketError;
    use embedgate_policy::verdict::{Reason, Verdict};

    #[test]
    fn counts_under_the_published_names() {
        let metrics = Metrics::new().unwrap();
        let decision = Decision {
            verdict: Verdict::Allow,
            reason: Reason::Unrestricted,
            would_deny: Some(Reason::NotListed),
            entry: None,
            near_miss: None,
        };
        metrics.decided(Class::Session, &decision, Duration::from_nanos(60));
        metrics.answered(Some(Class::Asset), 200, Duration::from_millis(1));
        metrics.answered(None, 404, Duration::from_millis(1));
        metrics.upstreams.failed("app", "connect");
        metrics.cache_answered(CacheOutcome::Bypass);
        metrics.ticket(TicketOutcome::Issued);
        metrics.ticket(TicketOutcome::Invalid(TicketError::Altered));
        metrics.reports.count(ReportOutcome::Bounded);
        let text = metrics.render().unwrap();
        for line in [
            "embedgate_decisions_total{class=\"session\",reason=\"unrestricted\",verdict=\"allow\"} 1",
            "embedgate_decisions_total{class=\"asset\",reason=\"not_listed\",verdict=\"deny\"} 0",
            "embedgate_decisions_would_deny_total{class=\"session\",reason=\"ticket_missing\"} 0",
            "embedgate_rules_widgets{access=\"monitor\",environment=\"production\"} 0",
            "embedgate_rules_unrestricted{environment=\"production\"} 0",
            "embedgate_decisions_would_deny_total{class=\"session\",reason=\"not_listed\"} 1",
            "embedgate_decision_duration_seconds_bucket{le=\"0.0000001\"} 1",
            "embedgate_requests_total{class=\"asset\",status=\"200\"} 1",
            "embedgate_requests_total{class=\"none\",status=\"404\"} 1",
            "embedgate_upstream_errors_total{kind=\"connect\",upstream=\"app\"} 1",
            "embedgate_cache_requests_total{outcome=\"bypass\"} 1",
            "embedgate_limit_refusals_total{kind=\"sessions\",mode=\"monitor\",part=\"address\"} 0",
            "embedgate_limits_bytes 0",
            "embedgate_cache_requests_total{outcome=\"hit\"} 0",
            "embedgate_tickets_total{outcome=\"issued\"} 1",
            "embedgate_tickets_total{outcome=\"altered\"} 1",
            "embedgate_tickets_total{outcome=\"unknown_key\"} 0",
            "embedgate_reports_total{outcome=\"kept\"} 0",
            "embedgate_reports_total{outcome=\"nothing_new\"} 0",
            "embedgate_reports_total{outcome=\"bounded\"} 1",
            "embedgate_reports_total{outcome=\"refused\"} 0",
            "embedgate_notifications_total{kind=\"session.revoked\",outcome=\"delivered\"} 0",
            "embedgate_notifications_pending 0",
            "embedgate_cache_bytes 0",
            "embedgate_activity_bytes 0",
            "embedgate_activity_sightings_total{outcome=\"dropped\"} 0",
            "embedgate_activity_sightings_total{outcome=\"recorded\"} 0",
            "embedgate_cache_entries 0",
            "embedgate_cache_purged_total 0",
            "embedgate_rules_generation 0",
            "embedgate_brake_refusals_total{road=\"batch\"} 0",
            "embedgate_brake_refusals_total{road=\"file\"} 0",
            "embedgate_fleet_waits_total{outcome=\"behind\"} 0",
            "embedgate_fleet_enforced_duration_seconds_count 0",
            "embedgate_sessions_open 0",
            "embedgate_sessions_revoked_total 0",
            "embedgate_log_lines_dropped_total{log=\"decisions\"} 0",
            "embedgate_tls_handshakes_total{outcome=\"not_tls\"} 0",
            "embedgate_admin_tls_handshakes_total{outcome=\"refused\"} 0",
            "embedgate_admin_tls_handshakes_total{outcome=\"made_room\"} 0",
            "embedgate_connections_refused_total{reason=\"admin\"} 0",
            "embedgate_http2_connections_ended_total{reason=\"resets\"} 0",
            "embedgate_admin_unauthorized_total{token=\"missing\"} 0",
            "embedgate_admin_unauthorized_total{token=\"unknown\"} 0",
            "embedgate_log_lines_dropped_total{log=\"operational\"} 0",
            "embedgate_session_revocation_duration_seconds_count 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_family_without_a_value_is_told_too() {
        let metrics = Metrics::new().unwrap();
        let has = |line: &str| metrics.render().unwrap().lines().filter(|told| *told == line).count();
        let kinds = [
            "embedgate_upstream_errors_total counter",
            "embedgate_certificate_expiry_timestamp_seconds gauge",
            "embedgate_rules_apply_duration_seconds histogram",
            "embedgate_sessions_open gauge",
        ];
        for kind in kinds {
            assert_eq!(has(&format!("# TYPE {kind}")), 1, "{kind}");
        }
        metrics.upstreams.failed("app", "connect");
        metrics.certificate_expiry.set([("a.pem".to_owned(), 7), ("b.pem".to_owned(), -1)].into());
        let expiry = |value| has(&format!("embedgate_certificate_expiry_timestamp_seconds{{{value}"));
        assert_eq!((expiry("certificate=\"a.pem\"} 7"), expiry("certificate=\"b.pem\"} -1")), (1, 1));
        metrics.certificate_expiry.set([("b.pem".to_owned(), 8)].into());
        assert_eq!((expiry("certificate=\"a.pem\"} 7"), expiry("certificate=\"b.pem\"} 8")), (0, 1));
        for kind in kinds {
            assert_eq!(has(&format!("# TYPE {kind}")), 1, "{kind}");
        }
    }

    #[test]
    fn every_class_has_its_own_place() {
        for class in Class::ALL {
            assert_eq!(CLASSES.get(class as usize), Some(&class.as_str()));
        }
    }
}
