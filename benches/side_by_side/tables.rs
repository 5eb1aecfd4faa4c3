//! What a run showed, for people: tables for a terminal and for docs/performance.md.

use std::fmt::Write;

use bench_support::table::Table;
use clap::ValueEnum;

use crate::memory::{self, Held};
use crate::peers::Peer;
use crate::report::Report;
use crate::rounds::{self, Figure};
use crate::scenario::Scenario;
use crate::spread::{Spread, percentile};
use crate::{instructions as counts, latency as constant, scale, targets};

pub fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let versions = machine.versions.iter().map(|(name, version)| format!("{name}: {version}"));
    let quick = if report.settings.quick { "\nQUICK MODE: the figures mean nothing" } else { "" };
    format!(
        "{}, {} cores ({}), {} MiB, {}\n{}{quick}",
        machine.date,
        machine.cores,
        machine.processor,
        machine.memory_bytes >> 20,
        machine.kernel,
        versions.collect::<Vec<_>>().join("\n")
    )
}

pub fn instructions(report: &Report) -> String {
    let note = "User-space instructions a request (in brackets: embedgate's over the peer's)";
    format!("{note}\n\n{}", instructions_table(report).text())
}

fn instructions_table(report: &Report) -> Table {
    by_scenario(report, |peer, scenario| {
        let count = counts::of(&report.instructions, peer, scenario)?;
        let ours = counts::of(&report.instructions, Peer::Embedgate, scenario);
        let ratio = ours.filter(|_| peer != Peer::Embedgate).map(|ours| ours as f64 / count as f64);
        let ratio = ratio.map(|ratio| format!(" ({ratio:.2})")).unwrap_or_default();
        Some(format!("{:.1}k{ratio}", count as f64 / 1e3))
    })
}

pub fn cpu(report: &Report) -> String {
    let note = "Processor time a request in µs, kernel included (in brackets: embedgate's over the peer's)";
    format!("{note}\n\n{}", cpu_table(report).text())
}

fn cpu_table(report: &Report) -> Table {
    by_scenario(report, |peer, scenario| {
        let cpu = rounds::spread(&report.rounds, peer, scenario, Figure::Cpu)?;
        let ratio = rounds::ratio(&report.rounds, peer, scenario, Figure::Cpu);
        let ratio = ratio.filter(|_| peer != Peer::Embedgate);
        let ratio = ratio.map(|ratio| format!(" ({:.2})", ratio.median)).unwrap_or_default();
        Some(format!("{:.1}{ratio}", cpu.median))
    })
}

pub fn targets(report: &Report) -> String {
    let mut text = String::new();
    if !(report.instructions.is_empty() && report.rounds.is_empty()) {
        let _ = writeln!(text, "What embedgate is to cost at most\n\n{}", targets::costs(report).text());
    }
    if !report.memory.is_empty() {
        let _ =
            write!(text, "What its connections are to take at most\n\n{}", targets::memory(report).text());
    }
    text
}

/// Scenarios down, peers across; no row where nothing was measured.
fn by_scenario(report: &Report, cell: impl Fn(Peer, Scenario) -> Option<String>) -> Table {
    let mut heading = vec![""];
    heading.extend(peers(report).map(Peer::title));
    let mut table = Table::new(&heading);
    for scenario in Scenario::value_variants() {
        let cells: Vec<_> = peers(report).map(|peer| cell(peer, *scenario)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(Option::unwrap_or_default);
            table.row(std::iter::once(scenario.title().to_owned()).chain(cells));
        }
    }
    table
}

/// Those that took part in anything.
fn peers(report: &Report) -> impl Iterator<Item = Peer> {
    let named = |peer: &Peer| report.machine.versions.iter().any(|(name, _)| name == peer.title());
    Peer::value_variants().iter().copied().filter(named)
}

pub fn rounds(report: &Report) -> String {
    let mut text = format!(
        "Rounds: medians (least to most) of up to {} rounds a peer; in a round that was thrown away the proxy's core \
         was busy for less than {:.0} % of the time\n",
        report.settings.rounds,
        rounds::BUSY * 100.0
    );
    for scenario in Scenario::value_variants() {
        let all = &report.rounds;
        if !all.iter().any(|round| round.scenario == *scenario) {
            continue;
        }
        let mut figures = Table::new(&[
            scenario.title(),
            "CPU µs a request",
            "requests/s",
            "p50 µs",
            "p99 µs",
            "thrown away",
        ]);
        let mut ratios = Table::new(&["embedgate over", "CPU", "requests/s", "p50", "p99"]);
        for peer in peers(report).filter(|peer| scenario.includes(*peer)) {
            let figure = |figure| rounds::spread(all, peer, *scenario, figure).map(|spread| said(&spread, 1));
            let ratio = |figure| rounds::ratio(all, peer, *scenario, figure).map(|spread| said(&spread, 2));
            let (count, away) = rounds::thrown_away(all, peer, *scenario);
            let cells = Figure::ALL.map(|of| figure(of).unwrap_or_default());
            let away = format!("{away} of {count}");
            figures.row(std::iter::once(peer.title().to_owned()).chain(cells).chain([away]));
            if peer != Peer::Embedgate {
                let cells = Figure::ALL.map(|of| ratio(of).unwrap_or_default());
                ratios.row(std::iter::once(peer.title().to_owned()).chain(cells));
            }
        }
        let _ = write!(text, "\n{}\n{}", figures.text(), ratios.text());
    }
    text
}

fn said(spread: &Spread, digits: usize) -> String {
    let Spread { median, min, max, .. } = spread;
    match *median >= 1000.0 {
        true => format!("{median:.0} ({min:.0} to {max:.0})"),
        false => format!("{median:.digits$} ({min:.digits$} to {max:.digits$})"),
    }
}

