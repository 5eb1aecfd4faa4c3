//! Requests of pages in one order, on kept connections, as many a second as are wanted.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bench_support::client::{connect, exchange};
use bench_support::ground::HOST;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::load::Tally;

/// Connections at once.
const CLIENTS: usize = 64;
/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request for a widget's loader.
pub struct Ask {
    /// What its maker knows it by.
    pub number: usize,
    pub widget: String,
    /// The host of the page that asks.
    pub page: String,
    pub is_listed: bool,
}

struct Shared<A, F> {
    addr: SocketAddr,
    asks: RefCell<A>,
    a_second: Option<u32>,
    started: Instant,
    answered: F,
    tally: Tally,
}

/// Asks until there is nothing more to ask, or all connections are lost; without `a_second` as fast as it goes.
/// `answered` is told of each request that was answered as it should be.
pub async fn ask_all<A, F>(addr: SocketAddr, asks: A, a_second: Option<u32>, answered: F) -> Result<Rc<Tally>>
where
    A: Iterator<Item = Ask> + 'static,
    F: Fn(&Ask) + 'static,
{
    let (asks, tally) = (RefCell::new(asks.enumerate()), Tally::default());
    let shared = Rc::new(Shared { addr, asks, a_second, started: Instant::now(), answered, tally });
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        tasks.spawn_local(client(Rc::clone(&shared), connect(addr).await?));
    }
    while let Some(task) = tasks.join_next().await {
        task?;
    }
    Ok(Rc::new(Rc::into_inner(shared).map(|shared| shared.tally).unwrap_or_default()))
}

async fn client<A, F>(shared: Rc<Shared<A, F>>, mut stream: TcpStream)
where
    A: Iterator<Item = (usize, Ask)>,
    F: Fn(&Ask),
{
    let Shared { tally, .. } = &*shared;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let next = shared.asks.borrow_mut().next();
        let Some((nth, ask)) = next else { return };
        if let Some(a_second) = shared.a_second {
            let due = shared.started + Duration::from_secs_f64(nth as f64 / f64::from(a_second));
            sleep_until(due.into()).await;
        }
        let Ask { widget, page, is_listed, .. } = &ask;
        let request = format!(
            "GET /w/{widget}/loader.js HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{page}\r\n\
             Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n\r\n"
        );
        let (asked, expected) = (Instant::now(), if *is_listed { 200 } else { 403 });
        match timeout(PATIENCE, exchange(&mut stream, request.as_bytes(), &mut buffer)).await {
            Ok(Ok(head)) => {
                tally.took(asked.elapsed());
                tally.answered.add();
                match head.status == expected {
                    true => (shared.answered)(&ask),
                    false => tally.wrong.note(|| format!("{} in place of {expected}", head.status)),
                }
                if head.close {
                    match connect(shared.addr).await {
                        Ok(again) => stream = again,
                        Err(error) => return tally.refused.note(|| error.to_string()),
                    }
                }
            }
            failed => return tally.lost_reused.note(|| format!("{failed:?}")),
        }
    }
}
