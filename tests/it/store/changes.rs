//! Changes of every kind through the admin API, with `kill -9` in between: what was answered is there, and the history
//! tells it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN};
use crate::support::scale;

const CLIENTS: usize = 4;
/// Few enough that each has a past, and one more than a history holds is soon there.
const WIDGETS: usize = 3;
/// How many entries a history has at most.
const KEPT: usize = 20;

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// What a widget was at a revision: its document, or `None` where it was deleted.
type Past = Vec<(u64, Option<Value>)>;

/// One who changes widgets of its own, and remembers what it was answered.
struct Client {
    dice: Dice,
    widgets: BTreeMap<String, Past>,
    /// The call that has no answer: its widgets, each as it is if the call was heard. `None` where the answer would tell.
    open: Option<Vec<String>>,
    answered: usize,
    refused: usize,
}

/// A call: method, path, body, and the widgets that it is about.
struct Call {
    method: Method,
    path: String,
    body: Body,
    widgets: Vec<String>,
}

enum Body {
    None,
    Json(Value, &'static str),
    /// Lines of a batch, with what each widget is to be.
    Batch(String, Vec<(String, u64, Option<Value>)>),
}

/// A canonical document.
fn document(id: &str, site: usize, label: usize, revision: u64) -> Value {
    json!({
        "id": id, "environment": "production", "access": "enforce", "enabled": true,
        "allowed_domains": [format!("s{site}.example"), "fixed.example"], "capabilities": [], "public_trust_center": true,
        "labels": { "n": label.to_string() }, "revision": revision,
    })
}

impl Client {
    fn new(number: usize) -> Self {
        let widgets = (0..WIDGETS).map(|widget| (format!("c{number}w{widget}"), Past::new())).collect();
        Self { dice: Dice(0x9e37_79b9 + number as u64), widgets, open: None, answered: 0, refused: 0 }
    }

    fn next(&mut self) -> Call {
        let ids: Vec<String> = self.widgets.keys().cloned().collect();
        let id = ids[self.dice.throw(WIDGETS)].clone();
        let (site, label) = (self.dice.throw(8), self.dice.throw(1000));
        let path = format!("/v1/widgets/{id}");
        let json = |body: Value| Body::Json(body, "application/json");
        let (method, path, body) = match self.dice.throw(100) {
            0..30 => {
                let mut document = document(&id, site, label, 0);
                document.as_object_mut().unwrap().remove("revision");
                (Method::PUT, path, json(document))
            }
            30..45 => {
                let patch = json!({ "labels": { "n": label.to_string() }, "enabled": true });
                (Method::PATCH, path, Body::Json(patch, "application/merge-patch+json"))
            }
            45..60 => {
                let edit = json!({
                    "add": [{ "pattern": format!("s{site}.example"), "note": label.to_string() }],
                    "remove": [format!("s{}.example", (site + 1) % 8)],
                });
                (Method::POST, format!("{path}/domains"), json(edit))
            }
            60..75 => {
                let past = &self.widgets[&id];
                let back = self.dice.throw(KEPT + 2);
                let revision = past.iter().rev().nth(back).map_or(1, |(revision, _)| *revision);
                (Method::POST, format!("{path}/revert"), json(json!({ "revision": revision })))
            }
            75..83 => (Method::DELETE, path, Body::None),
            83..88 => (Method::POST, format!("{path}/disable"), Body::None),
            _ => return self.batch(&ids, site, label),
        };
        Call { method, path, body, widgets: vec![id] }
    }

    /// Each widget saved, and perhaps the first one deleted behind that.
    fn batch(&mut self, ids: &[String], site: usize, label: usize) -> Call {
        let (mut lines, mut writes) = (String::new(), Vec::new());
        let last = |past: &Past| past.last().map_or(0, |(revision, _)| *revision);
        for id in ids {
            let revision = last(&self.widgets[id]) + 1;
            let document = document(id, site, label, revision);
            lines += &format!("{}\n", json!({ "put": document }));
            writes.push((id.clone(), revision, Some(document)));
        }
        if self.dice.throw(3) == 0 {
            let revision = last(&self.widgets[&ids[0]]) + 2;
            lines += &format!("{}\n", json!({ "delete": { "id": ids[0], "revision": revision } }));
            writes.push((ids[0].clone(), revision, None));
        }
        let path = "/v1/batch".to_owned();
        Call { method: Method::POST, path, body: Body::Batch(lines, writes), widgets: ids.to_vec() }
    }

