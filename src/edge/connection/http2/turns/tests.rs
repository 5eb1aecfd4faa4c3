#![allow(clippy::unwrap_used)]

use std::io;
use std::pin::Pin;
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use h2::server::Builder;
use http::Response;
use parking_lot::Mutex;
use tokio::io::{DuplexStream, ReadBuf, duplex};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::*;
use crate::edge::connection::http2::meter::FrameBounds;

const IDLE: Duration = Duration::from_secs(60);
const LIMITS: Http2Limits =
    Http2Limits { streams: 20, head: Duration::from_secs(10), unread: Duration::from_secs(30), idle: IDLE };

/// One end of a pipe that tells how much each write has.
struct Told {
    pipe: DuplexStream,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Told {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(context, buffer)
    }
}

impl AsyncWrite for Told {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.lock().push(bytes.len());
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

/// A client of a connection that is served.
struct Stage {
    sender: SendRequest<Bytes>,
    writes: Arc<Mutex<Vec<usize>>>,
    /// Each request waits for leave before it is answered.
    leave: Arc<Semaphore>,
    closing: Arc<Closing>,
}

impl Stage {
    async fn start() -> Self {
        let (pipe, end) = duplex(64 * 1024);
        let (writes, leave) = (Arc::<Mutex<Vec<usize>>>::default(), Arc::new(Semaphore::new(0)));
        let stream = Told { pipe, writes: Arc::clone(&writes) };
        let (closing, lent) = (Arc::<Closing>::default(), Arc::clone(&leave));
        let told = Arc::clone(&closing);
        tokio::spawn(async move {
            let wakes = Arc::new(Wakes::default());
            let bounds = FrameBounds { resets: 30, control: 100 };
            let transport = Transport::new(stream, wakes.waker(Who::Socket), bounds);
            let connection = Builder::new().handshake(transport.clone()).await.unwrap();
            let begin = |_, respond, deadline| answer(respond, deadline, &lent);
            Http2Connection::new(connection, transport, wakes, &told, LIMITS, begin).serve().await;
        });
        let (sender, connection) = h2::client::handshake(end).await.unwrap();
        tokio::spawn(connection);
        Self { sender, writes, leave, closing }
    }

    /// Sends a request.
    async fn ask(&self) -> Result<ResponseFuture, h2::Error> {
        let request = Request::get("https://edge.example/").body(()).unwrap();
        Ok(self.sender.clone().ready().await?.send_request(request, true)?.0)
    }

    /// What was written since the last time, once nothing more is.
    async fn writes(&self) -> Vec<usize> {
        sleep(Duration::from_millis(10)).await;
        std::mem::take(&mut self.writes.lock())
    }
}

async fn answer(mut respond: SendResponse<Bytes>, deadline: Deadline, leave: &Semaphore) -> Deadline {
    leave.acquire().await.unwrap().forget();
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(&[b'x'; 1024]), true).unwrap();
    deadline
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_there_together_go_out_together() {
    let stage = Stage::start().await;
    stage.writes().await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(stage.ask().await.unwrap());
    }
    assert!(stage.writes().await.is_empty(), "nothing to say yet");
    // Those that were waiting are woken at once,
    stage.leave.add_permits(8);
    let writes = stage.writes().await;
    assert!(matches!(writes[..], [8192..9000]), "{writes:?}");
    // and those that come together are answered together.
    stage.leave.add_permits(8);
    for _ in 0..8 {
        answers.push(stage.ask().await.unwrap());
    }
    let writes = stage.writes().await;
    assert!(matches!(writes[..], [8192..9000]), "{writes:?}");
    for answer in answers {
        assert_eq!(answer.await.unwrap().into_body().data().await.unwrap().unwrap().len(), 1024);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_as_long_as_it_is_used() {
    let stage = Stage::start().await;
    stage.leave.add_permits(100);
    for _ in 0..10 {
        sleep(IDLE - Duration::from_secs(1)).await;
        stage.ask().await.unwrap().await.unwrap();
    }
    sleep(IDLE + Duration::from_secs(1)).await;
    assert!(stage.ask().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_has_its_requests_answered() {
    let stage = Stage::start().await;
    let answer = stage.ask().await.unwrap();
    stage.writes().await;
    stage.closing.tell();
    stage.writes().await;
    assert!(stage.ask().await.is_err());
    stage.leave.add_permits(1);
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn requests_that_find_no_place_are_refused() {
    let stage = Stage::start().await;
    let mut answers = Vec::new();
    for _ in 0..LIMITS.streams {
        answers.push(stage.ask().await.unwrap());
    }
    stage.writes().await;
    let refused = stage.ask().await.unwrap().await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::REFUSED_STREAM));
    stage.leave.add_permits(answers.len());
    for answer in answers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    stage.leave.add_permits(1);
    assert_eq!(stage.ask().await.unwrap().await.unwrap().status(), 200);
}
