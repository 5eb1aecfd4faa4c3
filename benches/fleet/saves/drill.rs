//! A drill: an edge that judges by older rules, on purpose, which the checker must find.

use std::time::Duration;

use anyhow::{Result, ensure};
use bench_support::count::Count;
use bench_support::rows::Rows;

use super::check;
use crate::Settings;
use crate::admin::Saved;
use crate::fleet::{Fleet, Plan};
use crate::relay::Mode;
use crate::verdict::Expected;

/// Saves that one of the edges lacks.
const SAVES: u64 = 5;
const WAIT: Duration = Duration::from_millis(100);

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let plan = Plan { edges: 2, servers: 1, linked: true, ..Plan::default() };
    let fleet = Fleet::start(settings, plan).await?;
    let (mut admin, old) = (fleet.edges[0].admin(), Count::default());
    let mut askers: Vec<_> = fleet.edges.iter().map(|edge| edge.asker()).collect();
    if let Some(link) = &fleet.edges[1].link {
        link.set(Mode::Swallowing);
    }
    let mut expected = Expected { id: "wgt_drill".to_owned(), allowed: None, denied: None };
    for number in 0..SAVES {
        let site = format!("site-{number}.example");
        let saved = admin.save(&expected.id, &site, Some(WAIT)).await;
        ensure!(
            saved == Saved::Behind(vec!["edge-2".to_owned()]),
            "a save that edge-2 can't hear of: {saved:?}"
        );
        expected.denied = expected.allowed.replace(site);
        check(&mut askers, &expected, &old).await?;
    }
    let measured = old.get();
    rows.judged(
        "saves: drill: old verdicts of an edge that is cut off, found",
        SAVES,
        measured,
        measured == SAVES,
    );
    Ok(())
}
