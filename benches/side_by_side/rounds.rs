//! Many short rounds, the peers taking turns, so that whatever else the machine does hits all alike.
//!
//! A round in which the proxy's core had time to spare says little about the proxy: it is kept in the raw figures,
//! marked, and counts for nothing else.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::load::{self, Spent};
use crate::peers::{Peer, Proxy};
use crate::process;
use crate::scenario::Scenario;
use crate::settings::Settings;
use crate::spread::{Spread, percentile};
use crate::upstream::RunningUpstream;

/// The share of a round's time that the proxy must have been at work.
pub const BUSY: f64 = 0.85;

/// One peer's turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    pub number: usize,
    pub peer: Peer,
    pub scenario: Scenario,
    pub requests: u64,
    pub requests_a_second: f64,
    pub cpu_micros: f64,
    pub p50_micros: f64,
    pub p99_micros: f64,
    /// Processor time over time.
    pub busy: f64,
    /// Processor time of load and upstream a request, on the other core.
    pub load_cpu_micros: f64,
    pub reconnects: u64,
    /// What the upstream answered meanwhile, warm-up included.
    pub upstream_answers: u64,
}

impl Round {
    pub fn counts(&self) -> bool {
        self.busy >= BUSY
    }
}

/// What of a round is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Cpu,
    Rate,
    P50,
    P99,
}

impl Figure {
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Rate, Self::P50, Self::P99];

    pub fn of(self, round: &Round) -> f64 {
        match self {
            Self::Cpu => round.cpu_micros,
            Self::Rate => round.requests_a_second,
            Self::P50 => round.p50_micros,
            Self::P99 => round.p99_micros,
        }
    }
}

pub fn measure(settings: &Settings, peers: &[Peer], scenarios: &[Scenario]) -> Result<Vec<Round>> {
    let upstream = RunningUpstream::start(&settings.cores.load.to_string())?;
    let core = settings.cores.proxy.to_string();
    let proxies = peers.iter().map(|peer| Proxy::with_few_rules(*peer, upstream.addr, &core));
    let proxies = proxies.collect::<Result<Vec<_>>>()?;
    let mut rounds = Vec::new();
    for scenario in scenarios {
        for number in 0..settings.rounds {
            // Nobody is always first.
            for turn in 0..proxies.len() {
                let proxy = &proxies[(number + turn) % proxies.len()];
                if scenario.includes(proxy.peer) {
                    let round = one(settings, &upstream, proxy, *scenario, number);
                    rounds.push(round.with_context(|| format!("{}, {scenario}", proxy.peer))?);
                }
            }
        }
    }
    Ok(rounds)
}

fn one(
    settings: &Settings,
    upstream: &RunningUpstream,
    proxy: &Proxy,
    scenario: Scenario,
    number: usize,
) -> Result<Round> {
    let before = upstream.answers()?;
    let times = (settings.warm_up, settings.round);
    let spent =
        || Spent { proxy: proxy.running.cpu(), load: upstream.cpu() + process::cpu(std::process::id()) };
    let outcome = load::round(scenario, &proxy.ground, settings.connections, times, spent)?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let at = |share: f64| f64::from(percentile(&outcome.latencies, share)) / 1e3;
    Ok(Round {
        number,
        peer: proxy.peer,
        scenario,
        requests: outcome.requests,
        requests_a_second: outcome.requests as f64 / outcome.wall.as_secs_f64(),
        cpu_micros: micros(outcome.spent.proxy) / outcome.requests.max(1) as f64,
        p50_micros: at(0.5),
        p99_micros: at(0.99),
        busy: outcome.spent.proxy.as_secs_f64() / outcome.wall.as_secs_f64(),
        load_cpu_micros: micros(outcome.spent.load) / outcome.requests.max(1) as f64,
        reconnects: outcome.reconnects,
        upstream_answers: upstream.answers()? - before,
    })
}

/// The rounds of a peer in a scenario.
pub fn of(rounds: &[Round], peer: Peer, scenario: Scenario) -> impl Iterator<Item = &Round> {
    rounds.iter().filter(move |round| round.peer == peer && round.scenario == scenario)
}

/// Of the rounds that count.
pub fn spread(rounds: &[Round], peer: Peer, scenario: Scenario, figure: Figure) -> Option<Spread> {
    Spread::of(of(rounds, peer, scenario).filter(|round| round.counts()).map(|round| figure.of(round)))
}

/// embedgate's figure over the peer's, round by round.
pub fn ratio(rounds: &[Round], peer: Peer, scenario: Scenario, figure: Figure) -> Option<Spread> {
    let ours =
        |number| of(rounds, Peer::Embedgate, scenario).find(|ours| ours.number == number && ours.counts());
    let theirs = of(rounds, peer, scenario).filter(|round| round.counts());
    Spread::of(theirs.filter_map(|theirs| Some(figure.of(ours(theirs.number)?) / figure.of(theirs))))
}

/// How many rounds there were, and how many of them were thrown away.
pub fn thrown_away(rounds: &[Round], peer: Peer, scenario: Scenario) -> (usize, usize) {
    let all = of(rounds, peer, scenario).count();
    (all, of(rounds, peer, scenario).filter(|round| !round.counts()).count())
}

/// The median rate at which a peer answers allowed requests when it has nothing else to do.
pub fn peak(rounds: &[Round], peer: Peer) -> Option<f64> {
    let counting = spread(rounds, peer, Scenario::Allowed, Figure::Rate);
    // On a machine that was never quiet, the best of what there is.
    let any = || Spread::of(of(rounds, peer, Scenario::Allowed).map(|round| round.requests_a_second));
    counting.or_else(any).map(|spread| spread.median)
}
