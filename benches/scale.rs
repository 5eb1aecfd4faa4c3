//! What a large book costs: import, start, memory, saves, reads. `make bench-scale` prints it for a million widgets
//! with four entries each; `EMBEDGATE_BENCH_WIDGETS` sets another number.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a program of its own")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedgate::policy::decision::WidgetRules;
use embedgate::policy::suffix::PublicSuffixes;
use embedgate::policy::widget::{Widget, WidgetId};
use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::import::import;
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::{SourceKind, store};

const SAVES: usize = 2000;

fn main() {
    let count = std::env::var("EMBEDGATE_BENCH_WIDGETS").map_or(1_000_000, |count| count.parse().unwrap());
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("measure"), Some(path)) => measure(Path::new(&path), count),
        _ => run(count),
    }
}

fn run(count: usize) {
    let folder = tempfile::tempdir_in(std::env::var("CARGO_TARGET_TMPDIR").unwrap_or(".".into())).unwrap();
    let path = folder.path().join("rules.redb");
    println!("{count} widgets with four entries each");
    fill(&path, count);
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!("store                  {} MiB, {} bytes a widget", bytes >> 20, bytes / count as u64);
    for name in ["start", "start after kill -9"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("measure")
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        println!("{name:22} {}", lines.next().unwrap());
        let rest: Vec<String> = lines.take_while(|line| line != "done").collect();
        if name == "start" {
            rest.iter().for_each(|line| println!("{line}"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn id(n: usize) -> String {
    format!("wgt_{:016x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn document(n: usize, first: &str) -> String {
    format!(
        r#"{{"id":"{}","allowed_domains":["{first}{n}.example.com","*.shop{n}.example.org","https://pr-*.preview{n}.example.net","localhost:3000"],"labels":{{"team":"growth"}}}}"#,
        id(n)
    )
}

fn suffixes() -> Arc<PublicSuffixes> {
    Arc::new(PublicSuffixes::shipped().clone())
}

fn start(path: &Path) -> Publisher {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::Store, "");
    store::start(publisher, path, Path::new("no seed"), suffixes()).unwrap()
}

fn parse(json: &str) -> Change {
    Change::put(Widget::parse(json.as_bytes(), PublicSuffixes::shipped()).unwrap())
}

fn fill(path: &Path, count: usize) {
    let mut numbers: Vec<usize> = (0..count).collect();
    numbers.sort_by_cached_key(|n| id(*n));
    let documents: String = numbers.into_iter().map(|n| document(n, "site") + "\n").collect();
    let publisher = start(path);
    let started = Instant::now();
    let report = import(&publisher, documents.as_bytes(), PublicSuffixes::shipped(), |_| {}).unwrap();
    assert_eq!(report.created, count as u64);
    println!(
        "import                 {:.0} widgets/s, JSON to durable",
        count as f64 / started.elapsed().as_secs_f64()
    );
}

fn measure(path: &Path, count: usize) {
    black_box(PublicSuffixes::shipped());
    let before = resident();
    let started = Instant::now();
    let publisher = start(path);
    println!("{:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    assert_eq!(publisher.live().load().len(), count);
    println!("resident               {} bytes a widget", (resident() - before) / count);

    let mut saves: Vec<Duration> = (0..SAVES)
        .map(|n| {
            let change = parse(&document(shuffled(n, count), "new"));
            let started = Instant::now();
            publisher.apply(vec![change], ApplyOptions::default(), Actor::CommandLine).unwrap();
            started.elapsed()
        })
        .collect();
    saves.sort_unstable();
    let at = |percent: usize| saves[saves.len() * percent / 100].as_secs_f64() * 1e3;
    println!(
        "save, durable          p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        at(50),
        at(99),
        saves[SAVES - 1].as_secs_f64() * 1e3
    );
    println!("resident after saves   {} bytes a widget", (resident() - before) / count);
    reads(&publisher, count);
    println!("done");
    std::thread::sleep(Duration::from_secs(60));
}

/// One look-up waits for the one before it, as a request's does, and finds nothing in the processor's caches. Of
/// several rounds the quickest counts: what is slower was disturbed.
fn reads(publisher: &Publisher, count: usize) {
    let ids: Vec<String> = (0..count).map(|n| id(shuffled(n, count))).collect();
    let book = publisher.live().load_full();
    let plain: HashMap<WidgetId, WidgetRules> =
        book.widgets().map(|rules| (rules.id.clone(), rules.clone())).collect();
    let (mut of_key, mut of_book, mut of_plain) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..9 {
        of_key = of_key.min(chained(&ids, |id| u64::from(id.starts_with('x'))));
        of_plain = of_plain.min(chained(&ids, |id| u64::from(!plain.get(id).unwrap().enabled)));
        of_book = of_book.min(chained(&ids, |id| u64::from(!book.get(id).unwrap().enabled)));
    }
    println!(
        "get, cold and chained  {:.0} ns, plain HashMap {:.0} ns, ratio {:.2} (reading the key itself {of_key:.0} ns aside)",
        of_book - of_key,
        of_plain - of_key,
        (of_book - of_key) / (of_plain - of_key)
    );
}

fn chained(ids: &[String], get: impl Fn(&str) -> u64) -> f64 {
    let started = Instant::now();
    let mut zero = 0;
    for n in 0..ids.len() {
        zero += get(&ids[n + zero as usize]);
    }
    assert_eq!(black_box(zero), 0);
    started.elapsed().as_nanos() as f64 / ids.len() as f64
}

/// Goes through all numbers below `count` in a scattered order.
fn shuffled(n: usize, count: usize) -> usize {
    (n * 7_368_787) % count
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
