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

use embedgate::policy::suffix::PublicSuffixes;
use embedgate::policy::widget::Widget;
use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::{SourceKind, store};

const SAVES: usize = 2000;
const BATCH: usize = 20_000;

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
    import(&path, count);
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

fn import(path: &Path, count: usize) {
    let documents: Vec<String> = {
        let mut numbers: Vec<usize> = (0..count).collect();
        numbers.sort_by_key(|n| id(*n));
        numbers.into_iter().map(|n| document(n, "site")).collect()
    };
    let publisher = start(path);
    let started = Instant::now();
    for batch in documents.chunks(BATCH) {
        let (front, back) = batch.split_at(batch.len() / 2);
        let changes = std::thread::scope(|scope| {
            let back = scope.spawn(|| back.iter().map(|json| parse(json)).collect::<Vec<_>>());
            let mut changes: Vec<Change> = front.iter().map(|json| parse(json)).collect();
            changes.extend(back.join().unwrap());
            changes
        });
        publisher.apply(changes, ApplyOptions::default(), Actor::CommandLine).unwrap();
    }
    let took = started.elapsed();
    println!(
        "import                 {:.0} widgets/s, JSON to durable, batches of {BATCH}",
        count as f64 / took.as_secs_f64()
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

/// One look-up waits for the one before it, as a request's does, and finds nothing in the processor's caches.
fn reads(publisher: &Publisher, count: usize) {
    let ids: Vec<String> = (0..count).map(|n| id(shuffled(n, count))).collect();
    let book = publisher.live().load_full();
    let plain: HashMap<String, u64> = ids.iter().map(|id| (id.clone(), 0)).collect();
    let mut ratios = Vec::new();
    let (mut of_book, mut of_plain) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let in_plain = chained(&ids, |id| plain.get(id).copied().unwrap());
        let in_book = chained(&ids, |id| u64::from(!book.get(id).unwrap().enabled));
        ratios.push(in_book / in_plain);
        of_book.push(in_book);
        of_plain.push(in_plain);
    }
    for values in [&mut ratios, &mut of_book, &mut of_plain] {
        values.sort_unstable_by(f64::total_cmp);
    }
    println!(
        "get, cold and chained  {:.0} ns, plain HashMap {:.0} ns, ratio {:.2} ({:.2} to {:.2})",
        of_book[3], of_plain[3], ratios[3], ratios[0], ratios[6]
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
