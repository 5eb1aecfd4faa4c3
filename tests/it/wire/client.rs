//! Clients that tell every part of an answer, over HTTP/1.0, HTTP/1.1 and HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use tokio::task::JoinHandle;

use super::recorder::{listed, map};
use super::strict::{Fault, Fields, Framing, Socket, Wire, framing, values};

/// An answer, part by part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub interim: Vec<(u16, Fields)>,
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Why it isn't whole.
    pub broken: Option<String>,
    /// Why the other side wants no more of the request; over HTTP/2 alone.
    pub reset: Option<Reason>,
}

impl Answer {
    /// The one value of a field; empty where there is none, or more.
    pub fn field(&self, name: &str) -> &str {
        match values(&self.fields, name)[..] {
            [value] => value,
            _ => "",
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The decision that an answer of the edge's own names.
    pub fn decision_id(&self) -> Option<String> {
        let body = self.text();
        let is_id = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
        let mut words = body.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
        words.find(is_id).map(str::to_owned)
    }
}

/// One end of an HTTP/1 connection.
pub struct Http1(pub Wire);

impl Http1 {
    pub fn over(stream: impl Socket + 'static) -> Self {
        Self(Wire::over(stream))
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.0.send(&request).await;
        let is_head = request.as_ref().starts_with(b"HEAD ");
        self.answer(is_head).await
    }

    /// The next final answer, with what was sent before it. `is_head`: its request was a `HEAD`.
    pub async fn answer(&mut self, is_head: bool) -> Answer {
        let mut answer = Answer::default();
        if let Err(fault) = self.read(&mut answer, is_head).await {
            answer.broken = Some(fault.to_string());
        }
        answer
    }

    async fn read(&mut self, answer: &mut Answer, is_head: bool) -> Result<(), Fault> {
        loop {
            let head = self.0.head().await?.ok_or(Fault::Cut)?;
            let parts: Vec<&str> = head.first.splitn(3, ' ').collect();
            let [version @ ("HTTP/1.0" | "HTTP/1.1"), status, _] = parts[..] else {
                return Err(Fault::Wrong(format!("no answer: {:?}", head.first)));
            };
            let status = status.parse().ok().filter(|status| (100..600).contains(status));
            let status = status.ok_or_else(|| Fault::Wrong(format!("no status: {:?}", head.first)))?;
            if (100..200).contains(&status) && status != 101 {
                answer.interim.push((status, head.fields));
                continue;
            }
            (answer.status, answer.fields) = (status, head.fields);
            let framing = framing(&answer.fields)?;
            if framing == Framing::Chunks && version == "HTTP/1.0" {
                return Err(Fault::Wrong("chunks in HTTP/1.0".to_owned()));
            }
            if is_head || matches!(status, 101 | 204 | 304) {
                return Ok(());
            }
            if framing == Framing::Nothing {
                answer.body = self.0.rest().await?;
                return Ok(());
            }
            (answer.body, answer.trailers) = self.0.body(framing).await?;
            return Ok(());
        }
    }
}

/// A request's head, as it is sent over HTTP/1.1.
pub fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> String {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: chat.example\r\n{lines}\r\n")
}

/// What follows the head of a request over HTTP/2.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    Data(Vec<u8>),
    /// With END_STREAM.
    Last(Vec<u8>),
    Trailers(Fields),
    Reset,
    /// Time for what was sent to arrive.
    Pause(u64),
}

/// One end of an HTTP/2 connection.
pub struct Http2 {
    client: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub async fn over(stream: impl Socket + 'static) -> Self {
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        Self { client, connection: tokio::spawn(connection) }
    }

    /// Another user of the same connection.
    pub fn sharing(&self) -> SendRequest<Bytes> {
        self.client.clone()
    }

    /// Sends a request. Without frames, its head ends it.
    pub async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)], frames: &[Frame]) -> Answer {
        ask(self.sharing(), request(method, target, fields), frames).await
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A request to `chat.example`.
pub fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> http::Request<()> {
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("https://chat.example{target}"))
        .body(())
        .unwrap();
    *request.headers_mut() = map(fields);
    request
}

/// Sends a request and reads its answer, also while it is still being sent.
pub async fn ask(client: SendRequest<Bytes>, request: http::Request<()>, frames: &[Frame]) -> Answer {
    let mut answer = Answer::default();
    let sent = async {
        let mut client = client.ready().await?;
        let (mut response, mut stream) = client.send_request(request, frames.is_empty())?;
        let sending = async {
            let sent = send(&mut stream, frames).await;
            // A stream that nobody holds any more is reset.
            sent.and(Ok(stream))
        };
        let mut sending = pin!(sending);
        let received = {
            let mut receiving = pin!(receive(&mut response, &mut answer));
            tokio::select! {
                received = &mut receiving => received.map(|()| None),
                stream = &mut sending => receiving.await.map(|()| Some(stream)),
            }
        };
        // Whoever still has something to send goes on with it.
        let stream = match received? {
            Some(stream) => Some(stream),
            None => tokio::time::timeout(Duration::from_secs(2), sending).await.ok(),
        };
        let Some(Ok(mut stream)) = stream else { return Ok::<_, h2::Error>(None) };
        let reset = poll_fn(|context| stream.poll_reset(context));
        let reset = tokio::time::timeout(Duration::from_millis(1), reset).await;
        Ok(reset.ok().and_then(Result::ok))
    };
    match tokio::time::timeout(PATIENCE, sent).await {
        Ok(Ok(reset)) => answer.reset = reset,
        Ok(Err(error)) => answer.broken = Some(error.to_string()),
        Err(_) => answer.broken = Some("silence".to_owned()),
    }
    answer
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn send(stream: &mut SendStream<Bytes>, frames: &[Frame]) -> Result<(), h2::Error> {
    for frame in frames {
        match frame {
            Frame::Data(data) => pieces(stream, data, false).await?,
            Frame::Last(data) => pieces(stream, data, true).await?,
            Frame::Trailers(fields) => stream.send_trailers(map(fields))?,
            Frame::Reset => stream.send_reset(Reason::CANCEL),
            Frame::Pause(millis) => {
                let reset = poll_fn(|context| stream.poll_reset(context));
                if tokio::time::timeout(Duration::from_millis(*millis), reset).await.is_ok() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Sends data as the window of the stream lets it.
async fn pieces(stream: &mut SendStream<Bytes>, data: &[u8], ends: bool) -> Result<(), h2::Error> {
    if data.len() <= 1024 {
        return stream.send_data(Bytes::copy_from_slice(data), ends);
    }
    let mut rest = Bytes::copy_from_slice(data);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(64 * 1024));
        let room = poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(room) = room.transpose()? else {
            // Nobody reads any more of it; why, the answer says.
            return Ok(());
        };
        let piece = rest.split_to(room.min(rest.len()));
        stream.send_data(piece, ends && rest.is_empty())?;
    }
    Ok(())
}

async fn receive(response: &mut ResponseFuture, answer: &mut Answer) -> Result<(), h2::Error> {
    let response = poll_fn(|context| {
        loop {
            match response.poll_informational(context) {
                Poll::Ready(Some(Ok(interim))) => {
                    answer.interim.push((interim.status().as_u16(), listed(interim.headers())));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return pin!(&mut *response).poll(context),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    let (head, mut stream) = response.into_parts();
    (answer.status, answer.fields) = (head.status.as_u16(), listed(&head.headers));
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        answer.body.extend_from_slice(&piece);
    }
    answer.trailers = stream.trailers().await?.iter().flat_map(listed).collect();
    Ok(())
}
