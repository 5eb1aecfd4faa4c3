//! The plots of a run, SVG: grouped bars, readable on light and on dark pages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;

use crate::peers::Peer;
use crate::report::Report;
use crate::rounds::{self, Figure};
use crate::scale;
use crate::scenario::Scenario;
use crate::{instructions, latency};

mod bars;

use bars::{Bar, Chart, Color};

/// Draws what was measured into `folder`.
pub fn draw(report: &Report, folder: &Path) -> Result<()> {
    let charts = [
        (
            "instructions.svg",
            cost("User-space instructions a request", |peer, scenario| {
                let value = instructions::of(&report.instructions, peer, scenario)? as f64;
                Some(Bar::new(value, thousands(value)))
            }),
        ),
        (
            "cpu.svg",
            cost("Processor time a request", |peer, scenario| {
                let spread = rounds::spread(&report.rounds, peer, scenario, Figure::Cpu)?;
                let label = format!("{:.0} µs", spread.median);
                Some(Bar::new(spread.median, label).between(spread.min, spread.max))
            }),
        ),
        ("latency.svg", waits(report)),
        ("changes.svg", changes(report)),
    ];
    for (name, chart) in charts {
        if chart.is_empty() {
            continue;
        }
        let svg = chart.svg().map_err(|error| anyhow!("{name}: {error}"))?;
        fs::write(folder.join(name), svg).with_context(|| folder.join(name).display().to_string())?;
    }
    Ok(())
}

fn color(peer: Peer) -> Color {
    match peer {
        Peer::NginxMap => Color(0x2e, 0x9e, 0x5b),
        Peer::NginxLua => Color(0x9a, 0xc4, 0x3c),
        Peer::Haproxy => Color(0x3b, 0x82, 0xd0),
        Peer::Bare => Color(0x9a, 0xa0, 0xa6),
        Peer::Embedgate => Color(0xe4, 0x57, 0x2e),
    }
}

/// Scenarios side by side though a handshake costs fifty times as much as a denial: each in units of embedgate's.
fn cost(what: &str, bar: impl Fn(Peer, Scenario) -> Option<Bar>) -> Chart {
    let title = format!("{what}: embedgate = 1, lower is better");
    let mut chart = Chart::new(title, Peer::value_variants().iter().map(|peer| (peer.title(), color(*peer))));
    for scenario in Scenario::value_variants() {
        let Some(ours) = bar(Peer::Embedgate, *scenario) else { continue };
        let bars = Peer::value_variants().iter().map(|peer| Some(bar(*peer, *scenario)?.over(ours.value)));
        chart.group(scenario.title(), bars);
    }
    chart
}

fn waits(report: &Report) -> Chart {
    let rate = report.latency.first().map_or(0, |turn| turn.rate);
    let title = format!("Latency at a constant {rate} requests/s, µs, lower is better");
    let mut chart = Chart::new(title, Peer::value_variants().iter().map(|peer| (peer.title(), color(*peer))));
    for (name, is_p99) in [("p50", false), ("p99", true)] {
        let bars: Vec<_> = Peer::value_variants()
            .iter()
            .map(|peer| {
                let (p50, p99) = latency::of(&report.latency, *peer)?;
                let spread = if is_p99 { p99 } else { p50 };
                Some(Bar::new(spread.median, format!("{:.0}", spread.median)).between(spread.min, spread.max))
            })
            .collect();
        if bars.iter().any(Option::is_some) {
            chart.group(name, bars);
        }
    }
    chart
}

/// From tens of microseconds to half a minute: on a logarithmic scale.
fn changes(report: &Report) -> Chart {
    let title = format!("A change of the rules among {} widgets, ms (logarithmic)", report.settings.widgets);
    let series = [
        ("change to enforced, median", color(Peer::Embedgate)),
        ("longest request of others meanwhile", color(Peer::Haproxy)),
    ];
    let mut chart = Chart::new(title, series).logarithmic();
    for scale in &report.scale {
        for kind in scale.kinds() {
            let enforced = scale.spread(kind, scale::Figure::Enforced).map(|spread| spread.median);
            let longest = scale.spread(kind, scale::Figure::Longest).map(|spread| spread.max);
            let bar = |value: Option<f64>| value.map(|value| Bar::new(value, millis(value)));
            chart.group(&format!("{}\n{kind}", short(scale.peer)), [bar(enforced), bar(longest)]);
        }
    }
    chart
}

fn short(peer: Peer) -> &'static str {
    match peer {
        Peer::Haproxy => "HAProxy",
        other => other.title(),
    }
}

/// Short: a bar is narrow.
fn thousands(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value => format!("{:.1}k", value / 1e3),
    }
}

fn millis(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{:.0} s", value / 1e3),
        value if value >= 10.0 => format!("{value:.0} ms"),
        value => format!("{value:.1} ms"),
    }
}
