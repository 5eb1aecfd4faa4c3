//! Many widgets: how long a start takes and how much memory, how soon a change of the rules is enforced, and for how
//! long others wait meanwhile. Here every process may run on both cores.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::ground::Ground;
use crate::peers::{Peer, Process, Proxy};
use crate::settings::Settings;
use crate::spread::Spread;
use crate::upstream::RunningUpstream;

mod change;
mod probe;

use change::Changer;
use probe::{Probe, Sample};

/// What one peer showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scale {
    pub peer: Peer,
    pub widgets: usize,
    /// From the start of the process to the first right answer.
    pub start_seconds: f64,
    /// With one widget, with all, and after the changes; processes' shared pages counted once.
    pub empty_bytes: u64,
    pub resident_bytes: u64,
    pub resident_after_bytes: u64,
    /// The most that the main process ever had, after the start and after the changes.
    pub peak_start_bytes: u64,
    pub peak_bytes: u64,
    /// The longest request while nothing changed: what the machine itself does to a client.
    pub quiet_longest_micros: f64,
    pub changes: Vec<Changed>,
}

/// One change of the rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changed {
    pub kind: String,
    /// Until the peer said that it had taken the change, and until a request was answered by it.
    pub taken_micros: f64,
    pub enforced_micros: f64,
    /// The longest request of a client of another widget meanwhile.
    pub longest_micros: f64,
}

/// What of a change is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    Enforced,
    Longest,
}

impl Scale {
    /// The kinds of changes, in the order in which they were made first.
    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = Vec::new();
        for change in &self.changes {
            if !kinds.contains(&change.kind.as_str()) {
                kinds.push(&change.kind);
            }
        }
        kinds
    }

    /// Milliseconds, of the changes of this kind; sorted.
    pub fn millis(&self, kind: &str, figure: Figure) -> Vec<f64> {
        let changes = self.changes.iter().filter(|change| change.kind == kind);
        let mut millis: Vec<f64> = changes
            .map(|change| match figure {
                Figure::Enforced => change.enforced_micros / 1e3,
                Figure::Longest => change.longest_micros / 1e3,
            })
            .collect();
        millis.sort_by(f64::total_cmp);
        millis
    }

    pub fn spread(&self, kind: &str, figure: Figure) -> Option<Spread> {
        Spread::of(self.millis(kind, figure))
    }
}

/// With whom it isn't worth it to change rules hundreds of times.
fn times(settings: &Settings, peer: Peer) -> usize {
    match peer {
        Peer::NginxMap => settings.reloads,
        Peer::Haproxy => settings.changes.div_ceil(20) * 4,
        _ => settings.changes,
    }
}

pub fn measure(settings: &Settings, peers: &[Peer]) -> Result<Vec<Scale>> {
    let upstream = RunningUpstream::start(&settings.cores.both())?;
    let peers = peers.iter().filter(|peer| peer.enforces());
    peers.map(|peer| one(settings, &upstream, *peer).with_context(|| peer.to_string())).collect()
}

fn one(settings: &Settings, upstream: &RunningUpstream, peer: Peer) -> Result<Scale> {
    let cores = settings.cores.both();
    let prepare = |widgets| {
        let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), upstream.addr)?;
        let command: Vec<OsString> = peer.prepare(&ground, widgets, Process::Usual)?;
        Proxy::start(peer, ground, &cores, &command)
    };
    let empty_bytes = settled(&prepare(1)?);
    let proxy = prepare(settings.widgets)?;
    let (resident_bytes, peak_start_bytes) = (settled(&proxy), proxy.running.peak());
    let other = Probe::start(&proxy.ground, change::OTHER_WIDGET, change::other_origin())?;
    let changed = Probe::start(&proxy.ground, change::CHANGED_WIDGET, change::ADDED.to_owned())?;
    std::thread::sleep(Duration::from_secs(if settings.quick { 1 } else { 3 }));
    let quiet_longest_micros = longest(other.samples());
    let mut changer = Changer::new(&proxy, settings.widgets)?;
    let mut changes = Vec::new();
    for n in 0..times(settings, peer) {
        changes.push(change(&mut changer, n, &changed, &other)?);
    }
    other.end()?;
    changed.end()?;
    Ok(Scale {
        peer,
        widgets: settings.widgets,
        start_seconds: proxy.started_in.as_secs_f64(),
        empty_bytes,
        resident_bytes,
        resident_after_bytes: settled(&proxy),
        peak_start_bytes,
        peak_bytes: proxy.running.peak(),
        quiet_longest_micros,
        changes,
    })
}

fn change(changer: &mut Changer<'_>, n: usize, changed: &Probe, other: &Probe) -> Result<Changed> {
    // What came before this change is none of its effects.
    changed.forget();
    other.forget();
    let started = Instant::now();
    let (kind, allowed) = changer.apply(n)?;
    let taken = started.elapsed();
    let judged_by_it = |sample: &Sample| sample.ended > started && (sample.status == 200) == allowed;
    let enforced = changed.wait_for(judged_by_it)?.ended.duration_since(started);
    // What a change leaves for afterwards is its own, too.
    std::thread::sleep(Duration::from_millis(20));
    Ok(Changed {
        kind: kind.to_owned(),
        taken_micros: taken.as_secs_f64() * 1e6,
        enforced_micros: enforced.as_secs_f64() * 1e6,
        longest_micros: longest(other.samples_until(Instant::now())?.into_iter()),
    })
}

fn longest(samples: impl Iterator<Item = Sample>) -> f64 {
    samples.map(|sample| sample.took.as_secs_f64() * 1e6).fold(0.0, f64::max)
}

/// Resident memory once nothing more is set up or freed in the background.
fn settled(proxy: &Proxy) -> u64 {
    std::thread::sleep(Duration::from_millis(500));
    proxy.running.resident()
}
