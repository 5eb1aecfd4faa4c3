//! Binary upgrades under load: nothing is refused, lost or cut, and a save reaches the sessions of every process.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::admin::Admin;
use crate::edge::{Edge, Spec, WIDGET};
use crate::load::{Ending, Load, Mix, Tally, Target, Watched};
use crate::rows::{Rows, text};
use crate::saver::{Saver, Saves};
use crate::{Settings, upstreams};

/// Time between two upgrades.
const PAUSE: Duration = Duration::from_secs(1);
/// Sessions of each site that is removed right after an upgrade, and of the one that stays.
const SESSIONS: usize = 20;
/// Sessions that are opened at each process, and cut after the last upgrade.
const SESSIONS_OF_EACH: usize = 10;
/// The longest time from a save that denies a session until it is cut, but for one of a hundred.
const CUT: Duration = Duration::from_millis(100);
/// The longest that a save may take.
const SAVE: Duration = Duration::from_secs(1);
/// Time after which a session that was to be cut is given up.
const GIVEN_UP: Duration = Duration::from_secs(30);
/// The same for sessions that stay through all upgrades.
const AT_THE_END: Duration = Duration::from_secs(600);
/// What its Close frame says.
const DENIED: Option<u16> = Some(1008);

/// The widget whose sites are removed.
const CUT_WIDGET: &str = "wgt_cut";
/// Its sessions are opened at each process, and keep all of them there until the end.
const OLD: &str = "old.example";
/// Its sessions are never cut.
const STAYING: &str = "staying.example";

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let upgrades = settings.count(20, 3);
    let spec = Spec { edge: "upgrade_drain = \"1h\"", ..Spec::default() };
    let mut edge = Edge::start(&settings.binary, upstreams::start()?, spec)?;
    let admin = edge.admin();
    // The last stays, for a list that is empty would admit everybody.
    let mut sites: Vec<String> = (0..upgrades).map(|n| format!("cut{n}.example")).collect();
    sites.extend([OLD, STAYING].map(str::to_owned));
    admin.save(CUT_WIDGET, &sites)?;
    let target = Target { widget: CUT_WIDGET.to_owned(), ..edge.target() };

    let staying = Watched::open(&target.by(STAYING), SESSIONS, AT_THE_END)?;
    let (load, saver) = (Load::start(&edge.target(), Mix::USUAL), Saver::start(admin));
    let (mut cuts, mut slowest) = (Cuts::default(), Duration::ZERO);
    let mut old = Vec::new();
    for _ in 0..upgrades {
        std::thread::sleep(PAUSE);
        let site = sites.remove(0);
        let watched = Watched::open(&target.by(&site), SESSIONS, GIVEN_UP)?;
        old.push(Watched::open(&target.by(OLD), SESSIONS_OF_EACH, AT_THE_END)?);
        slowest = slowest.max(edge.upgrade(&settings.binary)?);
        cuts.remove(admin, &site, &sites, (SESSIONS, vec![watched]))?;
    }
    std::thread::sleep(PAUSE);
    let processes = edge.living().len();
    let mut of_all = Cuts::default();
    of_all.remove(admin, OLD, &[STAYING.to_owned()], (SESSIONS_OF_EACH * upgrades, old))?;
    let (tally, saves) = (load.stop()?, saver.stop()?);
    let ended = staying.ended()?;

    let name = format!("upgrade: {upgrades} upgrades");
    rows.told(format!("{name}: slowest"), text(slowest));
    rows.told(format!("{name}: processes at the end, the old ones with sessions"), processes);
    told_load(rows, &name, &tally);
    nothing_lost(rows, &name, &tally);
    no_save_lost(rows, &name, admin, &saves)?;
    let what = format!("{name}: sessions cut of the site that stays listed, of {SESSIONS}");
    rows.none(what, ended.len() as u64, "");
    cuts.tell(rows, &format!("{name}: the old process's sessions, by a save right after"));
    of_all.tell(rows, &format!("{name}: all old processes' sessions, by a save at the end"));
    Ok(())
}