    /// Calls until the edge is gone.
    async fn work(&mut self, edge: &Edge, http: &reqwest::Client, answers: &AtomicUsize) {
        loop {
            let Call { method, path, body, widgets } = self.next();
            let request =
                http.request(method, format!("http://{}{path}", edge.admin)).bearer_auth(WRITE_TOKEN);
            let request = request.timeout(Duration::from_secs(10));
            let request = match &body {
                Body::None => request,
                Body::Json(body, media_type) => {
                    request.header("content-type", *media_type).body(body.to_string())
                }
                Body::Batch(lines, _) => {
                    request.header("content-type", "application/x-ndjson").body(lines.clone())
                }
            };
            self.open = Some(widgets.clone());
            let Ok(answer) = request.send().await else { return };
            let status = answer.status().as_u16();
            // A head alone is an answer, too, but tells no revision.
            let Ok(answer) = answer.json::<Value>().await else { return };
            self.open = None;
            answers.fetch_add(1, Ordering::Relaxed);
            match (status, body) {
                (200, Body::Batch(_, writes)) => {
                    for (id, revision, document) in writes {
                        self.widgets.get_mut(&id).unwrap().push((revision, document));
                    }
                }
                (200 | 201, _) => {
                    let document = answer.get("widget").cloned();
                    let revision = document.as_ref().unwrap_or(&answer)["revision"].as_u64().unwrap();
                    assert_ne!(answer["durable"], false, "{path}");
                    let past = self.widgets.get_mut(&widgets[0]).unwrap();
                    match past.last() {
                        Some((last, same)) if *last == revision => assert_eq!(*same, document, "{path}"),
                        _ => past.push((revision, document)),
                    }
                }
                // A deleted widget can't be changed, and some revisions are not to be had back.
                (404 | 422, _) => self.refused += 1,
                (status, _) => panic!("{path}: {status} {answer}"),
            }
            self.answered += 1;
        }
    }

    /// Holds every history against what was answered. A call without an answer was carried out, or was not.
    async fn check(&mut self, edge: &Edge, http: &reqwest::Client) {
        let open = self.open.take().unwrap_or_default();
        let mut carried_out = Vec::new();
        let get = async |path: String| {
            let request = http.get(format!("http://{}{path}", edge.admin)).bearer_auth(WRITE_TOKEN);
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        };
        for (id, past) in &mut self.widgets {
            let history: Vec<Value> = match get(format!("/v1/widgets/{id}/history")).await {
                (404, _) => Vec::new(),
                (_, answer) => answer["history"].as_array().unwrap().clone(),
            };
            let found: Past = history
                .iter()
                .map(|entry| {
                    assert!(entry["at"].is_string() && entry["actor"].is_string(), "{entry}");
                    assert_eq!(entry["deleted"] == true, entry["widget"].is_null(), "{entry}");
                    (entry["revision"].as_u64().unwrap(), entry.get("widget").cloned())
                })
                .collect();
            let known = past.last().map_or(0, |(revision, _)| *revision);
            let newer = found.iter().take_while(|(revision, _)| *revision > known).count();
            if open.contains(id) {
                assert!(newer <= 2, "{id}: {newer} more than were answered");
                carried_out.push(newer > 0);
            } else {
                assert_eq!(newer, 0, "{id}: more than was answered");
            }
            let unanswered: Past = found[..newer].to_vec();
            past.extend(unanswered.into_iter().rev());
            let expected: Past = past.iter().rev().take(KEPT).cloned().collect();
            assert_eq!(found, expected, "{id}");
            let (status, current) = get(format!("/v1/widgets/{id}")).await;
            match found.first().and_then(|(_, document)| document.as_ref()) {
                Some(document) => assert_eq!((status, &current), (200, document)),
                None => assert_eq!(status, 404),
            }
        }
        // A batch by halves.
        assert!(carried_out.windows(2).all(|two| two[0] == two[1]), "{open:?}: {carried_out:?}");
    }
}

#[tokio::test]
async fn history_is_what_was_answered_whatever_is_killed() {
    let mut edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let mut clients: Vec<Client> = (0..CLIENTS).map(Client::new).collect();
    let mut dice = Dice(0x5851_f42d_4c95_7f2d);
    let answered = |clients: &[Client]| clients.iter().map(|client| client.answered).sum::<usize>();
    let mut http = reqwest::Client::new();
    while answered(&clients) < scale(10_000) {
        let (answers, enough) = (AtomicUsize::new(0), 1 + dice.throw(400));
        let killer = async {
            while answers.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            edge.signal("KILL");
        };
        let work = join_all(clients.iter_mut().map(|client| client.work(&edge, &http, &answers)));
        tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(work, killer) }).await.unwrap();
        assert_eq!(edge.exit_code().await, None);
        edge.restart().await;
        // Another one for each process: a connection to the last one would fail.
        http = reqwest::Client::new();
        join_all(clients.iter_mut().map(|client| client.check(&edge, &http))).await;
    }
    let refused: usize = clients.iter().map(|client| client.refused).sum();
    assert!(refused * 3 < answered(&clients), "{refused} refused");
    let pasts: Vec<usize> = clients.iter().flat_map(|client| client.widgets.values().map(Vec::len)).collect();
    assert!(pasts.iter().all(|past| *past > KEPT), "no history was full: {pasts:?}");
}
