//! What is told of sightings that a real edge would need a month for, and answers to every question.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::activity::reader::{ActivityError, ActivityReader, RefusedEmbedder};
use crate::activity::seen::{
    ClientCounts, EmbedderActivity, EntryActivity, FrequentEmbedders, WidgetActivity,
};
use crate::admin::fleet::fake::FakeFleet;
use crate::admin::tests::{Served, served_seeing};
use crate::rules::fixtures::widget;
use crate::rules::fleet::Fleet;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::origin::{OriginBuf, OriginSet};
use embedgate_policy::verdict::Reason;

/// What was seen, as a test has it.
#[derive(Default)]
pub(in crate::admin) struct SeenBefore {
    pub(in crate::admin) since: Timestamp,
    pub(in crate::admin) widgets: BTreeMap<Box<str>, WidgetActivity>,
    pub(in crate::admin) most_refused: Vec<RefusedEmbedder>,
    pub(in crate::admin) is_broken: bool,
    /// Whether a reader meets a bug.
    pub(in crate::admin) panics: bool,
}

impl SeenBefore {
    fn readable(&self) -> Result<(), ActivityError> {
        assert!(!self.panics, "a bug");
        match self.is_broken {
            true => Err(ActivityError { detail: "the disk is gone".to_owned() }),
            false => Ok(()),
        }
    }
}

impl ActivityReader for SeenBefore {
    fn since(&self) -> Timestamp {
        self.since
    }

    fn widget(&self, id: &str) -> Result<WidgetActivity, ActivityError> {
        self.readable()?;
        Ok(self.widgets.get(id).cloned().unwrap_or_default())
    }

    fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, WidgetActivity)>, ActivityError> {
        self.readable()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let widgets = self.widgets.range::<str, _>((from, Bound::Unbounded)).take(limit);
        Ok(widgets.map(|(id, activity)| (id.clone(), activity.clone())).collect())
    }

    fn most_refused(&self) -> Vec<RefusedEmbedder> {
        self.most_refused.clone()
    }
}

/// So many days ago, in whole seconds.
pub(in crate::admin) fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() - days * 86_400).unwrap()
}

/// A site that was seen so often, last so many days ago.
pub(in crate::admin) fn embedder(origin: &str, count: u64, days: i64) -> EmbedderActivity {
    EmbedderActivity {
        origin: origin.into(),
        count,
        error: 0,
        monitored: 0,
        reason: Some(Reason::NotListed),
        entry: None,
        first: days_ago(days),
        last: days_ago(days),
        clients: ClientCounts { browser: count, contradictory: 0, unknown: 0 },
    }
}

pub(in crate::admin) fn embedders(embedders: Vec<EmbedderActivity>) -> FrequentEmbedders {
    FrequentEmbedders { embedders, untracked: 0 }
}

/// The use of entries, each so often and last so many days ago.
fn entries(used: &[(&str, u64, i64)]) -> BTreeMap<Box<str>, EntryActivity> {
    let entry = |&(entry, count, days): &(&str, u64, i64)| {
        (entry.into(), EntryActivity { first: days_ago(days + 1), last: days_ago(days), count })
    };
    used.iter().map(entry).collect()
}

fn by_entry(entry: &str, site: EmbedderActivity) -> EmbedderActivity {
    EmbedderActivity { entry: Some(entry.into()), reason: Some(Reason::Wildcard), ..site }
}

/// An admin listener of an edge with these documents, which has seen this.
pub(in crate::admin) fn seeing(documents: &[Value], seen: SeenBefore) -> Served {
    seeing_in(None, documents, seen)
}

fn seeing_in(fleet: Option<Arc<dyn Fleet>>, documents: &[Value], seen: SeenBefore) -> Served {
    let served = served_seeing(Vec::new(), fleet, Arc::new(seen));
    let documents = documents.iter().map(|document| widget(&document.to_string())).collect();
    served.admin.publisher.replace_all(documents, |fault| fault).unwrap();
    served.admin.policy.store(Arc::new(EdgePolicy {
        open_allowed: true,
        system_origins: OriginSet::new([OriginBuf::parse("https://app.vendor.example").unwrap()]),
        ..EdgePolicy::default()
    }));
    served
}

