//! Clients with one HTTP/2 connection on TLS, and some streams on it at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench_support::client::tls::{connector, handshake};
use bench_support::ground::HOST;
use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use rustls::client::Resumption;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{PATIENCE, Pace, Shared};

/// Streams at a time.
const STREAMS: usize = 4;
/// Between two requests of a stream.
const PAUSE: Duration = Duration::from_millis(4);
/// After a connection that could not be opened.
const AGAIN: Duration = Duration::from_millis(5);

/// The connection that new requests go to.
struct Current {
    shared: Arc<Shared>,
    connector: TlsConnector,
    sender: Mutex<Option<Sender>>,
}

/// A connection, with whether it has answered before.
#[derive(Clone)]
struct Sender {
    requests: SendRequest<Bytes>,
    has_answered: Rc<RefCell<bool>>,
}

pub async fn connection(shared: Arc<Shared>, mut pace: Pace) -> Result<()> {
    let connector = connector(b"h2", Resumption::disabled())?;
    let current = Rc::new(Current { shared, connector, sender: Mutex::new(None) });
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (current, mut own) = (Rc::clone(&current), Pace::new());
        streams.spawn_local(async move {
            while !current.shared.is_over() {
                current.ask().await?;
                tokio::time::sleep(own.pause(PAUSE)).await;
            }
            Ok::<_, anyhow::Error>(())
        });
        tokio::time::sleep(pace.pause(PAUSE)).await;
    }
    while let Some(stream) = streams.join_next().await {
        stream??;
    }
    Ok(())
}

impl Current {
    /// One request. What could not be sent, because the connection takes no more, is none.
    async fn ask(&self) -> Result<()> {
        let Some(Sender { requests, has_answered }) = self.sender().await else { return Ok(()) };
        let target = &self.shared.target;
        let request = http::Request::get(format!("https://{HOST}/w/{}/loader.js", target.widget))
            .header("origin", format!("https://{}", target.site))
            .body(())
            .context("a request")?;
        let asked = Instant::now();
        let Ok(mut requests) = requests.ready().await else { return self.leave(&has_answered).await };
        let Ok((answer, _)) = requests.send_request(request, true) else {
            return self.leave(&has_answered).await;
        };
        drop(requests);
        let tally = &self.shared.tally;
        match timeout(PATIENCE, whole(answer)).await {
            Ok(Ok(head)) => {
                has_answered.replace(true);
                self.shared.answered(asked, head.status().as_u16(), &|name| {
                    Some(head.headers().get(name)?.to_str().ok()?.to_owned())
                });
            }
            Ok(Err(error)) => {
                let is_untouched =
                    error.is_go_away() && error.is_remote() || error.reason() == Some(Reason::REFUSED_STREAM);
                let lost = match (is_untouched, *has_answered.borrow()) {
                    (true, _) => &tally.turned_away,
                    (false, true) => &tally.lost_reused,
                    (false, false) => &tally.lost_new,
                };
                lost.note(|| format!("HTTP/2: {error}"));
                self.leave(&has_answered).await?;
            }
            Err(_) => tally.lost_reused.note(|| "HTTP/2: no answer in time".to_owned()),
        }
        Ok(())
    }

    /// The connection for a new request, opened where there is none.
    async fn sender(&self) -> Option<Sender> {
        let mut current = self.sender.lock().await;
        if current.is_none() {
            let tally = &self.shared.tally;
            match timeout(PATIENCE, self.open()).await {
                Ok(Ok(sender)) => {
                    tally.opened.add();
                    *current = Some(sender);
                }
                Ok(Err(error)) => {
                    tally.refused.note(|| format!("HTTP/2: {error:#}"));
                    tokio::time::sleep(AGAIN).await;
                }
                Err(_) => tally.refused.note(|| "HTTP/2: no connection in time".to_owned()),
            }
        }
        current.clone()
    }

    async fn open(&self) -> Result<Sender> {
        let stream = handshake(self.shared.target.tls, &self.connector).await?;
        let (requests, driver) = h2::client::handshake(stream).await?;
        tokio::task::spawn_local(driver);
        Ok(Sender { requests, has_answered: Rc::default() })
    }

    /// Asks no more on this connection; what is open on it goes on.
    async fn leave(&self, connection: &Rc<RefCell<bool>>) -> Result<()> {
        let mut current = self.sender.lock().await;
        if current.as_ref().is_some_and(|sender| Rc::ptr_eq(&sender.has_answered, connection)) {
            *current = None;
            self.shared.tally.ended.add();
        }
        Ok(())
    }
}

/// An answer, read to its end.
async fn whole(answer: h2::client::ResponseFuture) -> Result<http::Response<()>, h2::Error> {
    let (head, mut body) = answer.await?.into_parts();
    while let Some(piece) = body.data().await {
        let length = piece?.len();
        body.flow_control().release_capacity(length)?;
    }
    Ok(http::Response::from_parts(head, ()))
}
