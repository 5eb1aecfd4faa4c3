//! What a large book costs, against its targets: import, start, memory, saves, reads. `make bench-scale` prints it
//! for a million widgets with four entries each; `EMBEDGATE_BENCH_WIDGETS` sets another number.
//!
//! Every measurement runs in a process of its own, so that none sees what another has left in memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program of its own")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use embedgate::rules::book::RuleBook;
use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::import::import;
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::store::StoreSource;
use embedgate::rules::source::{RuleSource, SourceKind};
use jiff::Timestamp;
use mimalloc::MiMalloc;

use embedgate_policy::compiled::WidgetRulesBuf;
use embedgate_policy::decision::{Decision, EdgePolicy, Facts, TicketState, decide};
use embedgate_policy::origin::{Embedder, OriginSet};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::{Widget, WidgetId};

/// The binary's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SAVES: usize = 2000;
const ROUNDS: usize = 9;

fn main() {
    let count = std::env::var("EMBEDGATE_BENCH_WIDGETS").map_or(1_000_000, |count| count.parse().unwrap());
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(part) = arguments.next() else { return run(count) };
    let files = Files(arguments.next().unwrap().into());
    black_box(PublicSuffixes::shipped());
    match part.as_str() {
        "import" => measure_import(&files, count),
        "saves" => measure_saves(&files, count),
        "history" => measure_history(&files, count),
        "reads" => measure_reads(&files, count),
        "meanwhile" => measure_readers_meanwhile(&files, count),
        "start after kill -9" => drop(measure_start(&files, count)),
        part => panic!("no part {part}"),
    }
}

struct Files(PathBuf);

impl Files {
    fn store(&self) -> PathBuf {
        self.0.join("rules.redb")
    }

    fn store_bytes(&self) -> usize {
        fs::metadata(self.store()).unwrap().len() as usize
    }

    fn documents(&self) -> PathBuf {
        self.0.join("widgets.ndjson")
    }
}