fn of(widgets: Vec<(&str, WidgetActivity)>) -> SeenBefore {
    let widgets = widgets.into_iter().map(|(id, activity)| (id.into(), activity)).collect();
    SeenBefore { widgets, since: days_ago(90), ..SeenBefore::default() }
}

async fn get(served: &Served, path: &str) -> Value {
    let (status, told) = served.read(Method::GET, path).await;
    assert_eq!(status, 200, "{path}: {told}");
    told
}

/// One field of each element.
fn each<'v>(list: &'v Value, field: &str) -> Vec<&'v Value> {
    list.as_array().unwrap().iter().map(|element| &element[field]).collect()
}

#[tokio::test]
async fn a_widgets_entries_and_sites_are_told() {
    let activity = WidgetActivity {
        entries: entries(&[("shop.example", 40, 1), ("*.wide.example:*", 9, 2), ("gone.example", 4, 3)]),
        admitted: FrequentEmbedders {
            embedders: vec![
                by_entry("*.wide.example:*", embedder("https://a.wide.example", 5, 2)),
                by_entry("*.wide.example:*", embedder("https://b.wide.example", 3, 2)),
                by_entry("*.wide.example:*", embedder("https://a.wide.example:8443", 1, 4)),
                by_entry("gone.example", embedder("https://gone.example", 4, 3)),
                embedder("https://app.vendor.example", 7, 0),
                by_entry("shop.example", embedder("https://shop.example", 40, 1)),
                // Before its entry was listed, the widget was open.
                embedder("https://c.wide.example", 1, 9),
            ],
            untracked: 2,
        },
        refused: embedders(vec![
            EmbedderActivity { error: 3, ..embedder("https://stranger.example", 12, 0) },
            embedder("null", 6, 0),
            embedder("http://plain.example", 5, 0),
            embedder("https://c.wide.example", 2, 1),
        ]),
        reported: embedders(vec![EmbedderActivity {
            reason: None,
            ..embedder("https://around.example", 2, 0)
        }]),
    };
    let document =
        json!({ "id": "w", "allowed_domains": ["never.example", "shop.example", "*.wide.example:*"] });
    let served = seeing(&[document], of(vec![("w", activity)]));
    let told = get(&served, "/v1/widgets/w/activity").await;

    assert_eq!(
        (&told["widget"], &told["access"], &told["missing"]),
        (&json!("w"), &json!("enforce"), &json!([]))
    );
    assert_eq!(each(&told["entries"], "entry"), ["never.example", "shop.example", "*.wide.example:*"]);
    assert_eq!(each(&told["entries"], "count"), [0, 40, 9]);
    assert_eq!(told["entries"][0]["last"], Value::Null);
    assert_eq!(told["entries"][1]["hosts"], json!([]));
    assert_eq!(told["entries"][1]["clients"]["browser"], 40);
    let hosts = &told["entries"][2]["hosts"];
    assert_eq!(each(hosts, "host"), ["a.wide.example", "b.wide.example"]);
    assert_eq!(each(hosts, "count"), [6, 3]);

    let admitted = &told["admitted"];
    assert_eq!(
        each(&admitted["sites"], "origin"),
        ["https://gone.example", "https://app.vendor.example", "https://c.wide.example"]
    );
    assert_eq!(each(&admitted["sites"], "preview"), [false, true, false]);
    assert_eq!(each(&admitted["sites"], "entry"), [&Value::Null, &Value::Null, &json!("*.wide.example:*")]);
    assert_eq!(admitted["untracked"], 2);
    let refused = &told["refused"]["sites"];
    assert_eq!(
        each(refused, "origin"),
        ["https://stranger.example", "null", "http://plain.example", "https://c.wide.example"]
    );
    assert_eq!(
        each(refused, "entry_to_add"),
        [&json!("stranger.example"), &Value::Null, &json!("http://plain.example"), &Value::Null]
    );
    assert_eq!(refused[3]["entry"], "*.wide.example:*", "it was listed since");
    assert_eq!(
        (&refused[0]["count"], &refused[0]["error"], &refused[0]["reason"]),
        (&json!(12), &json!(3), &json!("not_listed"))
    );
    assert_eq!(each(&told["reported"]["sites"], "origin"), ["https://around.example"]);
    assert_eq!(told["reported"]["sites"][0]["reason"], Value::Null);
    // The dashboard may always.
    assert_eq!(told["would_refuse"], json!({ "sites": 1, "requests": 4 }));
}

