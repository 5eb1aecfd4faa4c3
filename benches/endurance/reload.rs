//! Reloads of routes under load, every third of a faulty file: whole or not at all, and no connection notices.
//!
//! Each configuration has a number. The loader's route says it in a field of its own, and leads to one of some
//! upstreams, which says which one it is. An answer in which the two don't belong together is of half a configuration.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench_support::process::signal;
use bench_support::upstream::Answers;

use crate::edge::{CONFIGURATION, Edge, Spec, WIDGET};
use crate::load::{Answer, Count, Load, Mix};
use crate::rows::{Rows, text};
use crate::{Settings, upstreams};

/// Upstreams that take turns.
const UPSTREAMS: u64 = 4;
/// Every so many reloads, one is asked for by a signal.
const BY_SIGNAL: u64 = 5;
/// Every so many, the file is faulty.
const FAULTY: u64 = 3;
/// The number of a faulty file is this much more than any other's.
const WRONG: u64 = 1_000_000;
/// Between two reloads.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest until a reload that a signal asks for is in force.
const PATIENCE: Duration = Duration::from_secs(5);
/// The fields of an answer.
const ROUTE: &str = "x-route-number";
const UPSTREAM: &str = "x-upstream-number";

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let reloads = settings.count(100, 18) as u64;
    let upstreams = (0..UPSTREAMS).map(|number| {
        let answers = Answers::new(&format!("{UPSTREAM}: {number}\r\n"));
        Ok(upstreams::start_with(answers.streaming(Duration::from_millis(200)))?.0)
    });
    let upstreams: Vec<_> = upstreams.collect::<Result<_>>()?;
    let written = |edge: &Edge, number: u64, faulty: Option<Fault>| {
        let loader = format!("headers = {{ \"{ROUTE}\" = \"{number}\" }}");
        let upstream = upstreams.get(usize::try_from(number % UPSTREAMS)?).copied();
        let text = Spec { loader: &loader, upstream, ..Spec::default() }.configuration(&edge.prepared.ground);
        let text = faulty.map_or_else(|| text.clone(), |fault| fault.applied(&text));
        edge.prepared.ground.write(CONFIGURATION, &text).map(drop)
    };
    let first = *upstreams.first().context("upstreams")?;
    let spec = Spec { loader: &format!("headers = {{ \"{ROUTE}\" = \"0\" }}"), ..Spec::default() };
    let edge = Edge::start(&settings.binary, first, spec)?;
    let numbers = Arc::new(Numbers::new());
    let watched = Arc::clone(&numbers);
    let load =
        Load::inspected(&edge.target(), Mix::USUAL, Some(Arc::new(move |answer| watched.inspect(answer))));

    let (mut good, mut refused, mut number) = (0, 0, 0);
    let (mut surprise, mut slowest) = (String::new(), Duration::ZERO);
    for n in 1..=reloads {
        std::thread::sleep(PAUSE);
        let fault = n.is_multiple_of(FAULTY).then(|| Fault::of(n / FAULTY));
        let next = if fault.is_some() { WRONG + number + 1 } else { number + 1 };
        written(&edge, next, fault)?;
        let outcome = if n.is_multiple_of(BY_SIGNAL) {
            signal("HUP", &[edge.id()]);
            numbers.seen_after_signal(next, fault.is_some())
        } else {
            let asked = Instant::now();
            let (status, said) = edge.admin().call("POST", "/v1/reload", "")?;
            slowest = slowest.max(asked.elapsed());
            match (status, fault) {
                (200, None) => Ok(()),
                (422, Some(_)) if said.contains("invalid_configuration") => Ok(()),
                _ => Err(format!("reload {n}, {fault:?}: {status} {said}")),
            }
        };
        match outcome {
            Ok(()) if fault.is_some() => refused += 1,
            Ok(()) => {
                good += 1;
                number = next;
                numbers.in_force(number);
            }
            Err(what) if surprise.is_empty() => surprise = what,
            Err(_) => {}
        }
    }
    std::thread::sleep(PAUSE);
    let tally = load.stop()?;

    let name = format!("reload: {reloads} reloads");
    let faulty = reloads / FAULTY;
    let measured = format!("{good} and {refused} {surprise}");
    let is_so = good == reloads - faulty && refused == faulty;
    rows.judged(
        format!("{name}: in force, and refused whole"),
        format!("{} and {faulty}", reloads - faulty),
        measured,
        is_so,
    );
    rows.told(format!("{name}: slowest"), text(slowest));
    rows.told(format!("{name}: requests answered"), tally.answered.get());
    let failed = tally.lost() + tally.refused.get() + tally.wrong.get();
    let first = [tally.first_lost(), tally.refused.first(), tally.wrong.first()].concat();
    rows.none(format!("{name}: failed requests"), failed, &first);
    rows.none(format!("{name}: half-applied"), numbers.half.get(), &numbers.half.first());
    rows.none(
        format!("{name}: answers by an older configuration, later"),
        numbers.stale.get(),
        &numbers.stale.first(),
    );
    rows.none(format!("{name}: connections closed"), tally.ended.get(), "");
    rows.none(format!("{name}: sessions cut"), tally.cut.get(), &tally.cut.first());
    ensure!(fs::exists(edge.prepared.ground.path(CONFIGURATION))?, "no configuration for {WIDGET}");
    Ok(())
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Syntax,
    UnknownTable,
    UnknownUpstream,
    RouteTwice,
    NoCertificate,
}

