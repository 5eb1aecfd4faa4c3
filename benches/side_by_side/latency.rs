//! What visitors wait for: requests at a constant rate, half of what the slowest peer can do, sent whether or not
//! earlier ones were answered (oha, corrected for coordinated omission).

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::peers::{Peer, Proxy};
use crate::process;
use crate::rounds::{self, Round};
use crate::scenario::Scenario;
use crate::settings::Settings;
use crate::spread::Spread;
use crate::upstream::RunningUpstream;

/// One peer's turn at the common rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub number: usize,
    pub peer: Peer,
    /// Requests a second, asked for and answered.
    pub rate: u64,
    pub answered: f64,
    pub p50_micros: f64,
    pub p99_micros: f64,
}

/// Where oha is: the Make target says it.
pub fn program() -> OsString {
    std::env::var_os("EMBEDGATE_BENCH_OHA").unwrap_or_else(|| "oha".into())
}

pub fn measure(settings: &Settings, peers: &[Peer], known: &[Round]) -> Result<Vec<Turn>> {
    let peaks = match known.iter().any(|round| round.scenario == Scenario::Allowed) {
        true => known.to_vec(),
        false => rounds::measure(settings, peers, &[Scenario::Allowed])?,
    };
    let slowest = peers.iter().filter_map(|peer| rounds::peak(&peaks, *peer)).fold(f64::MAX, f64::min);
    let rate = (slowest / 2.0) as u64;
    let upstream = RunningUpstream::start(&settings.cores.load.to_string())?;
    let core = settings.cores.proxy.to_string();
    let proxies = peers.iter().map(|peer| Proxy::with_few_rules(*peer, upstream.addr, &core));
    let proxies = proxies.collect::<Result<Vec<_>>>()?;
    let mut turns = Vec::new();
    for number in 0..settings.latency_rounds {
        for turn in 0..proxies.len() {
            let proxy = &proxies[(number + turn) % proxies.len()];
            turns.push(one(settings, proxy, rate, number).with_context(|| proxy.peer.to_string())?);
        }
    }
    Ok(turns)
}

fn one(settings: &Settings, proxy: &Proxy, rate: u64, number: usize) -> Result<Turn> {
    let requests = Scenario::Allowed.requests();
    let request = requests.first().context("a request")?;
    let mut command = vec![program()];
    let time = format!("{}ms", settings.latency_round.as_millis());
    let (rate_text, connections) = (rate.to_string(), settings.connections.to_string());
    command.extend(
        ["--no-tui", "--latency-correction", "--output-format", "json", "-z", &time, "-q", &rate_text]
            .map(OsString::from),
    );
    let origin = format!("Origin: {}", request.origin.as_deref().unwrap_or_default());
    let url = format!("http://{}{}", proxy.ground.plain, request.path);
    command.extend(["-c", &connections, "-H", &origin, &url].map(OsString::from));
    let said = process::output(&command, proxy.ground.folder())?;
    let json = said.get(said.find('{').unwrap_or(0)..).unwrap_or_default();
    let mut documents = serde_json::Deserializer::from_str(json).into_iter::<serde_json::Value>();
    let result = documents.next().with_context(|| format!("oha's JSON in {said}"))??;
    let statuses = result["statusCodeDistribution"].as_object().context("statuses")?;
    ensure!(statuses.keys().all(|status| status == "200"), "other answers than 200: {statuses:?}");
    let number_of = |pointer: &str| {
        result.pointer(pointer).and_then(serde_json::Value::as_f64).context(pointer.to_owned())
    };
    Ok(Turn {
        number,
        peer: proxy.peer,
        rate,
        answered: number_of("/summary/requestsPerSec")?,
        p50_micros: number_of("/latencyPercentiles/p50")? * 1e6,
        p99_micros: number_of("/latencyPercentiles/p99")? * 1e6,
    })
}

/// p50 and p99 of a peer.
pub fn of(turns: &[Turn], peer: Peer) -> Option<(Spread, Spread)> {
    let turns = || turns.iter().filter(move |turn| turn.peer == peer);
    Some((Spread::of(turns().map(|turn| turn.p50_micros))?, Spread::of(turns().map(|turn| turn.p99_micros))?))
}

/// embedgate's figures over the peer's, turn by turn.
pub fn ratio(turns: &[Turn], peer: Peer) -> Option<(Spread, Spread)> {
    let ours = |number| turns.iter().find(|turn| turn.peer == Peer::Embedgate && turn.number == number);
    let ratios = |of: fn(&Turn) -> f64| {
        let theirs = turns.iter().filter(|turn| turn.peer == peer);
        Spread::of(theirs.filter_map(|theirs| Some(of(ours(theirs.number)?) / of(theirs))))
    };
    Some((ratios(|turn| turn.p50_micros)?, ratios(|turn| turn.p99_micros)?))
}
