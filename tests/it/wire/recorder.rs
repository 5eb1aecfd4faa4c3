//! An upstream that takes nothing but well-formed requests, one after the other, remembers each, and answers as it is
//! told to. Over HTTP/1.1 and over HTTP/2.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::strict::{Fault, Fields, Socket, Wire, framing, is_token, values};
use crate::support::certificates::H2;
use crate::support::ports;

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The number of its connection.
    pub connection: usize,
    pub method: String,
    pub target: String,
    /// Over HTTP/2 with the authority as `host`, first.
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// `false`: the edge broke it off before its end.
    pub whole: bool,
}

impl Request {
    /// The values of one field.
    pub fn field(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path().rsplit('/').next().unwrap_or_default()
    }
}

/// How an answer says where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    /// By its length.
    Length,
    /// By chunks; over HTTP/2 by the end of its stream.
    Chunks,
    /// By the end of its connection; over HTTP/2 as before.
    Close,
}

/// What ends an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ends {
    /// Its last piece; the head where there is none.
    WithLast,
    /// Trailers, which may be none over HTTP/1.1.
    WithTrailers,
    /// Nothing: it is broken off.
    Broken,
}

/// An answer to be.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Sent once the head of the request is read, each with one field.
    pub at_once: Vec<u16>,
    /// Sent before the answer.
    pub interim: Vec<(u16, Vec<(&'static str, String)>)>,
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    pub pieces: Vec<Vec<u8>>,
    pub told: Told,
    pub trailers: Vec<(&'static str, String)>,
    pub ends: Ends,
    /// Time before the answer, in which nothing may come from the edge.
    pub after: Duration,
    /// Time between pieces.
    pub pause: Duration,
    /// Whether it is sent before the body of the request is read.
    pub early: bool,
}

impl Reply {
    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            at_once: Vec::new(),
            interim: Vec::new(),
            status: 200,
            fields: Vec::new(),
            pieces: vec![body.into()],
            told: Told::Length,
            trailers: Vec::new(),
            ends: Ends::WithLast,
            after: Duration::ZERO,
            pause: Duration::ZERO,
            early: false,
        }
    }

    /// What is broken off is short of the length that it tells.
    fn length(&self) -> usize {
        let sent: usize = self.pieces.iter().map(Vec::len).sum();
        sent + usize::from(self.ends == Ends::Broken)
    }
}

type Answer = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The upstream; it ends when this is dropped.
pub struct Recorder {
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Requests>,
    faults: Mutex<Vec<String>>,
    /// What came over each connection, where that is kept.
    bytes: Option<Mutex<BTreeMap<usize, Vec<u8>>>>,
}

#[derive(Default)]
struct Requests {
    all: Vec<Request>,
    /// Where those are whose field `x-case` is this.
    cases: HashMap<String, Vec<usize>>,
}

impl Seen {
    fn note(&self, request: Request) {
        let mut requests = self.requests.lock().unwrap();
        let place = requests.all.len();
        if let [case] = request.field("x-case")[..] {
            requests.cases.entry(case.to_owned()).or_default().push(place);
        }
        requests.all.push(request);
    }
}

impl Recorder {
    /// Over HTTP/1.1. `answer` gets the request without its body.
    pub async fn http1(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(1, None, Arc::new(answer), Seen::default()).await
    }

    /// The same, and keeps the bytes that come.
    pub async fn keeping_bytes(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Seen { bytes: Some(Mutex::default()), ..Seen::default() };
        Self::start(1, None, Arc::new(answer), seen).await
    }

    /// So many servers over this TLS, HTTP/2 where that was agreed on.
    pub async fn http2(
        servers: usize,
        tls: TlsAcceptor,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(servers, Some(tls), Arc::new(answer), Seen::default()).await
    }

