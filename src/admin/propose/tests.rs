#![allow(clippy::unwrap_used)]

use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::admin::activity::tests::{SeenBefore, days_ago, embedder, embedders, seeing};
use crate::rules::fixtures::widget;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::suffix::PublicSuffixes;

fn monitored(origin: &str, count: u64) -> EmbedderActivity {
    EmbedderActivity { monitored: count, ..embedder(origin, count, 0) }
}

fn reported(origin: &str) -> EmbedderActivity {
    EmbedderActivity { reason: None, ..embedder(origin, 1, 0) }
}

async fn proposed(document: Value, activity: WidgetActivity) -> Value {
    let widgets = [("w".into(), activity)].into();
    let served = seeing(&[document], SeenBefore { widgets, since: days_ago(40), ..SeenBefore::default() });
    let (status, told) = served.read(Method::POST, "/v1/widgets/w/propose").await;
    assert_eq!(status, 200, "{told}");
    let (_, stored) = served.read(Method::GET, "/v1/widgets/w").await;
    assert_ne!(stored, told["draft"], "nothing is saved");
    told
}

fn standings(told: &Value) -> Vec<(&str, &str)> {
    let sites = told["sites"].as_array().unwrap().iter();
    sites.map(|site| (site["origin"].as_str().unwrap(), site["standing"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn the_draft_adds_who_was_let_in_and_nobody_else() {
    let list = json!(["listed.example", { "pattern": "over.example", "expires_at": "2020-01-01T00:00:00Z", "note": "old" }]);
    let document =
        json!({ "id": "w", "access": "monitor", "allowed_domains": list, "labels": { "team": "growth" } });
    let activity = WidgetActivity {
        admitted: embedders(vec![
            embedder("https://listed.example", 50, 0),
            embedder("https://app.vendor.example", 40, 0),
            embedder("https://both.example", 3, 9),
        ]),
        refused: embedders(vec![
            monitored("https://often.example", 30),
            embedder("https://stranger.example", 99, 0),
            monitored("http://plain.example", 2),
            monitored("null", 5),
            monitored("https://over.example", 4),
            monitored("ftp://files.example", 1),
            monitored("https://both.example", 8),
            monitored("http://localhost:3000", 1),
            monitored("https://localhost:3000", 1),
        ]),
        reported: embedders(vec![reported("https://around.example"), reported("https://often.example")]),
        ..WidgetActivity::default()
    };
    let told = proposed(document, activity).await;
    let draft = &told["draft"];
    assert_eq!((&draft["access"], &draft["labels"]), (&json!("enforce"), &json!({ "team": "growth" })));
    let mut expected = list.as_array().unwrap().clone();
    expected
        .extend(["often.example", "both.example", "http://plain.example", "localhost:3000"].map(Value::from));
    assert_eq!(draft["allowed_domains"], Value::from(expected));
    assert_eq!(
        standings(&told),
        [
            ("https://often.example", "added"),
            ("https://both.example", "added"),
            ("http://plain.example", "added"),
            ("http://localhost:3000", "added"),
            ("https://localhost:3000", "added"),
            ("https://listed.example", "listed"),
            ("https://stranger.example", "refused"),
            ("https://around.example", "unverified"),
        ]
    );
    let both = &told["sites"][1];
    assert_eq!((&both["count"], &both["monitored"]), (&json!(11), &json!(8)));
    let left_out = told["not_proposed"].as_array().unwrap();
    let why: Vec<_> = left_out.iter().map(|site| (&site["origin"], site["why"].as_str().unwrap())).collect();
    assert!(why[0].0 == "null" && why[0].1.contains("could be any page"), "{why:?}");
    assert!(why[1].0 == "https://over.example" && why[1].1.contains("`over.example` has expired"), "{why:?}");
    assert!(
        why[2].0 == "ftp://files.example" && why[2].1.contains("no entry can have its scheme"),
        "{why:?}"
    );
    assert_eq!(why.len(), 3);
    assert_eq!(
        told["summary"],
        "Not as the list is: 1 site admitted by the list, 5 sites let in without an entry, which the draft adds, 3 sites let \
         in that no entry of the draft admits, 1 site that only browsers' reports name."
    );
    assert!(told["caution"].as_str().unwrap().contains("look at each site"), "{told}");
}

#[tokio::test]
async fn whether_the_list_can_be_enforced_is_said() {
    let listed = || WidgetActivity {
        admitted: embedders(vec![embedder("https://a.example", 5, 0)]),
        ..WidgetActivity::default()
    };
    let document = |access: &str| json!({ "id": "w", "access": access, "allowed_domains": ["a.example"] });
    for (access, activity, says) in [
        (
            "monitor",
            listed(),
            "The list admits every site that was let in, so it can be enforced as it is: 1 site",
        ),
        ("monitor", WidgetActivity::default(), "No site was seen yet: 0 sites"),
    ] {
        let told = proposed(document(access), activity).await;
        assert!(told["summary"].as_str().unwrap().starts_with(says), "{told}");
    }
    let mut doubtful = listed();
    doubtful.reported = embedders(vec![reported("https://around.example")]);
    let mut crowded = listed();
    crowded.refused.untracked = 3;
    for (activity, says) in [
        (doubtful, "1 site admitted by the list, 1 site that only browsers' reports name."),
        (crowded, "1 site admitted by the list; sites that are not known may have asked up to 3 times each."),
    ] {
        let told = proposed(document("monitor"), activity).await;
        let summary = told["summary"].as_str().unwrap();
        assert!(
            summary.contains("look at the rest before you enforce it") && summary.ends_with(says),
            "{told}"
        );
    }
}

#[tokio::test]
async fn what_was_taken_off_the_list_is_not_put_back() {
    let by = |entry: &str, reason, site: EmbedderActivity| EmbedderActivity {
        entry: Some(entry.into()),
        reason: Some(reason),
        ..site
    };
    let (exact, open) = (Reason::Exact, Reason::Unrestricted);
    let activity = WidgetActivity {
        admitted: embedders(vec![
            by("gone.example", exact, embedder("https://gone.example", 6, 3)),
            by("refused.example", exact, embedder("https://refused.example", 5, 3)),
            by("monitored.example", exact, embedder("https://monitored.example", 4, 3)),
            by("opened.example", open, embedder("https://opened.example", 3, 3)),
            by("*.wide.example", exact, embedder("https://a.wide.example", 2, 3)),
        ]),
        refused: embedders(vec![
            embedder("https://refused.example", 1, 0),
            monitored("https://monitored.example", 1),
        ]),
        ..WidgetActivity::default()
    };
    let document = json!({ "id": "w", "access": "monitor", "allowed_domains": ["a.wide.example"] });
    let told = proposed(document, activity).await;
    assert_eq!(
        told["draft"]["allowed_domains"],
        json!(["a.wide.example", "monitored.example", "opened.example"])
    );
    assert_eq!(
        standings(&told),
        [
            ("https://monitored.example", "added"),
            ("https://opened.example", "added"),
            ("https://a.wide.example", "listed"),
            ("https://refused.example", "removed"),
            ("https://gone.example", "removed"),
        ]
    );
    let summary = told["summary"].as_str().unwrap();
    assert!(summary.ends_with(", 2 sites let in by an entry that was taken off."), "{told}");
}

#[tokio::test]
async fn a_widget_with_voice_gets_no_plain_site() {
    let document = json!({ "id": "w", "access": "monitor", "allowed_domains": ["a.example"], "capabilities": ["voice"] });
    let activity = WidgetActivity {
        refused: embedders(vec![monitored("http://plain.example", 2)]),
        ..WidgetActivity::default()
    };
    let told = proposed(document, activity).await;
    assert_eq!(told["draft"]["allowed_domains"], json!(["a.example"]));
    assert!(told["not_proposed"][0]["why"].as_str().unwrap().contains("no microphone"), "{told}");
}

fn origin() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-c]{1,2}\\.example",
        Just("localhost".to_owned()),
        Just("127.0.0.1".to_owned()),
        Just("[::1]".to_owned()),
        Just("vercel.app".to_owned()),
    ];
    let scheme = prop::sample::select(vec!["https", "http", "capacitor", "ftp"]);
    let port = prop::sample::select(vec!["", ":3000", ":8443"]);
    (scheme, host, port).prop_map(|(scheme, host, port)| format!("{scheme}://{host}{port}"))
}

proptest! {
    /// Whatever was seen: the draft can be saved, keeps what was listed, and admits whom it says it adds.
    #[test]
    fn a_draft_is_a_document_that_is_taken(
        seen in prop::collection::btree_set(origin(), 0..20),
        listed in prop::sample::subsequence(vec!["a.example", "*.example", "localhost", ".vercel.app", "http://b.example"], 0..5),
        has_voice in any::<bool>(),
    ) {
        let listed: Vec<&str> = listed.into_iter().filter(|entry| !has_voice || !entry.starts_with("http:")).collect();
        let capabilities: &[&str] = if has_voice { &["voice"] } else { &[] };
        let document = json!({ "id": "w", "access": "monitor", "allowed_domains": listed, "capabilities": capabilities });
        prop_assume!(Widget::parse(document.to_string().as_bytes(), PublicSuffixes::shipped()).is_ok());
        let before = widget(&document.to_string());
        let activity = WidgetActivity {
            refused: embedders(seen.iter().map(|origin| monitored(origin, 3)).collect()),
            ..WidgetActivity::default()
        };
        let (policy, now) = (EdgePolicy::default(), Timestamp::now());
        let drafted = Drafted::of(&SiteJudge::new(&before, &policy, now), &activity);
        let text = drafted.draft.to_json().to_string();
        let saved = Widget::parse(text.as_bytes(), PublicSuffixes::shipped());
        prop_assert_eq!(saved.as_ref(), Ok(&drafted.draft));
        prop_assert!(text.len() <= drafted.bytes);
        let of_before = drafted.draft.allowed_domains.iter().take(before.allowed_domains.len());
        prop_assert!(of_before.eq(&before.allowed_domains));
        let judge = SiteJudge::new(&drafted.draft, &policy, now);
        for site in &drafted.sites {
            prop_assert!(judge.by_list(&site.site.origin).is_allowed(), "{}", site.site.origin);
        }
        for site in &drafted.not_proposed {
            prop_assert!(!judge.by_list(&site.site.origin).is_allowed(), "{}: {}", site.site.origin, site.why);
        }
        prop_assert_eq!(drafted.sites.len() + drafted.not_proposed.len(), seen.len());
    }
}
