//! Limits: floods of forged opens from many addresses, and what they leave to honest visitors.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bench_support::opens::most_in_a_minute;

use crate::Settings;
use crate::edge::{Edge, Spec};
use crate::load::on_this_thread;
use crate::proc::resident;
use crate::rows::{Rows, text};
use crate::subject::mebibytes;
use crate::upstreams;
use opens::{Open, Visitor, open_all};

mod opens;

/// Addresses of a flood, and the sites whose names it forges.
const ADDRESSES: usize = 1_000;
const FORGED_SITES: usize = 100;
/// Honest visitors of the site that nobody forges, and how often each opens.
const VISITORS: usize = 50;
const OPENS_EACH: usize = 4;
/// Between two opens of an honest visitor.
const PAUSE: Duration = Duration::from_millis(500);

const HONEST: &str = "honest.example";

/// The route whose calls are opens, behind the loader's.
const ROUTE: &str =
    "[[routes]]\npath = \"/w/{widget}/token\"\nclass = \"session\"\nupstream = \"app\"\nopens = true\n";

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let forged = settings.count(100_000, 10_000);
    let spec = Spec { loader: ROUTE, ..Spec::default() };
    let edge = Edge::start(&settings.binary, upstreams::start()?, spec)?;
    let before = resident(edge.id())?;
    let each = forged / ADDRESSES;
    by_address(&edge, each, rows)?;
    by_embedder(&edge, each, rows)?;
    by_widget(&edge, each, rows)?;
    not_listed(&edge, each, rows)?;
    let grown = resident(edge.id())?.saturating_sub(before);
    rows.told("limits: resident more after all floods", mebibytes(grown));
    Ok(())
}

/// Only the addresses' budget is passed: nobody else notices, not even on the sites whose names are forged.
fn by_address(edge: &Edge, each: usize, rows: &mut Rows) -> Result<()> {
    // Fewer than a small flood asks for, too.
    const OF_ADDRESS: usize = 5;
    let what = format!("limits, {} forged opens, bounded by address", each * ADDRESSES);
    let limits = r#"{"address":{"opens_per_minute":5},"embedder":{"opens_per_minute":500},"widget":{"opens_per_day":100000}}"#;
    save(edge, "wgt_by_address", limits)?;
    let mut visitors = honest();
    // One at each site that is forged.
    visitors.extend((0..FORGED_SITES).map(|site| Visitor {
        address: address_of(2, site),
        sites: vec![forged_site(site)],
        pause: PAUSE,
    }));
    let flooded = Flood { edge, widget: "wgt_by_address", each, visitors }.run(&what, rows)?;
    flooded.judge_budget("an address", OF_ADDRESS, |open| open.address.to_string(), rows);
    flooded.judge_honest(|_| true, rows);
    Ok(())
}

