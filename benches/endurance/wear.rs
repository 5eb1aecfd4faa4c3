//! Wear: what is left of a million sessions and a hundred thousand saves once they are over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench_support::client::{connect, exchange};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{Admin, document};
use crate::edge::{Edge, Spec};
use crate::load::{Target, on_this_thread, open_and_close};
use crate::proc::{descriptors, resident, threads};
use crate::rows::{Rows, text};
use crate::{Settings, upstreams};

/// Sessions and saves at once.
const SESSIONS_AT_ONCE: usize = 32;
const SAVES_AT_ONCE: usize = 8;
/// Widgets that are saved again and again.
const WIDGETS: usize = 200;
/// Of all, done beforehand: what the edge makes once is no session's and no save's, nor are the last 10,000 events that it
/// remembers.
const WARM_UP: usize = 5;
/// The saves are made in so many parts, so that it shows whether what is left goes on growing.
const PARTS: usize = 5;
/// From the last session until the edge is looked at.
const SETTLED: Duration = Duration::from_secs(3);
/// The longest until descriptors are back.
const BACK: Duration = Duration::from_secs(15);
/// The longest that one save may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that may be left of a session and of a save: less than the smallest thing that could be kept of each.
const OF_A_SESSION: f64 = 8.0;
const OF_A_SAVE: f64 = 64.0;

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let (sessions, saves) = (settings.count(1_000_000, 20_000), settings.count(100_000, 10_000));
    let edge = Edge::start(&settings.binary, upstreams::start()?, Spec::default())?;
    let (id, target, admin) = (edge.id(), edge.target(), edge.admin());
    let resident_then = || {
        std::thread::sleep(SETTLED);
        resident(id)
    };

    // The first save opens the audit log, which stays open.
    on_this_thread(save_all(admin, SAVES_AT_ONCE))?;
    let fresh = State::of(id, admin)?;
    on_this_thread(open_all(&target, sessions / WARM_UP))?;
    on_this_thread(save_all(admin, saves / WARM_UP))?;
    let warm = resident_then()?;
    let sessions_took = on_this_thread(open_all(&target, sessions))?;
    let after_sessions = resident_then()?;
    let mut saves_took = Duration::ZERO;
    let mut after_parts = Vec::new();
    for _ in 0..PARTS {
        saves_took += on_this_thread(save_all(admin, saves / PARTS))?;
        after_parts.push(resident_then()?);
    }
    for (what, count, took) in
        [("sessions opened and closed", sessions, sessions_took), ("saves", saves, saves_took)]
    {
        let rate = count as f64 / took.as_secs_f64();
        rows.told(format!("wear: {count} {what}"), format!("{} ({rate:.0} a second)", text(took)));
    }
    rows.told(
        "wear: resident KiB: warm, after the sessions",
        format!("{}, {}", warm >> 10, after_sessions >> 10),
    );
    let &[after_first, .., after_saves] = &after_parts[..] else { bail!("saves in fewer than two parts") };
    let parts: Vec<String> = after_parts.iter().map(|bytes| (bytes >> 10).to_string()).collect();
    rows.told("wear: resident KiB after each fifth of the saves", parts.join(", "));
    let left = |after: u64, before: u64, count: usize| (after as f64 - before as f64) / count as f64;
    for (what, most, left) in [
        ("session", OF_A_SESSION, left(after_sessions, warm, sessions)),
        ("save, after the first fifth", OF_A_SAVE, left(after_saves, after_first, saves - saves / PARTS)),
    ] {
        rows.judged(
            format!("wear: bytes left of a {what}"),
            format!("<= {most}"),
            format!("{left:.2}"),
            left <= most,
        );
    }
    let started = Instant::now();
    let mut end = State::of(id, admin)?;
    while end != fresh && started.elapsed() < BACK {
        std::thread::sleep(Duration::from_millis(100));
        end = State::of(id, admin)?;
    }
    rows.judged(
        "wear: descriptors",
        format!("<= {}", fresh.descriptors),
        end.descriptors,
        end.descriptors <= fresh.descriptors,
    );
    rows.judged("wear: threads", format!("<= {}", fresh.threads), end.threads, end.threads <= fresh.threads);
    rows.judged("wear: tasks", format!("<= {}", fresh.tasks), end.tasks, end.tasks <= fresh.tasks);
    rows.judged("wear: sessions open", 0, end.sessions, end.sessions == 0);
    Ok(())
}

/// What an edge holds.
#[derive(PartialEq, Eq)]
struct State {
    descriptors: usize,
    threads: usize,
    tasks: u64,
    sessions: u64,
}

impl State {
    fn of(id: u32, admin: Admin) -> Result<Self> {
        let metric = |line: &str| Ok::<_, anyhow::Error>(admin.metric(line)? as u64);
        let sessions = metric("embedgate_sessions_open ")?;
        let tasks =
            ["requests", "control"].map(|runtime| format!("embedgate_tasks{{runtime=\"{runtime}\"}} "));
        let tasks = metric(&tasks[0])? + metric(&tasks[1])?;
        Ok(Self { descriptors: descriptors(id)?, threads: threads(id)?, tasks, sessions })
    }
}

/// Opens and closes so many, some at a time; the time that it took.
async fn open_all(target: &Target, count: usize) -> Result<Duration> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..SESSIONS_AT_ONCE {
        let target = target.clone();
        tasks.spawn_local(async move { open_and_close(&target, count / SESSIONS_AT_ONCE).await });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(started.elapsed())
}

/// Makes so many saves, some at a time; the time that it took.
async fn save_all(admin: Admin, count: usize) -> Result<Duration> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..SAVES_AT_ONCE {
        tasks.spawn_local(async move {
            let mut stream = connect(admin.addr).await?;
            let mut buffer = vec![0; 64 * 1024];
            for number in 0..count / SAVES_AT_ONCE {
                let id = format!("wgt_{}", (number * SAVES_AT_ONCE + client) % WIDGETS);
                let body = document(&id, &[format!("site{number}.example")]);
                let request = admin.request("PUT", &format!("/v1/widgets/{id}"), &body, "");
                let head = timeout(PATIENCE, exchange(&mut stream, &request, &mut buffer)).await;
                let head = head.context("a save takes too long")??;
                ensure!(matches!(head.status, 200 | 201), "saving {id}: {}", head.status);
                if head.close {
                    stream = connect(admin.addr).await?;
                }
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(started.elapsed())
}