    async fn start(servers: usize, tls: Option<TlsAcceptor>, answer: Answer, seen: Seen) -> Self {
        let (mut addrs, mut tasks) = (Vec::new(), Vec::new());
        let (seen, numbers) = (Arc::new(seen), Arc::new(AtomicUsize::new(0)));
        for _ in 0..servers {
            let addr = ports::free();
            addrs.push(addr);
            let listener = TcpListener::bind(addr).await.unwrap();
            let (tls, answer) = (tls.clone(), Arc::clone(&answer));
            let (seen, numbers) = (Arc::clone(&seen), Arc::clone(&numbers));
            tasks.push(tokio::spawn(async move {
                // Connections end with their upstream.
                let mut connections = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(serve(
                        stream,
                        number,
                        tls.clone(),
                        Arc::clone(&answer),
                        Arc::clone(&seen),
                    ));
                }
            }));
        }
        Self { addrs, seen, tasks }
    }

    /// The requests so far, in the order of their ends.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().all.clone()
    }

    /// Those whose field `x-case` is this.
    pub fn of(&self, case: &str) -> Vec<Request> {
        let requests = self.seen.requests.lock().unwrap();
        let places = requests.cases.get(case).into_iter().flatten();
        places.map(|place| requests.all[*place].clone()).collect()
    }

    /// The one whose field `x-case` is this.
    #[track_caller]
    pub fn one(&self, case: &str) -> Request {
        let mut found = self.of(case);
        assert_eq!(found.len(), 1, "{case}: {found:#?}");
        found.remove(0)
    }

    /// What came over each connection so far, by its number.
    pub fn bytes(&self) -> BTreeMap<usize, Vec<u8>> {
        self.seen.bytes.as_ref().map(|bytes| bytes.lock().unwrap().clone()).unwrap_or_default()
    }

    /// What was no request.
    pub fn faults(&self) -> Vec<String> {
        self.seen.faults.lock().unwrap().clone()
    }

    /// That every connection carried well-formed requests, and nothing else.
    #[track_caller]
    pub fn saw_nothing_else(&self) {
        let faults = self.faults();
        assert!(
            faults.is_empty(),
            "{} faults, of which: {:#?}",
            faults.len(),
            &faults[..faults.len().min(5)]
        );
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(stream: TcpStream, number: usize, tls: Option<TlsAcceptor>, answer: Answer, seen: Arc<Seen>) {
    let Some(tls) = tls else {
        let stream = Tap { inner: stream, number, seen: Arc::clone(&seen) };
        return serve_http1(stream, number, &answer, &seen).await;
    };
    let Ok(stream) = tls.accept(stream).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        Some(H2) => serve_http2(stream, number, answer, seen).await,
        _ => serve_http1(stream, number, &answer, &seen).await,
    }
}