#[tokio::test]
async fn a_disabled_widget_has_no_entry_that_admits() {
    let off =
        EmbedderActivity { reason: Some(Reason::WidgetDisabled), ..embedder("https://a.example", 2, 0) };
    let activity = WidgetActivity { refused: embedders(vec![off]), ..WidgetActivity::default() };
    for (enabled, entry) in [(true, json!("a.example")), (false, Value::Null)] {
        let document = json!({ "id": "w", "enabled": enabled, "allowed_domains": ["a.example"] });
        let served = seeing(&[document], of(vec![("w", activity.clone())]));
        let refused = get(&served, "/v1/widgets/w/activity").await["refused"]["sites"][0].clone();
        assert_eq!((&refused["entry"], &refused["entry_to_add"]), (&entry, &Value::Null));
    }
}

#[tokio::test]
async fn more_sites_than_fifty_are_counted() {
    let sites = (0..60).map(|n| embedder(&format!("https://s{n}.example"), 100 - n, 0)).collect();
    let activity = WidgetActivity { refused: embedders(sites), ..WidgetActivity::default() };
    let served = seeing(&[json!({ "id": "w", "allowed_domains": ["a.example"] })], of(vec![("w", activity)]));
    let refused = get(&served, "/v1/widgets/w/activity").await["refused"].clone();
    assert_eq!((refused["sites"].as_array().unwrap().len(), &refused["omitted"]), (50, &json!(10)));
}