impl Fault {
    fn of(n: u64) -> Self {
        let all =
            [Self::Syntax, Self::UnknownTable, Self::UnknownUpstream, Self::RouteTwice, Self::NoCertificate];
        all[usize::try_from(n).unwrap_or(0) % all.len()]
    }

    fn applied(self, text: &str) -> String {
        let route = |path: &str, upstream: &str| {
            format!(
                "{text}[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"asset\"\nupstream = \"{upstream}\"\n"
            )
        };
        match self {
            Self::Syntax => format!("{text}[[routes\n"),
            Self::UnknownTable => format!("{text}[nonsense]\nkey = 1\n"),
            Self::UnknownUpstream => route("other.js", "nobody"),
            Self::RouteTwice => route("loader.js", "app"),
            Self::NoCertificate => text.replace("cert = \"site.pem\"", "cert = \"missing.pem\""),
        }
    }
}

/// The numbers that answers carry.
struct Numbers {
    /// That of the configuration that was last said to be in force, and when.
    known: Mutex<(Instant, u64)>,
    /// The last that an answer has had.
    seen: Mutex<u64>,
    half: Count,
    stale: Count,
}

impl Numbers {
    fn new() -> Self {
        Self {
            known: Mutex::new((Instant::now(), 0)),
            seen: Mutex::new(0),
            half: Count::default(),
            stale: Count::default(),
        }
    }

    fn in_force(&self, number: u64) {
        *self.known.lock().unwrap() = (Instant::now(), number);
    }

    /// Looks at an answer.
    fn inspect(&self, answer: &Answer<'_>) -> Option<String> {
        let number = |name| (answer.field)(name)?.parse::<u64>().ok();
        let (Some(route), Some(upstream)) = (number(ROUTE), number(UPSTREAM)) else {
            return Some("an answer without its numbers".to_owned());
        };
        if route % UPSTREAMS != upstream || route >= WRONG {
            self.half.note(|| format!("route {route}, upstream {upstream}"));
        }
        let (since, known) = *self.known.lock().unwrap();
        if answer.asked > since && route < known {
            self.stale.note(|| format!("{route} after {known}"));
        }
        *self.seen.lock().unwrap() = route;
        None
    }

    /// Waits until answers have this number, or, if they never should, for a while.
    fn seen_after_signal(&self, number: u64, is_faulty: bool) -> Result<(), String> {
        let asked = Instant::now();
        let most = if is_faulty { PAUSE * 4 } else { PATIENCE };
        while asked.elapsed() < most {
            if *self.seen.lock().unwrap() == number {
                return if is_faulty { Err(format!("{number} is in force")) } else { Ok(()) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if is_faulty { Ok(()) } else { Err(format!("{number} is not in force after SIGHUP")) }
    }
}
