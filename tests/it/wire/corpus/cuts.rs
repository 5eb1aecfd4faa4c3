//! Connections that are written to in pieces, and requests that are cut at each of their bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::outcome::{Outcome, fault};
use super::table::{Body, Case, cases};
use super::{Way, frames, telling, written};
use crate::support::is_full;
use crate::wire::client::{Answer, Http1, Http2};
use crate::wire::{LISTED, Stage};

/// One end of a connection over which what is written goes byte by byte, or with a pause at one place.
pub struct Cut<S> {
    inner: S,
    bytewise: bool,
    /// So many bytes are to go before the pause; 0: there is none.
    left: Arc<AtomicUsize>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// Time for what was sent to arrive and be read.
const PAUSE: Duration = Duration::from_millis(2);

impl<S> Cut<S> {
    pub fn bytewise(inner: S) -> Self {
        Self { bytewise: true, ..Self::after(inner, &Arc::default()) }
    }

    /// The pause comes behind so many bytes more.
    pub fn after(inner: S, left: &Arc<AtomicUsize>) -> Self {
        Self { inner, bytewise: false, left: Arc::clone(left), pause: None }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cut<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let left = self.left.load(Ordering::Relaxed);
        let most = if self.bytewise {
            1
        } else if left > 0 {
            left
        } else {
            usize::MAX
        };
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, &bytes[..bytes.len().min(most)]))?;
        if left > 0 {
            self.left.store(left - written, Ordering::Relaxed);
            if written == left {
                self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

/// A client's connection.
enum Connection {
    Http1(Http1),
    Http2(Http2),
}

impl Connection {
    async fn ask(&mut self, case: &Case, target: &str, fields: &[(&str, &str)]) -> Answer {
        match self {
            Self::Http1(connection) => {
                connection.ask(written(case, Way::Bytewise, target, fields).concat()).await
            }
            Self::Http2(connection) => {
                let length = case.stated_length();
                let length = length.as_deref().map(|length| ("content-length", length));
                let fields: Vec<_> = fields.iter().copied().chain(length).collect();
                connection.ask(case.method, target, &fields, &frames(case, false)).await
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_may_be_cut_at_any_byte() {
    let stage = &Stage::start(telling).await;
    let cases = cases();
    let wanted = |method: &str, body, trailers: usize| {
        let found = cases.iter().find(|case| {
            (case.method, case.body, case.trailers.len(), &*case.target)
                == (method, body, trailers, "session")
        });
        found.unwrap()
    };
    let wanted = [
        wanted("GET", Body::Nothing, 0),
        wanted("PUT", Body::Known(5), 0),
        wanted("POST", Body::Unknown(5), 0),
        wanted("PUT", Body::Unknown(5), 3),
    ];
    let ways = ["w", "x"].into_iter().flat_map(|below| [false, true].map(|is_http2| (below, is_http2)));
    let ways = ways.flat_map(|(below, is_http2)| wanted.map(|case| (below, is_http2, case)));
    let sent = ways.map(async |(below, is_http2, case)| {
        let left = Arc::default();
        let mut connection = match is_http2 {
            true => Connection::Http2(Http2::over(Cut::after(stage.tls.h2().await, &left)).await),
            false => Connection::Http1(Http1::over(Cut::after(stage.tls.http1().await, &left))),
        };
        let target = format!("/{below}/w/session");
        let mut first = None;
        for at in (0..).step_by(if is_full() { 1 } else { 3 }) {
            let name = format!("{below} {is_http2} {} {:?} {at} 0", case.method, case.body);
            left.store(at, Ordering::Relaxed);
            let fields = [("x-case", &*name), ("origin", LISTED)];
            let answer = connection.ask(case, &target, &fields).await;
            let outcome = Outcome::of(&name, below, stage, answer);
            let fault = fault(case, &outcome);
            assert_eq!(fault, None, "{name}: {outcome:?}");
            let first = first.get_or_insert_with(|| outcome.clone());
            assert_eq!(outcome, *first, "{name}");
            if left.swap(0, Ordering::Relaxed) > 0 {
                // There were no more bytes than that.
                return at;
            }
        }
        0
    });
    let most = futures_util::future::join_all(sent).await;
    assert!(most.iter().all(|at| *at > 30), "{most:?}");
    stage.assert_well_formed();
}
