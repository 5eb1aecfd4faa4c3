//! What the rule book costs at ten, a hundred thousand and a million widgets: a verdict from the id, beside a look-up
//! in a plain `HashMap` with the same keys; a save and a batch, in memory and durable; a start from the store.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program of its own"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_support::rules::{document, fill, id, in_memory, put, save, suffixes};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::store::StoreSource;
use embedgate::rules::source::{RuleSource, SourceKind};
use jiff::Timestamp;

use embedgate_policy::decision::{EdgePolicy, Facts, TicketState, decide};
use embedgate_policy::origin::Embedder;
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::WidgetId;

const SIZES: [usize; 3] = [10, 100_000, 1_000_000];
/// A batch is so many changes.
const BATCH: usize = 100;
/// Widgets of the durable book.
const DURABLE: usize = 100_000;

criterion_group! {
    name = rulebook;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = in_memory_books, durable_book
}
criterion_main!(rulebook);

fn in_memory_books(criterion: &mut Criterion) {
    for count in SIZES {
        let publisher = in_memory();
        fill(&publisher, count);
        verdicts(criterion, publisher.live(), count);
        saves(criterion, "in memory", &publisher, count);
    }
}

fn durable_book(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("rules.redb");
    let publisher = open(&path);
    fill(&publisher, DURABLE);
    saves(criterion, "durable", &publisher, DURABLE);
    drop(publisher);
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(DURABLE as u64));
    group.bench_function(BenchmarkId::new("from the store", DURABLE), |bencher| {
        // One after the other: a store has one user at a time. Closing it is not its start.
        bencher.iter_custom(|times| {
            let one = |_| {
                let started = Instant::now();
                let publisher = open(&path);
                let took = started.elapsed();
                drop(publisher);
                took
            };
            (0..times).map(one).sum()
        });
    });
    group.finish();
}

fn open(path: &Path) -> Arc<Publisher> {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "");
    StoreSource::new(path, "no seed").start(publisher, suffixes()).unwrap().publisher
}

/// Each waits for the one before it, as one request does for nobody else's, and goes to another place in memory.
fn verdicts(criterion: &mut Criterion, live: &LiveRules, count: usize) {
    let ids: Vec<String> = (0..count).map(|n| id(shuffled(n, count))).collect();
    let plain: HashMap<WidgetId, u64> = ids.iter().map(|id| (WidgetId::parse(id).unwrap(), 1)).collect();
    let facts = Facts {
        widget: "",
        class: Class::Asset,
        embedder: Embedder::identify([&b"http://localhost:3000"[..]].into_iter(), std::iter::empty()),
        missing_denied: false,
        ticket: TicketState::Absent,
    };
    let (policy, now) = (EdgePolicy::default(), Timestamp::now());
    let allowed = |id: &String| decide(&facts, live.load().get(id), &policy, now).is_allowed();
    assert!(ids.iter().all(allowed), "a verdict that is no hit would be repeated for the same widget");

    let mut group = criterion.benchmark_group("verdict by id");
    group.bench_function(BenchmarkId::new("book and decide", count), |bencher| {
        let mut at = 0;
        bencher.iter(|| {
            let decision = decide(black_box(&facts), live.load().get(&ids[at]), &policy, now);
            at = (at + usize::from(decision.is_allowed())) % ids.len();
            decision
        });
    });
    group.bench_function(BenchmarkId::new("plain HashMap, look-up alone", count), |bencher| {
        let mut at = 0;
        bencher.iter(|| {
            let one = plain.get(ids[at].as_str()).copied().unwrap_or_default();
            at = (at + one as usize) % ids.len();
            one
        });
    });
    group.finish();
}

/// From a parsed document to rules in force.
fn saves(criterion: &mut Criterion, kept: &str, publisher: &Publisher, count: usize) {
    let mut version = 0;
    let mut changes = |of: usize| {
        version += 1;
        (0..of).map(|n| put(&document(shuffled(version + n, count), &format!("v{version}-")))).collect()
    };
    let mut group = criterion.benchmark_group("save");
    group.bench_function(BenchmarkId::new(kept, count), |bencher| {
        bencher.iter_batched(|| changes(1), |changes| save(publisher, changes), BatchSize::PerIteration);
    });
    group.finish();
    let of = BATCH.min(count);
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(of as u64));
    group.bench_function(BenchmarkId::new(format!("of {of}, {kept}"), count), |bencher| {
        bencher.iter_batched(|| changes(of), |changes| save(publisher, changes), BatchSize::PerIteration);
    });
    group.finish();
}

/// Goes through all numbers below `count` in a scattered order.
fn shuffled(n: usize, count: usize) -> usize {
    (n * 7_368_787) % count
}