/// How much was asked.
fn told_load(rows: &mut Rows, name: &str, tally: &Tally) {
    rows.told(
        format!("{name}: requests answered, sessions opened, messages"),
        format!("{}, {}, {}", tally.answered.get(), tally.sessions.get(), tally.messages.get()),
    );
    rows.told(format!("{name}: slowest answer"), text(tally.slowest()));
}

/// Rows of what no client may see.
pub fn nothing_lost(rows: &mut Rows, name: &str, tally: &Tally) {
    rows.none(format!("{name}: connections refused"), tally.refused.get(), &tally.refused.first());
    rows.none(format!("{name}: requests sent and unanswered"), tally.lost(), &tally.first_lost());
    rows.none(format!("{name}: answers other than 200"), tally.wrong.get(), &tally.wrong.first());
    rows.none(format!("{name}: sessions cut"), tally.cut.get(), &tally.cut.first());
}

/// Rows of what no operator may see.
pub fn no_save_lost(rows: &mut Rows, name: &str, admin: Admin, saves: &Saves) -> Result<()> {
    let there = widgets(admin)?;
    let missing: Vec<&String> = saves.saved.iter().filter(|id| !there.contains(*id)).collect();
    rows.none(
        format!("{name}: saves lost, of {} answered", saves.saved.len()),
        missing.len() as u64,
        missing.first().map_or("", |id| id.as_str()),
    );
    rows.none(format!("{name}: saves failed"), saves.failed.get(), &saves.failed.first());
    rows.none(format!("{name}: saves refused"), saves.refused.get(), &saves.refused.first());
    rows.at_most(format!("{name}: slowest save"), SAVE, saves.slowest);
    Ok(())
}

/// The ids of all widgets.
fn widgets(admin: Admin) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = admin.read(&format!("/v1/widgets?limit=1000{after}"))?;
        let widgets = page["widgets"].as_array().context("widgets")?;
        ids.extend(widgets.iter().filter_map(|widget| Some(widget["id"].as_str()?.to_owned())));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    ensure!(ids.contains(WIDGET), "{WIDGET} is not listed");
    Ok(ids)
}

/// How long sessions took to be cut.
#[derive(Default)]
struct Cuts {
    times: Vec<Duration>,
    /// Sessions that ended otherwise, or not at all.
    others: u64,
    first_other: String,
}

impl Cuts {
    /// Saves the list without a site, and waits until its sessions, so many, have ended.
    fn remove(
        &mut self,
        admin: Admin,
        site: &str,
        others: &[String],
        (count, sessions): (usize, Vec<Watched>),
    ) -> Result<()> {
        let asked = Instant::now();
        admin.save(CUT_WIDGET, others)?;
        std::thread::sleep(CUT * 5);
        let endings = sessions.into_iter().map(|sessions| sessions.ended().context("sessions"));
        let endings = endings.collect::<Result<Vec<_>>>()?.concat();
        let missing = (count - endings.len()) as u64;
        let is_cut = |ending: &&Ending| ending.code == DENIED && ending.at >= asked;
        let (cut, others): (Vec<&Ending>, Vec<&Ending>) = endings.iter().partition(is_cut);
        self.times.extend(cut.iter().map(|ending| ending.at.duration_since(asked)));
        self.others += others.len() as u64 + missing;
        if self.first_other.is_empty() {
            self.first_other = match others.first() {
                Some(other) => format!("{site}: Close code {:?}", other.code),
                None if missing > 0 => format!("{site}: {missing} still open"),
                None => String::new(),
            };
        }
        Ok(())
    }

    fn tell(mut self, rows: &mut Rows, whose: &str) {
        let what = format!("{whose}, until cut, p99");
        self.times.sort_unstable();
        let most = self.times.len().saturating_sub(1) * 99 / 100;
        match (self.times.get(most), self.times.last()) {
            (Some(p99), Some(last)) => {
                let measured = format!("{}, slowest {}, of {}", text(*p99), text(*last), self.times.len());
                rows.judged(&what, format!("<= {}", text(CUT)), measured, *p99 <= CUT);
            }
            _ => rows.judged(&what, format!("<= {}", text(CUT)), "none was cut", false),
        }
        rows.none(format!("{whose}: not cut, or not with 1008"), self.others, &self.first_other);
    }
}