fn run(count: usize) {
    let folder = tempfile::tempdir_in(std::env::var("CARGO_TARGET_TMPDIR").unwrap_or(".".into())).unwrap();
    let files = Files(folder.path().into());
    let mut documents = BufWriter::new(File::create(files.documents()).unwrap());
    let mut numbers: Vec<usize> = (0..count).collect();
    numbers.sort_by_cached_key(|n| id(*n));
    numbers.iter().for_each(|n| writeln!(documents, "{}", document(*n, "site")).unwrap());
    documents.flush().unwrap();
    println!("{count} widgets with four entries each");
    for part in ["import", "saves", "history", "reads", "meanwhile", "start after kill -9"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([part.as_ref(), folder.path().as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.take_while(|line| line != "kill me").for_each(|line| println!("{line}"));
        // The last one before the start that is to follow on it; the others have ended by themselves.
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

/// What a page sends that embeds the widget: one that is listed, by each of the entries, or a stranger.
fn origin(n: usize) -> String {
    match n % 5 {
        0 => format!("https://site{n}.example.com"),
        1 => format!("https://www.shop{n}.example.org"),
        2 => format!("https://pr-7.preview{n}.example.net"),
        3 => "http://localhost:3000".to_owned(),
        _ => format!("https://stranger{n}.example"),
    }
}

fn start(path: &Path) -> Arc<Publisher> {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "");
    let suffixes = Arc::new(PublicSuffixes::shipped().clone());
    StoreSource::new(path, "no seed").start(publisher, suffixes).unwrap().publisher
}

fn start_for_import(path: &Path) -> Publisher {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "");
    let suffixes = Arc::new(PublicSuffixes::shipped().clone());
    StoreSource::new(path, "no seed").open_bulk(publisher, suffixes).unwrap()
}

fn import_all(publisher: &Publisher, documents: impl BufRead + Send) -> f64 {
    let started = Instant::now();
    let report = import(publisher, documents, PublicSuffixes::shipped(), None, |_| {}).unwrap();
    assert_eq!(report.faults, 0);
    report.documents as f64 / started.elapsed().as_secs_f64()
}

fn measure_import(files: &Files, count: usize) {
    let (before, cpu) = (memory("VmRSS:"), cpu());
    let publisher = start_for_import(&files.store());
    let rate = import_all(&publisher, BufReader::new(File::open(files.documents()).unwrap()));
    let cpu = (self::cpu() - cpu).as_secs_f64() * 1e6 / count as f64;
    println!(
        "import                 {rate:.0} widgets/s, JSON to durable; {cpu:.1} µs of processor time a widget"
    );
    println!("  peak                 {} bytes a widget", (memory("VmHWM:") - before) / count);
    println!("  resident             {} bytes a widget", (memory("VmRSS:") - before) / count);
    drop(publisher);
    println!("store                  {} bytes a widget", files.store_bytes() / count);
}

fn measure_start(files: &Files, count: usize) -> (Arc<Publisher>, usize) {
    let (before, cpu, started) = (memory("VmRSS:"), cpu(), Instant::now());
    let publisher = start(&files.store());
    let took = [started.elapsed(), self::cpu() - cpu].map(|time| time.as_millis());
    let part = std::env::args().nth(1).unwrap().replace("saves", "start");
    println!("{part:22} {} ms, {} ms of processor time", took[0], took[1]);
    assert!(publisher.live().load().len() >= count);
    (publisher, before)
}

fn measure_saves(files: &Files, count: usize) {
    let (publisher, before) = measure_start(files, count);
    println!("  peak                 {} bytes a widget", (memory("VmHWM:") - before) / count);
    println!("  resident             {} bytes a widget", (memory("VmRSS:") - before) / count);
    let mut saves: Vec<Duration> = (0..SAVES).map(|n| save(&publisher, shuffled(n, count))).collect();
    println!("save, durable          {}", Spread::of(&mut saves));
    println!("  resident after       {} bytes a widget", (memory("VmRSS:") - before) / count);
}

fn save(publisher: &Publisher, n: usize) -> Duration {
    let json = document(n, "new");
    let change = Change::put(Widget::parse(json.as_bytes(), PublicSuffixes::shipped()).unwrap());
    let started = Instant::now();
    publisher.apply(vec![change], ApplyOptions::default(), Actor::CommandLine).unwrap();
    started.elapsed()
}

/// How many earlier documents each widget gets.
const PAST: usize = 2;

/// What it costs to keep what each widget was.
fn measure_history(files: &Files, count: usize) {
    let (publisher, before) = (start_for_import(&files.store()), files.store_bytes());
    let started = Instant::now();
    for round in 0..PAST {
        for first in (0..count).step_by(10_000) {
            let team = |n: usize| document(n, "site").replace("growth", &format!("growth{round}"));
            let put =
                |n: usize| Change::put(Widget::parse(team(n).as_bytes(), PublicSuffixes::shipped()).unwrap());
            let changes = (first..count.min(first + 10_000)).map(put).collect();
            let confirmed = Some(usize::MAX);
            publisher
                .apply_confirmed(changes, ApplyOptions::default(), confirmed, Actor::CommandLine)
                .unwrap();
        }
    }
    let rate = (PAST * count) as f64 / started.elapsed().as_secs_f64();
    drop(publisher);
    println!("history                {rate:.0} widgets/s saved again, in batches");
    println!(
        "  store                {} bytes a widget more for each document before it",
        (files.store_bytes() - before) / count / PAST
    );
}

/// One look-up waits for the one before it, as a request's does, and finds nothing in the processor's caches. Of
/// several rounds the quickest counts: what is slower was disturbed.
fn measure_reads(files: &Files, count: usize) {
    let book = start(&files.store()).live().load_full();
    let asked: Vec<(String, String)> =
        (0..count).map(|n| shuffled(n, count)).map(|n| (id(n), origin(n))).collect();
    let widgets = || {
        book.widgets().map(|rules| {
            (
                rules.id,
                Widget::parse(format!(r#"{{"id":"{}"}}"#, rules.id).as_bytes(), PublicSuffixes::shipped())
                    .unwrap()
                    .compile(),
            )
        })
    };
    let by_text: HashMap<Box<str>, WidgetRulesBuf> =
        widgets().map(|(id, rules)| (id.into(), rules)).collect();
    let by_id: HashMap<WidgetId, WidgetRulesBuf> =
        widgets().map(|(id, rules)| (WidgetId::parse(id).unwrap(), rules)).collect();
    let (policy, now) = (policy(), Timestamp::now());
    let disabled = |rules: &WidgetRulesBuf| u64::from(!rules.as_rules().enabled);
    let mut best = [f64::MAX; 5];
    for _ in 0..ROUNDS {
        let round = [
            chained(&asked, |(id, origin)| u64::from(id.starts_with('x') || origin.starts_with('x'))),
            chained(&asked, |(id, _)| disabled(&by_text[id.as_str()])),
            chained(&asked, |(id, _)| disabled(&by_id[id.as_str()])),
            chained(&asked, |(id, _)| u64::from(!book.get(id).unwrap().enabled)),
            chained(&asked, |(id, origin)| {
                u64::from(judge(&book, id, origin, &policy, now).would_deny.is_some())
            }),
        ];
        best.iter_mut().zip(round).for_each(|(best, round)| *best = best.min(round));
    }
    let [of_keys, by_text, by_id, get, verdict] = best;
    println!("cold and chained, reading the keys themselves ({of_keys:.0} ns) aside:");
    println!("  HashMap<Box<str>, _> {:.0} ns", by_text - of_keys);
    println!("  HashMap<WidgetId, _> {:.0} ns", by_id - of_keys);
    for (name, time) in [("get", get), ("verdict", verdict)] {
        let ratio = |plain: f64| (time - of_keys) / (plain - of_keys);
        println!(
            "  {name:20} {:.0} ns, {:.2} and {:.2} of those",
            time - of_keys,
            ratio(by_text),
            ratio(by_id)
        );
    }
}

/// The whole of it, from the header line. The widget first: while its rules are on their way, the origin is parsed.
#[inline]
fn judge(book: &RuleBook, id: &str, origin: &str, policy: &EdgePolicy, now: Timestamp) -> Decision {
    let widget = book.get(id);
    let embedder = Embedder::identify(std::iter::once(origin.as_bytes()), std::iter::empty());
    let facts = Facts {
        widget: id,
        class: Class::Frame,
        embedder,
        missing_denied: false,
        ticket: TicketState::Absent,
    };
    decide(&facts, widget, policy, now)
}

fn policy() -> EdgePolicy {
    let origin = |text: &str| embedgate_policy::origin::OriginBuf::parse(text).unwrap();
    EdgePolicy {
        own_origins: [origin("https://widgets.vendor.example")].into_iter().collect(),
        system_origins: OriginSet::new([origin("https://dashboard.vendor.example")]),
        open_allowed: true,
        stale_at: None,
    }
}

fn chained(asked: &[(String, String)], get: impl Fn(&(String, String)) -> u64) -> f64 {
    let started = Instant::now();
    let mut zero = 0;
    for n in 0..asked.len() {
        zero += get(&asked[n + zero as usize]);
    }
    assert_eq!(black_box(zero), 0);
    started.elapsed().as_nanos() as f64 / asked.len() as f64
}

/// How long one reader's verdicts take while another thread writes.
fn measure_readers_meanwhile(files: &Files, count: usize) {
    let publisher = start(&files.store());
    println!("verdicts meanwhile, one reader:");
    read_while("idle", &publisher, count, || thread::sleep(Duration::from_secs(2)));
    read_while("saves", &publisher, count, || {
        (SAVES..2 * SAVES).for_each(|n| {
            save(&publisher, shuffled(n, count));
        });
    });
    let more: String = (count..count + count / 5).map(|n| document(n, "site") + "\n").collect();
    read_while("import", &publisher, count, || {
        import_all(&publisher, more.as_bytes());
    });
    println!("kill me");
    thread::sleep(Duration::from_secs(60));
}

fn read_while(name: &str, publisher: &Publisher, count: usize, write: impl FnOnce()) {
    let (live, done, policy) = (publisher.live().clone(), AtomicBool::new(false), policy());
    let mut times = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut times = Vec::with_capacity(1 << 24);
            for n in (0..).take_while(|_| !done.load(Ordering::Relaxed)) {
                let n = shuffled(n % count, count);
                let (id, origin, now) = (id(n), origin(n), Timestamp::now());
                let started = Instant::now();
                black_box(judge(&live.load(), &id, &origin, &policy, now));
                times.push(started.elapsed());
            }
            times
        });
        write();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    println!("  {name:20} {}", Spread::of(&mut times));
}

struct Spread([Duration; 4]);

impl Spread {
    fn of(times: &mut [Duration]) -> Self {
        times.sort_unstable();
        Self([500, 990, 999, 1000].map(|per_mille| times[(times.len() - 1) * per_mille / 1000]))
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, p999, most] = self.0.map(|time| time.as_secs_f64() * 1e6);
        write!(f, "p50 {p50:.1} µs, p99 {p99:.1} µs, p99.9 {p999:.1} µs, most {most:.1} µs")
    }
}

/// Goes through all numbers below `count` in a scattered order.
fn shuffled(n: usize, count: usize) -> usize {
    (n * 7_368_787) % count
}

/// What all threads have spent, in ticks of 10 ms: other than the clock it doesn't see what else runs here.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let rest = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    rest.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}
