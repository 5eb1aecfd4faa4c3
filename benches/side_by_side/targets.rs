//! What each way is to cost at most, beside what it costs.

use bench_support::table::Table;
use clap::ValueEnum;

use crate::instructions;
use crate::memory::{self, Held};
use crate::peers::Peer;
use crate::report::Report;
use crate::rounds::{self, Figure};
use crate::scenario::Scenario;

/// embedgate's processor time over HAProxy's, in the same run.
const CPU: f64 = 1.1;

/// embedgate's user-space instructions a request.
fn most(scenario: Scenario) -> Option<u64> {
    match scenario {
        Scenario::Allowed => Some(36_000),
        Scenario::Denied => Some(19_000),
        Scenario::Post => Some(46_000),
        Scenario::Http2 => Some(62_000),
        Scenario::Http2Denied => Some(36_000),
        Scenario::Http2Post => Some(78_000),
        Scenario::WebSocket => Some(85_000),
        Scenario::Message => Some(4_000),
        Scenario::Cached | Scenario::Tls | Scenario::TlsResumed => None,
    }
}

/// KiB of embedgate's memory that a connection takes.
fn most_kib(held: Held) -> f64 {
    match held {
        Held::Idle => 6.0,
        Held::Events | Held::Upload => 20.0,
        Held::WebSocket => 12.0,
        Held::SecureWebSocket => 22.0,
    }
}

/// How much of it is to be given back once they are closed.
const GIVEN_BACK: f64 = 0.8;

/// What connections that wait take of the memory, with what they are to take at most.
pub fn memory(report: &Report) -> Table {
    let mut table = Table::new(&[
        "",
        "KiB a connection",
        "at most",
        "is",
        "nginx, map",
        "HAProxy",
        "given back",
        "at least",
        "is",
    ]);
    for held in Held::value_variants() {
        let figure = |peer| memory::of(&report.memory, peer, *held);
        let Some(ours) = figure(Peer::Embedgate) else { continue };
        let peer = |peer| figure(peer).map(|memory| format!("{:.1}", memory.kib())).unwrap_or_default();
        let (most, given_back) = (most_kib(*held), ours.given_back());
        table.row([
            held.title().to_owned(),
            format!("{:.1}", ours.kib()),
            format!("{most}"),
            judged(ours.kib(), most),
            peer(Peer::NginxMap),
            peer(Peer::Haproxy),
            format!("{:.0} %", given_back * 100.0),
            format!("{:.0} %", GIVEN_BACK * 100.0),
            if given_back >= GIVEN_BACK { "met".to_owned() } else { "too little".to_owned() },
        ]);
    }
    table
}

/// Every scenario that was measured with what it is to cost at most; "over" says by how much it costs more.
pub fn costs(report: &Report) -> Table {
    let mut table = Table::new(&[
        "",
        "instructions",
        "at most",
        "is",
        "nginx, map",
        "HAProxy",
        "CPU over HAProxy's",
        "at most",
        "is",
    ]);
    let thousands = |count: u64| format!("{:.1}k", count as f64 / 1e3);
    for scenario in Scenario::value_variants() {
        let count = |peer| instructions::of(&report.instructions, peer, *scenario);
        let ours = count(Peer::Embedgate);
        let cpu = rounds::ratio(&report.rounds, Peer::Haproxy, *scenario, Figure::Cpu);
        if ours.is_none() && cpu.is_none() {
            continue;
        }
        let (target, ratio) = (most(*scenario), cpu.map(|cpu| cpu.median));
        let judged = |value: Option<f64>, most: Option<f64>| {
            value.zip(most).map(|(value, most)| judged(value, most)).unwrap_or_default()
        };
        table.row([
            scenario.title().to_owned(),
            ours.map(thousands).unwrap_or_default(),
            target.map(thousands).unwrap_or_default(),
            judged(ours.map(|ours| ours as f64), target.map(|target| target as f64)),
            count(Peer::NginxMap).map(thousands).unwrap_or_default(),
            count(Peer::Haproxy).map(thousands).unwrap_or_default(),
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            ratio.map(|_| format!("{CPU}")).unwrap_or_default(),
            judged(ratio, Some(CPU)),
        ]);
    }
    table
}

fn judged(value: f64, most: f64) -> String {
    match value <= most {
        true => "met".to_owned(),
        false => format!("{:.0} % over", (value / most - 1.0) * 100.0),
    }
}