#[tokio::test]
async fn what_can_not_be_answered_is_a_problem() {
    let served = seeing(&[json!({ "id": "w" })], SeenBefore { is_broken: true, ..of(Vec::new()) });
    for (method, path, status, code) in [
        (Method::GET, "/v1/widgets/none/activity", 404, "unknown_widget"),
        (Method::POST, "/v1/widgets/none/propose", 404, "unknown_widget"),
        (Method::GET, "/v1/widgets/w/activity?stale_days=0", 400, "invalid_parameter"),
        (Method::GET, "/v1/activity?stale_days=3651", 400, "invalid_parameter"),
        (Method::GET, "/v1/activity?limit=1001", 400, "invalid_parameter"),
        (Method::GET, "/v1/activity?host=https://a.example/b", 400, "invalid_parameter"),
        (Method::GET, "/v1/widgets/w/activity", 500, "storage_failed"),
        (Method::GET, "/v1/activity", 500, "storage_failed"),
        (Method::POST, "/v1/widgets/w/propose", 500, "storage_failed"),
        (Method::GET, "/v1/lint", 500, "storage_failed"),
    ] {
        let (answered, problem) = served.read(method, path).await;
        assert_eq!((answered, &problem["code"]), (status, &json!(code)), "{path}: {problem}");
        assert!(
            status != 500 || problem["detail"].as_str().unwrap().contains("the disk is gone"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn a_change_is_answered_whatever_can_be_told_of_it() {
    for (is_broken, panics) in [(true, false), (false, true)] {
        let document = json!({ "id": "w", "allowed_domains": ["example.com"] });
        let served = seeing(&[], SeenBefore { is_broken, panics, ..of(Vec::new()) });
        for (method, path, body, status) in [
            (Method::PUT, "/v1/widgets/w", document.to_string(), 201),
            (Method::POST, "/v1/widgets/w/disable", String::new(), 200),
        ] {
            let call = served.call(method, path, true).header("content-type", "application/json");
            let answer = call.body(body).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            let told: Value = answer.json().await.unwrap();
            assert!(!told["lints"].as_array().unwrap().is_empty(), "{told}");
        }
    }
}

/// What the widgets of an overview are called, over all pages of this size.
async fn pages(served: &Served, query: &str) -> (Vec<Value>, usize) {
    let (mut widgets, mut looked_at, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = get(served, &format!("/v1/activity?{query}{after}")).await;
        widgets.extend(page["widgets"].as_array().unwrap().iter().cloned());
        looked_at += page["looked_at"].as_u64().unwrap();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (widgets, usize::try_from(looked_at).unwrap()),
        }
    }
}

#[tokio::test]
async fn the_overview_goes_through_all_widgets_page_by_page() {
    let monitored = WidgetActivity {
        refused: embedders(vec![
            EmbedderActivity { monitored: 8, ..embedder("https://x.example", 8, 0) },
            EmbedderActivity { monitored: 2, ..embedder("https://now.example", 2, 0) },
        ]),
        ..WidgetActivity::default()
    };
    let open = WidgetActivity {
        admitted: embedders(vec![
            embedder("https://any.example", 3, 0),
            embedder("https://listed.example", 1, 0),
        ]),
        ..WidgetActivity::default()
    };
    let refusing = WidgetActivity {
        refused: embedders(vec![embedder("https://y.example", 5, 0)]),
        ..Default::default()
    };
    let mut documents = vec![
        json!({ "id": "monitored", "access": "monitor", "allowed_domains": ["now.example"] }),
        json!({ "id": "open", "access": "open", "allowed_domains": ["listed.example"] }),
        json!({ "id": "refusing", "allowed_domains": ["a.example"] }),
    ];
    documents
        .extend((0..20).map(|n| json!({ "id": format!("quiet-{n:02}"), "allowed_domains": ["a.example"] })));
    let most_refused = vec![
        RefusedEmbedder { widget: "refusing".into(), embedder: embedder("https://y.example", 5, 0) },
        RefusedEmbedder { widget: "deleted".into(), embedder: embedder("https://y.example", 4, 0) },
    ];
    // Those of deleted widgets are kept for a while.
    let mut seen = of(vec![("monitored", monitored), ("open", open), ("refusing", refusing.clone())]);
    seen.widgets.extend(["a-deleted", "p-deleted", "z-deleted"].map(|id| (id.into(), refusing.clone())));
    let served = seeing(&documents, SeenBefore { most_refused, ..seen });

    for limit in [1, 2, 7, 23, 100] {
        let (widgets, looked_at) = pages(&served, &format!("limit={limit}")).await;
        let told: Vec<_> = widgets.iter().map(|told| told["widget"].as_str().unwrap()).collect();
        assert_eq!((told, looked_at), (vec!["monitored", "open", "refusing"], 23), "{limit}");
        let totals = |sites: u64, requests: u64| json!({ "sites": sites, "requests": requests });
        assert_eq!(widgets[0]["would_refuse"], totals(1, 8), "the list admits the other one now");
        assert_eq!(widgets[0]["refused"], totals(2, 10));
        assert_eq!((&widgets[1]["unrestricted"], &widgets[1]["would_refuse"]), (&json!(true), &totals(1, 3)));
        assert_eq!((&widgets[2]["refused"], &widgets[2]["would_refuse"]), (&totals(1, 5), &totals(0, 0)));
    }
    let first = get(&served, "/v1/activity?limit=1").await;
    assert_eq!((&first["unrestricted"], &first["monitored"]), (&json!(1), &json!(1)));
    assert_eq!(first["most_refused"].as_array().unwrap().len(), 1, "{first}");
    assert_eq!(first["most_refused"][0]["entry_to_add"], "y.example");
    let second = get(&served, "/v1/activity?limit=1&after=monitored").await;
    assert_eq!(second["most_refused"], json!([]));
}

#[tokio::test]
async fn who_still_loads_from_a_host_is_told_with_the_entry() {
    let admitting = |site: EmbedderActivity, entry: &str| WidgetActivity {
        admitted: embedders(vec![by_entry(entry, site), embedder("https://other.example", 9, 0)]),
        ..WidgetActivity::default()
    };
    let many = (0..60).map(|n| embedder(&format!("https://s{n}.many.example"), 2, 0));
    let refused = [embedder("https://a.preview.example", 5, 0)].into_iter().chain(many).collect();
    let around = EmbedderActivity { reason: None, ..embedder("https://around.example", 1, 0) };
    let refusing = WidgetActivity {
        refused: FrequentEmbedders { untracked: 3, ..embedders(refused) },
        reported: embedders(vec![around]),
        ..WidgetActivity::default()
    };
    // Among very many sites, only the entry tells of a rare one.
    let by_entry_alone =
        WidgetActivity { entries: entries(&[("b.preview.example", 2, 1)]), ..WidgetActivity::default() };
    let long_ago = admitting(embedder("https://a.preview.example", 4, 31), "*.preview.example");
    let lately = admitting(embedder("https://a.preview.example", 4, 29), "*.preview.example");
    let list = |id: &str, entry: &str| json!({ "id": id, "allowed_domains": [entry] });
    let documents = [
        list("alone", "b.preview.example"),
        list("lately", "*.preview.example"),
        list("long-ago", "*.preview.example"),
        list("refusing", "shop.example"),
    ];
    let seen = of(vec![
        ("alone", by_entry_alone),
        ("deleted", lately.clone()),
        ("lately", lately),
        ("long-ago", long_ago),
        ("refusing", refusing),
    ]);
    let served = seeing(&documents, seen);
    for limit in [1, 2, 100] {
        let (widgets, looked_at) = pages(&served, &format!("host=*.preview.example&limit={limit}")).await;
        let told: Vec<_> = widgets.iter().map(|told| told["widget"].as_str().unwrap()).collect();
        assert_eq!((told, looked_at), (vec!["alone", "lately", "refusing"], 5));
        assert_eq!(each(&widgets[0]["admitted_sites"]["sites"], "entry"), ["b.preview.example"]);
        assert_eq!(each(&widgets[1]["admitted_sites"]["sites"], "origin"), ["https://a.preview.example"]);
        assert_eq!(each(&widgets[1]["admitted_sites"]["sites"], "entry"), ["*.preview.example"]);
        assert_eq!(each(&widgets[2]["refused_sites"]["sites"], "entry_to_add"), ["a.preview.example"]);
        assert_eq!(widgets[2]["admitted_sites"]["sites"], json!([]));
    }
    let told = &get(&served, "/v1/activity?host=around.example").await["widgets"];
    assert_eq!(each(&told[0]["reported_sites"]["sites"], "origin"), ["https://around.example"]);
    assert_eq!(told[0]["refused_sites"]["sites"], json!([]));
    let many = &get(&served, "/v1/activity?host=*.many.example").await["widgets"][0]["refused_sites"];
    assert_eq!(
        (many["sites"].as_array().unwrap().len(), &many["omitted"], &many["untracked"]),
        (50, &json!(10), &json!(3))
    );
    let (widgets, _) = pages(&served, "host=a.preview.example&stale_days=60").await;
    assert_eq!(widgets.len(), 3);
    assert_eq!(pages(&served, "host=preview.example").await.0, Vec::<Value>::new());
}

#[tokio::test]
async fn an_entry_is_stale_once_it_was_of_no_use_for_long_enough() {
    // Used in 35 days from now.
    let activity =
        WidgetActivity { entries: entries(&[("used.example", 3, -35)]), ..WidgetActivity::default() };
    let document = json!({ "id": "w", "allowed_domains": ["used.example", "unused.example"] });
    let served = seeing(&[document], of(vec![("w", activity.clone())]));
    // It is listed since a moment ago.
    assert_eq!(each(&get(&served, "/v1/widgets/w/activity").await["entries"], "stale"), [false, false]);
    let lint = get(&served, "/v1/lint").await;
    assert!(!each(&lint["findings"], "code").contains(&&json!("stale_entry")), "{lint}");

    // A draft is of no use yet, and neither is a new widget.
    for id in ["w", "new"] {
        let draft = json!({ "id": id, "allowed_domains": ["used.example", "drafted.example"] });
        let path = format!("/v1/widgets/{id}/dry-run");
        let tried = served.call(Method::POST, &path, true).json(&draft).send().await.unwrap();
        let tried: Value = tried.json().await.unwrap();
        assert!(!each(&tried["lints"], "code").contains(&&json!("stale_entry")), "{tried}");
    }
    let stored = widget(r#"{"id": "w", "allowed_domains": ["used.example", "unused.example"]}"#);
    let admin = Arc::clone(&served.admin);
    let found = tokio::task::spawn_blocking(move || {
        let later = days_ago(-40);
        let saved = stale_once_saved(&admin, &stored, later).unwrap();
        (
            stale(&admin, &stored, &activity, later).unwrap(),
            saved,
            stale(&admin, &stored, &WidgetActivity::default(), later).unwrap(),
        )
    });
    let (with_use, saved, without) = found.await.unwrap();
    let told = |found: &[embedgate_policy::lint::Finding]| {
        found.iter().map(|found| (found.code, found.pointer.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&with_use), [("stale_entry", "/allowed_domains/1".to_owned())]);
    assert_eq!(told(&saved), told(&with_use));
    assert_eq!(told(&without).len(), 2);
}

#[tokio::test]
async fn an_edge_that_does_not_answer_is_named_and_waited_for_once() {
    let fleet = FakeFleet::new();
    let document = json!({ "id": "w", "allowed_domains": ["never.example"] });
    let served = seeing_in(
        Some(Arc::clone(&fleet) as Arc<dyn Fleet>),
        std::slice::from_ref(&document),
        of(Vec::new()),
    );
    let asked = || std::mem::take(&mut *fleet.asked.lock());
    for (path, expected) in [
        ("/v1/widgets/w/activity", vec!["activity.widget 1s"]),
        ("/v1/activity", vec!["activity.refused 1s", "activity.page 100ms"]),
        ("/v1/activity?host=never.example", vec!["activity.page 1s"]),
        ("/v1/lint", vec!["activity.page 1s"]),
    ] {
        assert_eq!(get(&served, path).await["missing"], json!(["edge-2"]), "{path}");
        assert_eq!(asked(), expected, "{path}");
    }
    let (_, told) = served.read(Method::POST, "/v1/widgets/w/propose").await;
    assert_eq!(told["missing"], json!(["edge-2"]));
    assert!(told["summary"].as_str().unwrap().contains("edge-2 did not answer"), "{told}");
    let tried =
        served.call(Method::POST, "/v1/widgets/w/dry-run", true).json(&document).send().await.unwrap();
    let tried: Value = tried.json().await.unwrap();
    assert_eq!(tried["embedders"]["missing"], json!(["edge-2"]));

    // An entry that is of no use here may be of use there.
    asked();
    let (admin, stored) =
        (Arc::clone(&served.admin), widget(r#"{"id": "w", "allowed_domains": ["never.example"]}"#));
    let found = tokio::task::spawn_blocking(move || stale_once_saved(&admin, &stored, days_ago(-40)));
    assert_eq!(found.await.unwrap().unwrap(), []);
    assert_eq!(asked(), ["activity.widget 250ms"]);
}
