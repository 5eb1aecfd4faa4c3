//! The operator's page: how soon a view is there with a million widgets, and what a hundred open pages cost requests.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bench_support::client::Connection;
use bench_support::rules::id;

use crate::activity::{Ask, ask_all, import, plain};
use crate::admin::Admin;
use crate::edge::{Edge, Prepared, Spec};
use crate::load::on_this_thread;
use crate::rows::{Rows, text};
use crate::{Settings, upstreams};

/// The longest that the first view may take.
const FIRST_VIEW: Duration = Duration::from_millis(200);
/// Further views whose slowest is told.
const VIEWS: usize = 50;

/// What a view says while the first survey of all documents is under way.
const BEING_READ: &str = "All documents are being read";

/// Open pages.
const PAGES: usize = 100;
/// Time after which each asks for its view again, as `refresh.js` has it.
const REFRESH: Duration = Duration::from_secs(10);
/// Refreshes of a page between two times that it asks for the minutes, as `overview.js` does.
const MINUTES_EACH: usize = 6;

/// Requests a second beside them.
const RATE: u32 = 5_000;
/// Rounds without pages and with them, in turn. The medians are compared.
const ROUNDS: usize = 5;
/// Most processor time more of a request, in parts of a hundred.
const MOST_MORE: f64 = 5.0;

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let (widgets, seconds) = (settings.count(1_000_000, 10_000), settings.count(20, 3));
    let prepared = Prepared::new(&settings.binary, upstreams::start()?, Spec::default())?;
    import(&prepared, widgets)?;
    let edge = prepared.start()?;
    let admin = edge.admin();
    let what = format!("page, {widgets} widgets");

    // Whoever looks first has all documents read, and does not wait for that.
    rows.at_most(format!("{what}: first view"), FIRST_VIEW, view(admin)?);
    let slowest = (0..VIEWS).map(|_| view(admin)).collect::<Result<Vec<_>>>()?.into_iter().max();
    rows.at_most(
        format!("{what}: slowest of {VIEWS}, while all are read"),
        FIRST_VIEW,
        slowest.unwrap_or_default(),
    );

    for (words, path) in searches(widgets) {
        rows.at_most(format!("{what}: widgets {words}"), FIRST_VIEW, search(admin, &path)?);
    }

    let reading = Instant::now();
    while admin.call("GET", "/", "")?.1.contains(BEING_READ) {
        sleep(Duration::from_secs(1));
    }
    rows.told(format!("{what}: all documents are read after some"), text(reading.elapsed()));

    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut of_control = Duration::ZERO;
    for _ in 0..ROUNDS {
        without.push(load(&edge, widgets, seconds)?);
        let pages = Pages::open(admin)?;
        let before = processor_time(edge.id(), "control")?;
        with.push(load(&edge, widgets, seconds)?);
        of_control += processor_time(edge.id(), "control")?.saturating_sub(before);
        let shown = pages.close()?;
        ensure!(shown > 0, "no page was shown");
    }
    let (without, with) = (median(without), median(with));
    let more = (with / without - 1.0) * 100.0;
    let micros = |seconds: f64| format!("{:.1} µs", seconds * 1e6);
    rows.told(format!("{what}: processor time of a request, no page open"), micros(without));
    rows.told(format!("{what}: the same with {PAGES} open pages"), micros(with));
    rows.judged(
        format!("{what}: that is more by"),
        format!("<= {MOST_MORE} %"),
        format!("{more:.1} %"),
        more <= MOST_MORE,
    );
    let share = of_control.as_secs_f64() / (ROUNDS * seconds) as f64 * 100.0;
    rows.told(format!("{what}: of one core, what the pages take"), format!("{share:.1} %"));
    Ok(())
}

/// The time of one view, on a connection of its own.
fn view(admin: Admin) -> Result<Duration> {
    let begun = Instant::now();
    let (status, page) = admin.call("GET", "/", "")?;
    ensure!(status == 200 && page.contains("Needs attention"), "the view: {status} {page}");
    Ok(begun.elapsed())
}

/// Searches, each in words and as the form sends it. What few or no widgets have is the dearest.
fn searches(widgets: usize) -> [(&'static str, String); 5] {
    [
        ("without a filter", "/widgets".to_owned()),
        ("whose id begins with that of the last", format!("/widgets?id={}", id(widgets - 1))),
        ("in staging", "/widgets?environment=staging".to_owned()),
        ("that admit a site of the last", format!("/widgets?site=site{}.example.com", widgets - 1)),
        ("with a label that none has", "/widgets?label=nobody".to_owned()),
    ]
}

/// The time of one page of found widgets.
fn search(admin: Admin, path: &str) -> Result<Duration> {
    let begun = Instant::now();
    let (status, page) = admin.call("GET", path, "")?;
    ensure!(status == 200 && page.contains(r#"id="found""#), "{path}: {status} {page}");
    Ok(begun.elapsed())
}

/// Processor time of one request at the edge's threads, in seconds.
fn load(edge: &Edge, widgets: usize, seconds: usize) -> Result<f64> {
    let before = processor_time(edge.id(), "edge")?;
    let asks = (0..RATE as usize * seconds).map(move |nth| {
        let number = nth * 7919 % widgets;
        let page = format!("site{number}.example.com");
        Ask { number, widget: id(number), page, is_listed: true }
    });
    let tally = on_this_thread(ask_all(plain(edge), asks, Some(RATE), |_| {}))?;
    let failed = tally.lost() + tally.wrong.get();
    ensure!(failed == 0, "{failed} requests failed: {}{}", tally.first_lost(), tally.wrong.first());
    let took = processor_time(edge.id(), "edge")?.saturating_sub(before);
    Ok(took.as_secs_f64() / tally.answered.get() as f64)
}

/// Processor time of all threads of a process whose names begin so.
fn processor_time(process: u32, named: &str) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        // One that has ended meanwhile has no files any more.
        let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
        if !name.starts_with(named) {
            continue;
        }
        let times = fs::read_to_string(task.join("schedstat")).context("schedstat")?;
        nanoseconds += times.split_whitespace().next().context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Open pages: each asks on a kept connection, as its scripts do.
struct Pages {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<usize>>,
}

impl Pages {
    fn open(admin: Admin) -> Result<Self> {
        let mut connections = (0..PAGES).map(|_| Connection::open(admin.addr)).collect::<Result<Vec<_>>>()?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (begun, step) = (Instant::now(), REFRESH / u32::try_from(PAGES)?);
            let mut shown = 0;
            while !is_over.load(Ordering::Relaxed) {
                let page = shown % PAGES;
                let paths = match shown / PAGES % MINUTES_EACH {
                    0 => &["/", "/v1/minutes?last=60"][..],
                    _ => &["/"],
                };
                let connection = connections.get_mut(page).context("no such page")?;
                for path in paths {
                    let (status, said) = connection.ask(&admin.request("GET", path, "", ""))?;
                    ensure!(status == 200, "{path}: {status} {said}");
                }
                shown += 1;
                sleep((begun + step * u32::try_from(shown)?).saturating_duration_since(Instant::now()));
            }
            Ok(shown)
        });
        Ok(Self { over, thread })
    }

    /// Closes them; how often one was shown.
    fn close(self) -> Result<usize> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the pages panicked"))?
    }
}
