//! Attacks over HTTP/1.1, at the edge and at its peers: heads and bodies without an end.

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench_support::client::connect;
use bench_support::ground::HOST;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::attacker::{AGAIN, Outcome, STUCK};
use super::told::{Attacked, Wanted};
use crate::Settings;
use crate::edge::{SITE, WIDGET};
use crate::load::{Target, on_this_thread};
use crate::rows::Rows;
use crate::subject::{Before, Subject};
use crate::witness::{Temper, Witness};

/// How long each goes on.
const TIME: Duration = Duration::from_secs(2);
/// The most that is sent on one connection.
const MOST: u64 = 64 << 20;

/// What comes first, what is sent again and again, and how often at most.
struct Attack {
    name: &'static str,
    fields: &'static str,
    again: String,
    times: u64,
}

fn attacks() -> [Attack; 5] {
    let each = |name, fields, again: &str| Attack { name, fields, again: again.to_owned(), times: u64::MAX };
    [
        each(
            "a chunk extension without an end",
            "POST|Transfer-Encoding: chunked\r\n\r\n1;x=",
            &"e".repeat(4096),
        ),
        each(
            "trailers without an end",
            "POST|Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
            &"X-Trailer: t\r\n".repeat(256),
        ),
        each("fields without an end", "GET|", &"X-Field: f\r\n".repeat(256)),
        Attack { times: 256, ..each("a head of 1 MiB", "GET|X-Long: ", &"l".repeat(4096)) },
        each("a head byte by byte", "GET|X-Long: ", "l"),
    ]
}

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let time = if settings.quick { TIME / 2 } else { TIME };
    let witness = Witness::start(Temper::Well)?;
    Subject::each(settings, &Before::server(witness.addr), |subject| {
        let mut attacked = Attacked::new(subject, &witness, time)?;
        for attack in attacks() {
            let (target, name) = (subject.target.clone(), attack.name);
            let work = move || on_this_thread(repeated(&target, &attack, time));
            attacked.by(rows, name, "bytes", Wanted::Refusal, work)?;
        }
        attacked.over(rows, "HTTP/1.1");
        Ok(())
    })
}

/// Attacks for so long, one connection at a time.
async fn repeated(target: &Target, attack: &Attack, time: Duration) -> Result<Outcome> {
    let until = Instant::now() + time;
    let mut first = None;
    let mut connections = 0;
    while Instant::now() < until {
        let stream = connect(target.plain).await?;
        let one = once(stream, attack, until).await;
        first.get_or_insert(one);
        connections += 1;
        tokio::time::sleep(AGAIN).await;
    }
    Ok(Outcome { connections, ..first.context("no attack")? })
}

async fn once(stream: TcpStream, attack: &Attack, until: Instant) -> Outcome {
    let (mut input, output) = stream.into_split();
    let (mut said, mut sent) = (Vec::new(), 0);
    let is_answered = {
        let mut sending = pin!(send(output, attack, &mut sent));
        let mut listening = pin!(listen(&mut input, &mut said));
        let is_over = tokio::select! {
            () = &mut listening => true,
            _ = &mut sending => false,
            () = tokio::time::sleep_until(until.into()) => false,
        };
        // An answer may come to what is over.
        is_over || timeout(STUCK, listening).await.is_ok()
    };
    let status = said.get(9..12).map(|status| String::from_utf8_lossy(status).into_owned());
    let end = status.or_else(|| is_answered.then(|| "closed".to_owned()));
    Outcome { end, sent, heard: String::new(), connections: 1 }
}

/// Hears a status, or that it is over.
async fn listen(input: &mut OwnedReadHalf, said: &mut Vec<u8>) {
    while said.len() < 12 && input.read_buf(said).await.is_ok_and(|read| read > 0) {}
}

async fn send(mut output: OwnedWriteHalf, attack: &Attack, sent: &mut u64) -> io::Result<()> {
    let (method, fields) = attack.fields.split_once('|').unwrap_or_default();
    let head = format!(
        "{method} /w/{WIDGET}/session HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{SITE}\r\n{fields}"
    );
    output.write_all(head.as_bytes()).await?;
    let mut times = 0;
    while times < attack.times && *sent < MOST {
        output.write_all(attack.again.as_bytes()).await?;
        *sent += attack.again.len() as u64;
        times += 1;
        tokio::task::yield_now().await;
    }
    // A head that could be long enough is ended.
    if times == attack.times {
        output.write_all(b"\r\n\r\n").await?;
    }
    std::future::pending().await
}