/// A connection of which the bytes that come are kept, where they are wanted.
struct Tap {
    inner: TcpStream,
    number: usize,
    seen: Arc<Seen>,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if let Some(bytes) = &self.seen.bytes {
            let mut bytes = bytes.lock().unwrap();
            bytes.entry(self.number).or_default().extend_from_slice(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

// ---- HTTP/1.1 ------------------------------------------------------------------------------------------------------

async fn serve_http1(stream: impl Socket + 'static, number: usize, answer: &Answer, seen: &Seen) {
    let mut wire = Wire::over(stream);
    let mut before = "the beginning".to_owned();
    loop {
        let mut request = Request { connection: number, ..Request::default() };
        let served = serve_one(&mut wire, &mut request, answer, seen).await;
        let told = format!("{} {}", request.method, request.target);
        let ended = match &served {
            Ok(None) => return,
            Ok(Some(kept)) => !kept,
            Err(_) => true,
        };
        if served.is_err() && !request.method.is_empty() {
            // With what follows it, it is none.
            request.whole &= served == Err(Fault::Cut);
            seen.note(request);
        }
        if let Err(Fault::Wrong(what)) = served {
            let fault = format!("connection {number}, in `{told}` after {before}: {what}");
            seen.faults.lock().unwrap().push(fault);
            // As any server would.
            wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
        if ended {
            return;
        }
        before = format!("`{told}`");
    }
}

/// Reads one request and answers it. `None`: there was none; `false`: the connection ends with it.
async fn serve_one(
    wire: &mut Wire,
    request: &mut Request,
    answer: &Answer,
    seen: &Seen,
) -> Result<Option<bool>, Fault> {
    // A kept connection may be silent between two requests.
    wire.awaken().await;
    let Some(head) = wire.head().await? else { return Ok(None) };
    let parts: Vec<&str> = head.first.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(Fault::Wrong(format!("no request: {:?}", head.first)));
    };
    let is_request = !method.is_empty()
        && method.bytes().all(is_token)
        && target.starts_with('/')
        && target.bytes().all(|byte| byte.is_ascii_graphic() || byte >= 0x80)
        && values(&head.fields, "host").len() == 1;
    (request.method, request.target) = (method.to_owned(), target.to_owned());
    request.fields = head.fields;
    if !is_request {
        return Err(Fault::Wrong(format!("no request: {:?} {:?}", head.first, request.fields)));
    }
    let framing = framing(&request.fields)?;
    let reply = answer(request);
    for status in &reply.at_once {
        wire.send(format!("HTTP/1.1 {status} Early\r\nX-Early: {status}\r\n\r\n")).await;
    }
    if reply.early {
        write(wire, request, &reply).await;
    }
    (request.body, request.trailers) = wire.body(framing).await?;
    // Whatever becomes of its sender.
    request.whole = true;
    if !reply.early {
        // A client that sends more before it has its answer would be one that sends without waiting: the edge is none.
        wire.stays_silent(reply.after).await?;
    }
    // Whoever has the answer can look for its request.
    seen.note(request.clone());
    if !reply.early {
        write(wire, request, &reply).await;
    }
    Ok(Some(reply.ends != Ends::Broken && reply.told != Told::Close))
}

async fn write(wire: &mut Wire, request: &Request, reply: &Reply) {
    for (status, fields) in &reply.interim {
        wire.send(head(*status, fields, "")).await;
        tokio::time::sleep(reply.pause).await;
    }
    let bodiless = request.method == "HEAD" || matches!(reply.status, 204 | 304);
    let framing = match reply.told {
        _ if reply.status == 204 => String::new(),
        Told::Length => format!("Content-Length: {}\r\n", reply.length()),
        Told::Chunks => "Transfer-Encoding: chunked\r\n".to_owned(),
        Told::Close => "Connection: close\r\n".to_owned(),
    };
    wire.send(head(reply.status, &reply.fields, &framing)).await;
    if bodiless {
        return;
    }
    let chunked = reply.told == Told::Chunks;
    for piece in &reply.pieces {
        tokio::time::sleep(reply.pause).await;
        match chunked {
            // A chunk of nothing would end them.
            true if piece.is_empty() => {}
            true => {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                wire.send(chunk).await;
            }
            false => {
                wire.send(piece).await;
            }
        }
    }
    if chunked && reply.ends != Ends::Broken {
        let lines: String =
            reply.trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        wire.send(format!("0\r\n{lines}\r\n")).await;
    }
}

fn head(status: u16, fields: &[(&str, String)], more: &str) -> String {
    let reason = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap_or("Odd");
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} {reason}\r\n{lines}{more}\r\n")
}

// ---- HTTP/2 --------------------------------------------------------------------------------------------------------

async fn serve_http2(stream: impl Socket + 'static, number: usize, answer: Answer, seen: Arc<Seen>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut streams = JoinSet::new();
    loop {
        match connection.accept().await {
            Some(Ok((request, respond))) => {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                streams.spawn(serve_stream(request, respond, number, answer, seen));
            }
            Some(Err(error)) if error.is_library() => {
                seen.faults.lock().unwrap().push(format!("connection {number}: {error}"));
                return;
            }
            _ => return,
        }
    }
}

async fn serve_stream(
    asked: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    number: usize,
    answer: Answer,
    seen: Arc<Seen>,
) {
    let (head, mut stream) = asked.into_parts();
    let mut fields = Fields::new();
    if let Some(authority) = head.uri.authority() {
        fields.push(("host".to_owned(), authority.to_string()));
    }
    fields.extend(listed(&head.headers));
    let mut request = Request {
        connection: number,
        method: head.method.to_string(),
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        fields,
        ..Request::default()
    };
    let reply = answer(&request);
    for status in &reply.at_once {
        let early = Response::builder().status(*status).header("x-early", *status);
        let _ = respond.send_informational(early.body(()).unwrap());
    }
    if reply.early {
        respond_with(&mut respond, &request, &reply).await;
    }
    request.whole = read(&mut stream, &mut request).await;
    if request.whole && !reply.early {
        tokio::time::sleep(reply.after).await;
        seen.note(request.clone());
        respond_with(&mut respond, &request, &reply).await;
    } else {
        seen.note(request);
    }
}

/// Whether the stream came to its end.
async fn read(stream: &mut h2::RecvStream, request: &mut Request) -> bool {
    while let Some(piece) = stream.data().await {
        let Ok(piece) = piece else { return false };
        let _ = stream.flow_control().release_capacity(piece.len());
        request.body.extend_from_slice(&piece);
    }
    match stream.trailers().await {
        Ok(trailers) => request.trailers = trailers.iter().flat_map(listed).collect(),
        Err(_) => return false,
    }
    true
}

async fn respond_with(respond: &mut h2::server::SendResponse<Bytes>, request: &Request, reply: &Reply) {
    for (status, fields) in &reply.interim {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::from_u16(*status).unwrap();
        *interim.headers_mut() = map(fields);
        let _ = respond.send_informational(interim);
        tokio::time::sleep(reply.pause).await;
    }
    let bodiless = request.method == "HEAD" || matches!(reply.status, 204 | 304);
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap();
    *answer.headers_mut() = map(&reply.fields);
    if reply.told == Told::Length && reply.status != 204 {
        answer.headers_mut().insert("content-length", HeaderValue::from(reply.length()));
    }
    let ends = bodiless || reply.pieces.is_empty() && reply.ends == Ends::WithLast;
    let Ok(mut stream) = respond.send_response(answer, ends) else { return };
    if ends {
        return;
    }
    for (at, piece) in reply.pieces.iter().enumerate() {
        tokio::time::sleep(reply.pause).await;
        let is_last = at + 1 == reply.pieces.len() && reply.ends == Ends::WithLast;
        if stream.send_data(Bytes::copy_from_slice(piece), is_last).is_err() {
            return;
        }
    }
    match reply.ends {
        Ends::WithLast => {}
        Ends::WithTrailers => drop(stream.send_trailers(map(&reply.trailers))),
        Ends::Broken => {
            // What was sent before it is on its way first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    }
}

/// Fields as a list.
pub fn listed(fields: &HeaderMap) -> Fields {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// A list as fields.
pub fn map(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_ref().as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_ref().as_bytes()).unwrap());
    }
    map
}
