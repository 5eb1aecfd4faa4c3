//! Sessions that leave the edge: how soon the first and the last of many is told after the save that denies them, and the
//! memory of as many as are remembered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench_support::client::Connection;
use bench_support::ground::HOST;

use crate::Settings;
use crate::edge::{Edge, SITE, Spec, WIDGET};
use crate::proc::resident;
use crate::rows::Rows;
use crate::subject::mebibytes;

/// Sessions that one answer names.
const NAMED: usize = 16;
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_WITHIN: Duration = Duration::from_millis(100);
const LAST_WITHIN: Duration = Duration::from_millis(500);
/// What the allocator returns comes back within this time.
const SETTLED: Duration = Duration::from_secs(3);

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    revoked(settings, rows)?;
    kept(settings, rows)
}

/// One save that revokes many.
fn revoked(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let (sessions, rounds) = (settings.count(2_000, 200), settings.count(5, 2));
    let what = format!("{sessions} remembered sessions, one save");
    let receiver = Receiver::start()?;
    let edge = edge(settings, Some(receiver.addr))?;
    for _ in 0..rounds {
        edge.admin().save(WIDGET, &[SITE.to_owned()])?;
        name(&edge, sessions)?;
        let begun = Instant::now();
        edge.admin().save(WIDGET, &["www.another.example".to_owned()])?;
        let saved = begun.elapsed();
        let told = receiver.wait_for(sessions)?;
        let after = |told: Option<&(Instant, usize)>| {
            told.map(|(at, _)| at.duration_since(begun)).context("a notification")
        };
        rows.told(format!("{what}: answered after"), crate::rows::text(saved));
        rows.at_most(format!("{what}: the first notification"), FIRST_WITHIN, after(told.first())?);
        rows.at_most(format!("{what}: the last notification"), LAST_WITHIN, after(told.last())?);
        let all: usize = told.iter().map(|(_, sessions)| sessions).sum();
        rows.judged(format!("{what}: told"), sessions, all, all == sessions);
    }
    Ok(())
}

/// As many as are remembered.
fn kept(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let sessions = settings.count(100_000, 2_000);
    let what = format!("{sessions} remembered sessions");
    let mut edge = edge(settings, None)?;
    name(&edge, NAMED)?;
    thread::sleep(SETTLED);
    let before = resident(edge.id())?;
    let begun = Instant::now();
    name(&edge, sessions)?;
    let took = begun.elapsed();
    thread::sleep(SETTLED);
    let memory = resident(edge.id())?.saturating_sub(before);
    rows.told(format!("{what}: memory"), mebibytes(memory));
    rows.told(format!("{what}: memory of each, in bytes"), memory / sessions as u64);
    rows.told(
        format!("{what}: an answer that names {NAMED}"),
        crate::rows::text(took / (sessions / NAMED) as u32),
    );
    let begun = edge.kill_and_start()?;
    let expected = sessions.max(NAMED) as f64;
    while edge.admin().metric("embedgate_remembered_sessions ")? < expected {
        ensure!(begun.elapsed() < PATIENCE, "they were not read again");
        thread::sleep(Duration::from_millis(5));
    }
    rows.told(format!("{what}: read again after `kill -9` within"), crate::rows::text(begun.elapsed()));
    Ok(())
}

/// An edge before an upstream that names what it is asked to, with this receiver.
fn edge(settings: &Settings, receiver: Option<SocketAddr>) -> Result<Edge> {
    let table = receiver.map(|addr| format!("[notify]\nurl = \"http://{addr}/hook\"\n")).unwrap_or_default();
    Edge::start(&settings.binary, naming_upstream()?, Spec { loader: &table, ..Spec::default() })
}

/// Has so many sessions named, the same each time.
fn name(edge: &Edge, sessions: usize) -> Result<()> {
    let mut connection = Connection::open(edge.target().plain)?;
    let ids: Vec<String> = (0..sessions).map(|id| format!("room-{id:08}:visitor-{id:08}")).collect();
    for ids in ids.chunks(NAMED) {
        let request = format!(
            "GET /w/{WIDGET}/session/token?{} HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{SITE}\r\n\r\n",
            ids.join(",")
        );
        let (status, said) = connection.ask(request.as_bytes())?;
        ensure!(status == 200, "{status} {said}");
    }
    Ok(())
}

/// Serves each connection on a thread of its own, for as long as the process.
fn serve(each: impl Fn(TcpStream) -> Result<()> + Clone + Send + 'static) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let each = each.clone();
            // It ends with its connection.
            thread::spawn(move || each(stream));
        }
    });
    Ok(addr)
}

/// An upstream whose answers name the sessions in the query.
fn naming_upstream() -> Result<SocketAddr> {
    serve(|stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some((target, _)) = head(&mut reader)? {
            let ids = target.split_once('?').map(|(_, ids)| ids).unwrap_or_default();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Widget-Session: {ids}\r\n\r\nok");
            (&stream).write_all(answer.as_bytes())?;
        }
        Ok(())
    })
}

/// Reads the head of a request: its target, and the length of its body. `None`: the connection has ended.
fn head(reader: &mut impl BufRead) -> Result<Option<(String, usize)>> {
    let (mut line, mut target, mut length) = (String::new(), None, 0);
    while reader.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            return Ok(target.map(|target| (target, length)));
        }
        match line.split_once(':') {
            Some((name, value)) if target.is_some() && name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            _ if target.is_none() => target = Some(line.split(' ').nth(1).unwrap_or_default().to_owned()),
            _ => {}
        }
        line.clear();
    }
    Ok(None)
}

/// Receiver of notifications.
struct Receiver {
    addr: SocketAddr,
    /// When each of revoked sessions came, and how many sessions it had.
    told: Arc<Mutex<Vec<(Instant, usize)>>>,
}

impl Receiver {
    fn start() -> Result<Self> {
        let told = Arc::<Mutex<Vec<(Instant, usize)>>>::default();
        let inbox = Arc::clone(&told);
        let addr = serve(move |stream| {
            let mut reader = BufReader::new(stream.try_clone()?);
            while let Some((_, length)) = head(&mut reader)? {
                let mut body = vec![0; length];
                reader.read_exact(&mut body)?;
                let at = Instant::now();
                let body: serde_json::Value = serde_json::from_slice(&body)?;
                if body["type"] == "session.revoked" {
                    let sessions = body["data"]["sessions"].as_array().map_or(0, Vec::len);
                    inbox.lock().unwrap().push((at, sessions));
                }
                (&stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
            }
            Ok(())
        })?;
        Ok(Self { addr, told })
    }

    /// Waits until so many sessions were told, and takes what came.
    fn wait_for(&self, sessions: usize) -> Result<Vec<(Instant, usize)>> {
        let begun = Instant::now();
        loop {
            let mut told = self.told.lock().unwrap();
            if told.iter().map(|(_, sessions)| sessions).sum::<usize>() >= sessions {
                return Ok(std::mem::take(&mut told));
            }
            drop(told);
            ensure!(begun.elapsed() < PATIENCE, "not all of {sessions} sessions were told");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
