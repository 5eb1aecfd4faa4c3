//! Sick servers: one of two that hangs or closes costs next to nobody anything, and no POST arrives twice.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use bench_support::client::{connect, exchange};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Settings;
use crate::load::{Target, on_this_thread};
use crate::rows::{Rows, counted};
use crate::subject::{Before, Subject};
use crate::witness::{Temper, Witness};

/// How long servers are waited for here, so that a hanging one does not take an hour: not sixty seconds.
const READ_TIMEOUT: Duration = Duration::from_millis(300);
/// Requests of a kind.
const REQUESTS: usize = 60;
/// POSTs under closes, and how many at once.
const POSTS: usize = 2000;
const AT_ONCE: usize = 8;
/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    for (temper, what) in [(Temper::Hangs, "one hangs"), (Temper::Closes, "one closes on every request")] {
        let (well, sick) = (Witness::start(Temper::Well)?, Witness::start(temper)?);
        let before = Before { servers: vec![well.addr, sick.addr], read_timeout: READ_TIMEOUT };
        each(settings, &before, rows, |rows, subject, is_judged| {
            sick.forget()?;
            let [gets, posts] = on_this_thread(mixed(&subject.target))?;
            let name = format!("sick: {}, of two servers {what}", subject.title);
            for (kind, failed, most) in [("GETs", gets, 0), ("POSTs", posts, 1)] {
                let row = format!("{name}: {kind} that failed, of {REQUESTS}");
                let measured = counted(failed.0 as u64, &failed.1);
                match is_judged {
                    true => rows.judged(row, format!("<= {most}"), measured, failed.0 <= most),
                    false => rows.told(row, measured),
                }
            }
            rows.told(format!("{name}: requests that reached it"), sick.seen()?.requests);
            Ok(())
        })?;
    }
    let servers = [Witness::start(Temper::Fickle)?, Witness::start(Temper::Fickle)?];
    let addrs = servers.iter().map(|server| server.addr).collect();
    let before = Before { servers: addrs, read_timeout: READ_TIMEOUT };
    let count = settings.count(POSTS, 400);
    each(settings, &before, rows, |rows, subject, is_judged| {
        servers.iter().try_for_each(Witness::forget)?;
        let failed = on_this_thread(posts(&subject.target, count))?;
        let mut arrived = BTreeMap::<_, u64>::new();
        for server in &servers {
            for (id, times) in server.seen()?.ids {
                *arrived.entry(id).or_default() += times;
            }
        }
        let twice = arrived.values().filter(|times| **times > 1).count();
        let name = format!("sick: {}, {count} POSTs under random closes", subject.title);
        match is_judged {
            true => rows.judged(format!("{name}: arrived twice"), 0, twice, twice == 0),
            false => rows.told(format!("{name}: arrived twice"), twice),
        }
        rows.told(format!("{name}: answered with an error, or not at all"), failed);
        rows.told(format!("{name}: arrived"), arrived.len());
        Ok(())
    })
}

/// Shows the edge, whose rows are judged, and its peers.
fn each(
    settings: &Settings,
    before: &Before,
    rows: &mut Rows,
    mut show: impl FnMut(&mut Rows, &Subject, bool) -> Result<()>,
) -> Result<()> {
    Subject::each(settings, before, |subject| show(rows, subject, subject.as_edge().is_some()))
}

/// How many failed, and how the first did.
type Failed = (usize, String);

/// So many GETs and POSTs, one after the other, without an order that servers that take turns could be in step with.
async fn mixed(target: &Target) -> Result<[Failed; 2]> {
    let mut failed = [Failed::default(), Failed::default()];
    let mut left = [REQUESTS; 2];
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    while left != [0, 0] {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let kind = match left {
            [0, _] => 1,
            [_, 0] => 0,
            _ => usize::from(dice % 2 == 1),
        };
        left[kind] -= 1;
        let request = match kind {
            0 => target.request("session", ""),
            _ => post(target, "mixed"),
        };
        if let Err(error) = ask(target.plain, &request).await {
            failed[kind].0 += 1;
            if failed[kind].1.is_empty() {
                failed[kind].1 = format!("{error:#}");
            }
        }
    }
    Ok(failed)
}

fn post(target: &Target, id: &str) -> Vec<u8> {
    let head = target.request("session", &format!("X-Id: {id}\r\nContent-Length: 8\r\n"));
    [b"POST", head.strip_prefix(b"GET").unwrap_or_default(), b"12345678"].concat()
}

/// So many POSTs, each with an id of its own; how many were not answered with 200.
async fn posts(target: &Target, count: usize) -> Result<usize> {
    let failed = Rc::new(Cell::new(0));
    let mut tasks = JoinSet::new();
    for client in 0..AT_ONCE {
        let (target, failed) = (target.clone(), Rc::clone(&failed));
        tasks.spawn_local(async move {
            for number in 0..count / AT_ONCE {
                let request = post(&target, &format!("{client}-{number}"));
                if ask(target.plain, &request).await.is_err() {
                    failed.set(failed.get() + 1);
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task?;
    }
    Ok(failed.get())
}

/// One request on a connection of its own.
async fn ask(addr: SocketAddr, request: &[u8]) -> Result<()> {
    let mut stream = connect(addr).await?;
    let mut buffer = vec![0; 64 * 1024];
    let head = timeout(PATIENCE, exchange(&mut stream, request, &mut buffer))
        .await
        .context("no answer in time")??;
    anyhow::ensure!(head.status == 200, "{}", head.status);
    Ok(())
}
