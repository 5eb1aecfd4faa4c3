//! Customers' sites for a browser: every host name and port that it asks for leads here, over TLS or without.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::browser::BrowserOptions;
use super::certificates::{Authority, HTTP11, Pair};
use super::ports;

/// Sites that are up until this is dropped.
pub struct Sites {
    /// Where they are without TLS.
    pub plain: SocketAddr,
    /// Where they are with TLS.
    pub tls: SocketAddr,
    pin: String,
    pages: Pages,
    tasks: Vec<JoinHandle<()>>,
}

type Pages = Arc<Mutex<HashMap<String, Page>>>;

/// A page, the same on every host.
#[derive(Clone)]
struct Page {
    fields: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Sites {
    /// Sites whose certificate names these hosts.
    pub async fn start(authority: &Authority, hosts: &[&str]) -> Self {
        let pages = Pages::default();
        let router = Router::new().fallback(page).with_state(Arc::clone(&pages));
        let (plain, tls) = (ports::free(), ports::free());
        let pair = authority.issue(hosts);
        let pin = pair.pin();
        let listener = TlsListener::bind(tls, pair.acceptor(&[HTTP11])).await;
        let (over_tls, plainly) = (router.clone(), TcpListener::bind(plain).await.unwrap());
        let tasks = vec![
            tokio::spawn(async move { axum::serve(plainly, router).await.unwrap() }),
            tokio::spawn(async move { axum::serve(listener, over_tls).await.unwrap() }),
        ];
        Self { plain, tls, pin, pages, tasks }
    }

    /// Puts an HTML page at this path, on every host.
    pub fn put(&self, path: &str, fields: &[(&'static str, &'static str)], body: impl Into<String>) {
        let page = Page { fields: fields.to_vec(), body: body.into() };
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// A browser for which these addresses of `edge` stand for hosts of theirs, and everything else is a site:
    /// ports 443 and 8443 with TLS, all others without.
    pub fn browser(&self, edge: &[(&str, SocketAddr)], certificate: &Pair) -> BrowserOptions {
        let mut rules: Vec<String> = edge.iter().map(|(host, addr)| format!("MAP {host} {addr}")).collect();
        rules.push(format!("MAP *:443 {}", self.tls));
        rules.push(format!("MAP *:8443 {}", self.tls));
        rules.push(format!("MAP * {}", self.plain));
        let pins = format!("--ignore-certificate-errors-spki-list={},{}", self.pin, certificate.pin());
        // A plain-http site is to stay one.
        let plain = "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable";
        BrowserOptions {
            resolver_rules: rules,
            extra_args: vec![pins, plain.to_owned()],
            ..BrowserOptions::default()
        }
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn page(State(pages): State<Pages>, request: Request) -> Response {
    let page = pages.lock().unwrap().get(request.uri().path()).cloned();
    let Some(page) = page else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = Html(page.body).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in page.fields {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Handshakes side by side: a browser opens connections ahead and may leave them silent.
struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsListener {
    async fn bind(addr: SocketAddr, acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let (done, ready) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = done.send((stream, peer)).await;
                    }
                });
            }
        });
        Self { ready, addr, task }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