/// The embedders' budget is passed: the site that nobody forges goes on.
fn by_embedder(edge: &Edge, each: usize, rows: &mut Rows) -> Result<()> {
    const OF_EMBEDDER: usize = VISITORS * OPENS_EACH;
    let what = format!("limits, {} forged opens, bounded by embedder", each * ADDRESSES);
    // A small flood asks for less at each site.
    let of_embedder = OF_EMBEDDER.min(each * ADDRESSES / FORGED_SITES / 2);
    let opens_each = of_embedder / VISITORS;
    let limits =
        format!(r#"{{"embedder":{{"opens_per_minute":{of_embedder}}},"widget":{{"opens_per_day":100000}}}}"#);
    save(edge, "wgt_by_embedder", &limits)?;
    let mut visitors = honest();
    visitors.iter_mut().for_each(|visitor| visitor.sites.truncate(opens_each));
    let flooded = Flood { edge, widget: "wgt_by_embedder", each, visitors }.run(&what, rows)?;
    flooded.judge_budget("an embedder", of_embedder, |open| open.site.clone(), rows);
    flooded.judge_honest(|open| open.site == HONEST, rows);
    Ok(())
}

/// The widget's budget is passed, which is the bound of the invoice.
fn by_widget(edge: &Edge, each: usize, rows: &mut Rows) -> Result<()> {
    let of_widget = each * ADDRESSES / 4;
    let what = format!("limits, {} forged opens, bounded by widget", each * ADDRESSES);
    save(edge, "wgt_by_widget", &format!(r#"{{"widget":{{"opens_per_day":{of_widget}}}}}"#))?;
    let flooded = Flood { edge, widget: "wgt_by_widget", each, visitors: Vec::new() }.run(&what, rows)?;
    let let_in = flooded.forged.iter().filter(|open| open.status == 200).count();
    rows.judged(format!("{what}: of the widget on one day"), of_widget, let_in, let_in == of_widget);
    Ok(())
}

/// Pages that are not allowed use up nothing.
fn not_listed(edge: &Edge, each: usize, rows: &mut Rows) -> Result<()> {
    const BUDGET: usize = 100;
    let what = format!("limits, {} opens that are not allowed", each * ADDRESSES);
    let budget = format!(r#"{{"opens_per_day":{BUDGET}}}"#);
    save(edge, "wgt_not_listed", &format!(r#"{{"widget":{budget},"address":{budget}}}"#))?;
    let strangers = (0..ADDRESSES).map(|number| Visitor {
        address: address_of(0, number),
        sites: (0..each).map(|nth| format!("s{}.stranger.example", nth % FORGED_SITES)).collect(),
        pause: Duration::ZERO,
    });
    let denied = opened(edge, "wgt_not_listed", strangers.collect())?;
    let wrong = denied.iter().filter(|open| open.status != 403).count();
    rows.none(format!("{what}: not denied"), wrong as u64, "");
    // All by one of those addresses: its own budget is untouched, too.
    let visitor = Visitor {
        address: address_of(0, 0),
        sites: vec![HONEST.to_owned(); BUDGET + 1],
        pause: Duration::ZERO,
    };
    let opens = opened(edge, "wgt_not_listed", vec![visitor])?;
    let let_in = opens.iter().filter(|open| open.status == 200).count();
    rows.judged(format!("{what}: of the budget, left to a listed page"), BUDGET, let_in, let_in == BUDGET);
    Ok(())
}

/// Flood of forged opens of one widget, with honest visitors beside it.
struct Flood<'f> {
    edge: &'f Edge,
    widget: &'static str,
    /// Opens of each address.
    each: usize,
    visitors: Vec<Visitor>,
}

/// What became of it.
struct Flooded {
    what: String,
    forged: Vec<Open>,
    honest: Vec<Open>,
}

impl Flood<'_> {
    fn run(self, what: &str, rows: &mut Rows) -> Result<Flooded> {
        let Self { edge, widget, each, visitors } = self;
        let forged: Vec<_> = (0..ADDRESSES)
            .map(|number| Visitor {
                address: address_of(0, number),
                // Each address forges many names, and each name is forged by many addresses.
                sites: (0..each).map(|nth| forged_site((number * 7 + nth) % FORGED_SITES)).collect(),
                pause: Duration::ZERO,
            })
            .collect();
        let addr = edge.prepared.ground.plain;
        let honest =
            std::thread::spawn(move || on_this_thread(open_all(addr, widget, visitors, Instant::now())));
        let begun = Instant::now();
        let forged = opened(edge, widget, forged)?;
        let took = begun.elapsed();
        let honest = honest.join().map_err(|_| anyhow!("the visitors panicked"))??;
        ensure!(forged.len() == each * ADDRESSES, "{} of the forged opens were answered", forged.len());
        let wrong = forged.iter().find(|open| !matches!(open.status, 200 | 429));
        ensure!(wrong.is_none(), "an open was answered with {}", wrong.map_or(0, |open| open.status));
        rows.told(format!("{what}: took"), text(took));
        rows.told(format!("{what}: let in"), forged.iter().filter(|open| open.status == 200).count());
        Ok(Flooded { what: what.to_owned(), forged, honest })
    }
}

impl Flooded {
    /// Holds what was let in against the budget of each `whose`.
    fn judge_budget(&self, whose: &str, budget: usize, key: impl Fn(&Open) -> String, rows: &mut Rows) {
        let mut by_key = BTreeMap::<String, Vec<&Open>>::new();
        for open in self.forged.iter().chain(&self.honest).filter(|open| open.site != HONEST) {
            by_key.entry(key(open)).or_default().push(open);
        }
        let most = by_key.values().map(|opens| most_of(opens)).max().unwrap_or_default();
        let what = &self.what;
        rows.judged(
            format!("{what}: of {whose} in any 60 s, at most"),
            format!("<= {budget}"),
            most,
            most <= budget,
        );
        // Nobody is refused while there is room: each has asked for more than its budget.
        let asked_more = by_key.values().filter(|opens| opens.len() > budget);
        let fewest = asked_more.map(|opens| opens.iter().filter(|open| open.status == 200).count()).min();
        let fewest = fewest.unwrap_or_default();
        rows.judged(
            format!("{what}: of {whose} that asked for more, at least"),
            format!(">= {budget}"),
            fewest,
            fewest >= budget,
        );
    }

    /// What the honest visitors have seen, as far as it is theirs alone.
    fn judge_honest(&self, is_untouched: impl Fn(&Open) -> bool, rows: &mut Rows) {
        let honest: Vec<_> = self.honest.iter().filter(|open| is_untouched(open)).collect();
        let refused = honest.iter().filter(|open| open.status != 200).count();
        let slowest = honest.iter().map(|open| open.answered - open.sent).max().unwrap_or_default();
        let what = &self.what;
        rows.none(format!("{what}: refused of {} honest opens", honest.len()), refused as u64, "");
        rows.told(format!("{what}: slowest honest open"), text(slowest));
    }
}

/// How many of these were let in within any 60 seconds.
fn most_of(opens: &[&Open]) -> usize {
    let let_in = opens.iter().filter(|open| open.status == 200);
    most_in_a_minute(let_in.map(|open| (open.sent, open.answered)))
}

fn opened(edge: &Edge, widget: &'static str, visitors: Vec<Visitor>) -> Result<Vec<Open>> {
    on_this_thread(open_all(edge.prepared.ground.plain, widget, visitors, Instant::now()))
}

/// Visitors of the site that nobody forges, each at an address of its own.
fn honest() -> Vec<Visitor> {
    (0..VISITORS)
        .map(|number| Visitor {
            address: address_of(1, number),
            sites: vec![HONEST.to_owned(); OPENS_EACH],
            pause: PAUSE,
        })
        .collect()
}

/// An address of loopback. Those of one crowd are none of another's.
fn address_of(crowd: u8, number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1 + crowd, (number / 250) as u8, (number % 250) as u8 + 1)
}

fn forged_site(number: usize) -> String {
    format!("site{number}.example.com")
}

/// Saves a widget that lists every site here, with these limits.
fn save(edge: &Edge, widget: &str, limits: &str) -> Result<()> {
    let sites: Vec<String> = (0..FORGED_SITES).map(forged_site).chain([HONEST.to_owned()]).collect();
    let sites = serde_json::to_string(&sites)?;
    let document = format!(r#"{{"id":"{widget}","allowed_domains":{sites},"limits":{limits}}}"#);
    let (status, said) = edge.admin().call("PUT", &format!("/v1/widgets/{widget}"), &document)?;
    ensure!(matches!(status, 200 | 201), "saving {widget}: {status} {said}");
    Ok(())
}
