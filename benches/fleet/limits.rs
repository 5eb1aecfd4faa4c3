//! Limits: a budget that all edges share, under a flood on each of them, while one is killed and comes back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_support::ground::HOST;
use bench_support::opens::most_in_a_minute;
use bench_support::rows::{Rows, text};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Settings;
use crate::client::Client;
use crate::fleet::{Fleet, Plan};

const EDGES: usize = 3;
/// The edge that is killed.
const KILLED: usize = 1;
const SITES: usize = 4;
const WIDGET: &str = "wgt_shared";
/// Opens of the widget in a minute, and of each of its sites.
const OF_WIDGET: usize = 300;
const OF_SITE: usize = 100;
/// Between two opens at one edge.
const PAUSE: Duration = Duration::from_millis(40);
/// The longest that an answer may take: one that waits for a larger share included.
const PATIENCE: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(60);

/// Open that was let in.
struct LetIn {
    site: usize,
    sent: Duration,
    answered: Duration,
}

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let plan = Plan { edges: EDGES, servers: settings.count(3, 1), ..Plan::default() };
    let mut fleet = Fleet::start(settings, plan).await?;
    let sites: Vec<String> = (0..SITES).map(site).collect();
    let document = serde_json::json!({
        "id": WIDGET, "allowed_domains": sites,
        "limits": { "widget": { "opens_per_minute": OF_WIDGET }, "embedder": { "opens_per_minute": OF_SITE } },
    });
    let path = format!("/v1/widgets/{WIDGET}?wait=fleet&timeout=10s");
    let saved = fleet.edges[0].admin().call(START, "PUT", &path, &document.to_string()).await?;
    ensure!(matches!(saved.status, 200 | 201), "saving {WIDGET}: {} {}", saved.status, saved.body);

    let time = Duration::from_secs(settings.count(300, 100));
    let begun = Instant::now();
    let mut floods = JoinSet::new();
    for edge in &fleet.edges {
        floods.spawn(flood(edge.ground.plain, begun, time));
    }
    sleep(time / 3).await;
    fleet.edges[KILLED].kill();
    sleep(Duration::from_secs(5)).await;
    fleet.edges[KILLED].begin()?;
    let back = fleet.edges[KILLED].ready(START).await?;
    let (mut let_in, mut asked) = (Vec::new(), 0);
    while let Some(flooded) = floods.join_next().await {
        let (opens, count) = flooded?;
        let_in.extend(opens);
        asked += count;
    }

    let what = format!("limits: {EDGES} edges, one killed and back");
    rows.told(format!("{what}: opens asked for, let in"), format!("{asked}, {}", let_in.len()));
    rows.told(format!("{what}: ready again after"), text(back));
    let most = |is_counted: &dyn Fn(&LetIn) -> bool| {
        let counted = let_in.iter().filter(|open| is_counted(open));
        most_in_a_minute(counted.map(|open| (open.sent, open.answered)))
    };
    judge(&what, "the widget", OF_WIDGET, most(&|_| true), rows);
    let of_sites = (0..SITES).map(|site| most(&|open| open.site == site));
    judge(&what, "a site", OF_SITE, of_sites.max().unwrap_or_default(), rows);
    Ok(())
}

/// By how much a budget may be passed, and that the edges together can use nearly all of it.
fn judge(what: &str, whose: &str, limit: usize, most: usize, rows: &mut Rows) {
    let error = (EDGES - 1).max(limit / 100);
    let is_met = most <= limit + error && most * 10 >= limit * 8;
    rows.judged(
        format!("{what}: of {whose} in any 60 s, at most"),
        format!("<= {limit} + {error}"),
        most,
        is_met,
    );
}

/// Opens at one edge, one after the other, for so long. What was let in, and how many were asked for. While the edge is
/// away, nobody is let in.
async fn flood(addr: SocketAddr, begun: Instant, time: Duration) -> (Vec<LetIn>, usize) {
    let mut client = Client::new(addr);
    let (mut let_in, mut asked) = (Vec::new(), 0);
    while begun.elapsed() < time {
        let nth = asking_site(asked);
        let request = format!(
            "GET /w/{WIDGET}/token HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{}\r\n\r\n",
            site(nth)
        );
        let sent = begun.elapsed();
        asked += 1;
        let answer = client.ask_within(PATIENCE, request.as_bytes()).await;
        if answer.is_ok_and(|answer| answer.status == 200) {
            let_in.push(LetIn { site: nth, sent, answered: begun.elapsed() });
        }
        sleep(PAUSE).await;
    }
    (let_in, asked)
}

/// The site whose turn it is: the first asks as often as all others together, so that its own budget is used up as well
/// as the widget's.
fn asking_site(turn: usize) -> usize {
    if turn.is_multiple_of(2) { 0 } else { 1 + turn / 2 % (SITES - 1) }
}

fn site(number: usize) -> String {
    format!("site{number}.example.com")
}
