//! Notifications: a receiver that is away for ten minutes, and an edge that is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_support::client::once;
use bench_support::ground::HOST;
use bench_support::ports;

use crate::edge::{Edge, Spec};
use crate::rows::{Rows, text};
use crate::{Settings, upstreams};
use receiver::{Delivery, Receiver, SECRET, secret_file};

mod receiver;

const WIDGETS: usize = 20;
/// Pages that each widget denies for the first time, half of them before the kill: as many as are told in an hour.
const STRANGERS: usize = 20;
/// Sightings are kept each second, so those of two rounds are told in their order.
const ROUND: Duration = Duration::from_millis(2_500);
/// The longest that it may take until what was told is on its way.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let away = Duration::from_secs(settings.count(600, 20) as u64);
    let what = format!("notifications, a receiver away for {}", text(away));
    let addr = ports::free();
    let table = format!("[notify]\nurl = \"http://{addr}/hooks\"\nsecret_file = \"data/notify.secrets\"\n");
    let prepared = crate::edge::Prepared::new(
        &settings.binary,
        upstreams::start()?,
        Spec { loader: &table, ..Spec::default() },
    )?;
    secret_file(&prepared.ground)?;
    let receiver = Receiver::start(addr, 503)?;
    let mut edge = prepared.start()?;
    for number in 0..WIDGETS {
        edge.admin().save(&id(number), &["listed.example".to_owned()])?;
    }
    tell_half(&edge, 0)?;
    let tried = receiver.stop();

    let begun = Instant::now();
    std::thread::sleep(away / 2);
    edge.kill_and_start()?;
    waits(&edge, told(1))?;
    tell_half(&edge, 1)?;
    std::thread::sleep(away.saturating_sub(begun.elapsed()));

    let (back, receiver) = (Instant::now(), Receiver::start(addr, 204)?);
    // The last wait before may have been as long as it was away.
    let patience = away * 2 + PATIENCE;
    while pending(&edge)? > 0 && back.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(100));
    }
    let last = back.elapsed();
    let arrived = receiver.stop();
    rows.told(format!("{what}: until the last of {} has arrived", told(2)), text(last));
    judge(&what, &tried, &arrived, rows)
}

fn judge(what: &str, tried: &[Delivery], arrived: &[Delivery], rows: &mut Rows) -> Result<()> {
    let mut of_widgets = BTreeMap::<&str, Vec<&str>>::new();
    let mut ids = BTreeMap::<(&str, &str), BTreeSet<&str>>::new();
    for delivery in tried.iter().chain(arrived) {
        ids.entry((&delivery.widget, &delivery.subject)).or_default().insert(&delivery.id);
    }
    for delivery in arrived {
        let subjects = of_widgets.entry(&delivery.widget).or_default();
        if !subjects.contains(&delivery.subject.as_str()) {
            subjects.push(&delivery.subject);
        }
    }
    let (mut missing, mut unordered) = (0, 0);
    let wanted: Vec<String> = std::iter::once("1".to_owned())
        .chain((0..STRANGERS).map(|nth| format!("https://{}", stranger(nth))))
        .collect();
    for number in 0..WIDGETS {
        let subjects = of_widgets.remove(id(number).as_str()).unwrap_or_default();
        missing += wanted.iter().filter(|wanted| !subjects.contains(&wanted.as_str())).count();
        unordered += usize::from(
            !subjects.is_sorted_by_key(|subject| wanted.iter().position(|wanted| wanted == subject)),
        );
    }
    let all = || tried.iter().chain(arrived);
    rows.none(format!("{what}, kill -9: missing"), missing as u64, "");
    rows.none(
        format!("{what}, kill -9: widgets whose notifications came in another order"),
        unordered as u64,
        "",
    );
    let renamed = ids.values().filter(|ids| ids.len() > 1).count();
    rows.none(format!("{what}, kill -9: with another id than at first"), renamed as u64, "");
    rows.none(
        format!("{what}, kill -9: without a signature by {SECRET:.9}…"),
        all().filter(|delivery| !delivery.is_signed).count() as u64,
        "",
    );
    rows.told(format!("{what}: first tried before it was away"), tried.len());
    rows.told(format!("{what}: arrived twice"), arrived.len() - ids_of(arrived));
    Ok(())
}

fn ids_of(deliveries: &[Delivery]) -> usize {
    deliveries.iter().map(|delivery| &delivery.id).collect::<BTreeSet<_>>().len()
}

/// Has each widget deny half of the strangers, and waits until they are on their way.
fn tell_half(edge: &Edge, half: usize) -> Result<()> {
    let each = STRANGERS / 2;
    for nth in half * each..(half + 1) * each {
        for number in 0..WIDGETS {
            let request = format!(
                "GET /w/{}/loader.js HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{}\r\nConnection: close\r\n\r\n",
                id(number),
                stranger(nth),
            );
            let status = once(edge.prepared.ground.plain, request.as_bytes())?;
            ensure!(status == 403, "{status} in place of 403");
        }
        std::thread::sleep(ROUND);
    }
    waits(edge, told(half + 1))
}

/// Waits until so many notifications wait to arrive.
fn waits(edge: &Edge, wanted: usize) -> Result<()> {
    let begun = Instant::now();
    while pending(edge)? < wanted {
        ensure!(begun.elapsed() < PATIENCE, "{} of {wanted} are on their way", pending(edge)?);
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Notifications after so many halves: the save of each widget, and its strangers.
fn told(halves: usize) -> usize {
    WIDGETS * (1 + STRANGERS / 2 * halves)
}

fn pending(edge: &Edge) -> Result<usize> {
    Ok(edge.admin().metric("embedgate_notifications_pending ")? as usize)
}

fn id(number: usize) -> String {
    format!("wgt_told_{number}")
}

fn stranger(nth: usize) -> String {
    format!("s{nth:02}.stranger.example")
}