pub fn latency(report: &Report) -> String {
    let Some(turn) = report.latency.first() else { return String::new() };
    format!(
        "Latency at a constant {} requests/s, half of the slowest peer's peak; medians (least to most) of {} rounds, \
         µs\n\n{}",
        turn.rate,
        report.settings.latency_rounds,
        latency_table(report).text()
    )
}

fn latency_table(report: &Report) -> Table {
    let mut table =
        Table::new(&["", "p50 µs", "p99 µs", "embedgate's p50 over it", "embedgate's p99 over it"]);
    for peer in peers(report) {
        let Some((p50, p99)) = constant::of(&report.latency, peer) else { continue };
        let ratios = constant::ratio(&report.latency, peer).filter(|_| peer != Peer::Embedgate);
        let ratios = ratios.map_or_else(Default::default, |(p50, p99)| [said(&p50, 2), said(&p99, 2)]);
        table.row([peer.title().to_owned(), said(&p50, 0), said(&p99, 0)].into_iter().chain(ratios));
    }
    table
}

pub fn memory(report: &Report) -> String {
    format!("{}\n\n{}", memory_note(report), memory_table(report).text())
}

fn memory_note(report: &Report) -> String {
    format!(
        "KiB of memory a connection, {} open (in brackets: how much of it was given back {} s after they were closed)",
        report.memory.first().map_or(0, |memory| memory.connections),
        memory::GIVEN_BACK_WITHIN.as_secs()
    )
}

fn memory_table(report: &Report) -> Table {
    let mut heading = vec![""];
    let peers: Vec<Peer> = peers(report).filter(|peer| peer.enforces()).collect();
    heading.extend(peers.iter().map(|peer| peer.title()));
    let mut table = Table::new(&heading);
    for held in Held::value_variants() {
        let cells = peers.iter().map(|peer| {
            let of = memory::of(&report.memory, *peer, *held);
            of.map(|of| format!("{:.1} ({:.0} %)", of.kib(), of.given_back() * 100.0)).unwrap_or_default()
        });
        table.row(std::iter::once(held.title().to_owned()).chain(cells));
    }
    table
}

pub fn scale(report: &Report) -> String {
    let note = format!("{} widgets with four entries each", report.settings.widgets);
    format!("{note}\n\n{}\n{}", size_table(report).text(), changes_table(report).text())
}

fn size_table(report: &Report) -> Table {
    let mut table = Table::new(&[
        "",
        "start",
        "resident",
        "of it with one widget",
        "bytes a widget",
        "most at start",
        "most with changes",
    ]);
    let size = |bytes: u64| format!("{} MiB", bytes >> 20);
    for scale in &report.scale {
        let above = scale.resident_bytes.saturating_sub(scale.empty_bytes);
        table.row([
            scale.peer.title().to_owned(),
            format!("{:.2} s", scale.start_seconds),
            size(scale.resident_bytes),
            size(scale.empty_bytes),
            format!("{}", above / scale.widgets.max(1) as u64),
            size(scale.peak_start_bytes),
            size(scale.peak_bytes),
        ]);
    }
    table
}

fn changes_table(report: &Report) -> Table {
    let mut table = Table::new(&[
        "change",
        "enforced after, ms",
        "p99",
        "longest request of others meanwhile, ms",
        "with no change",
        "changes",
    ]);
    for scale in &report.scale {
        for kind in scale.kinds() {
            let of = |figure| scale.spread(kind, figure).map(|spread| said(&spread, 2)).unwrap_or_default();
            let sorted = scale.millis(kind, scale::Figure::Enforced);
            table.row([
                format!("{}: {kind}", scale.peer),
                of(scale::Figure::Enforced),
                format!("{:.2}", percentile(&sorted, 0.99)),
                of(scale::Figure::Longest),
                format!("{:.2}", scale.quiet_longest_micros / 1e3),
                sorted.len().to_string(),
            ]);
        }
    }
    table
}

/// The section of docs/performance.md.
pub fn markdown(report: &Report) -> String {
    let machine = &report.machine;
    let date = machine.date.split('T').next().unwrap_or_default();
    let mut versions = machine.versions.iter().map(|(_, version)| version.as_str()).collect::<Vec<_>>();
    versions.dedup();
    let mut text = format!(
        "{date}, {} cores ({}), {}; {}.\n",
        machine.cores,
        machine.processor,
        machine.kernel,
        versions.join("; ")
    );
    let mut part = |is_there: bool, heading: &str, table: Table| {
        if is_there {
            let _ = write!(text, "\n{heading}\n\n{}", table.markdown());
        }
    };
    part(
        !report.instructions.is_empty(),
        "User-space instructions a request; in brackets: embedgate's over the peer's.",
        instructions_table(report),
    );
    part(
        !report.rounds.is_empty(),
        "Processor time a request in µs, kernel included; in brackets: embedgate's over the peer's.",
        cpu_table(report),
    );
    let rate = report.latency.first().map_or(0, |turn| turn.rate);
    part(
        !report.latency.is_empty(),
        &format!("Latency at a constant {rate} requests/s, half of the slowest peer's peak."),
        latency_table(report),
    );
    part(!report.memory.is_empty(), &format!("{}.", memory_note(report)), memory_table(report));
    let widgets = report.settings.widgets;
    part(!report.scale.is_empty(), &format!("{widgets} widgets, four entries each."), size_table(report));
    part(!report.scale.is_empty(), "A change of one widget's rules among them.", changes_table(report));
    text
}
