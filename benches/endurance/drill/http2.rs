//! An HTTP/2 server that drops requests, and ends connections in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bench_support::ground::Ground;
use bytes::Bytes;
use h2::Reason;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::load::on_this_thread;

/// Requests of a connection before it is told to end.
const OF_A_CONNECTION: u64 = 40;

/// How many requests it has had, and dropped.
pub struct Server {
    each: u64,
    had: AtomicU64,
    dropped: AtomicU64,
}

impl Server {
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Starts it on the ground's TLS port; every so many requests it drops one.
pub fn start(ground: &Ground, each: u64) -> Result<&'static Server> {
    let certificate = CertificateDer::from_pem_file(ground.path("site.pem"))?;
    let key = PrivateKeyDer::from_pem_file(ground.path("site.key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind(ground.tls)?;
    listener.set_nonblocking(true)?;
    let server: &'static Server =
        Box::leak(Box::new(Server { each, had: AtomicU64::new(0), dropped: AtomicU64::new(0) }));
    std::thread::spawn(move || {
        on_this_thread(async {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(connection(acceptor.clone(), stream, server));
            }
            #[expect(unreachable_code, reason = "says what the loop's errors are")]
            Ok(())
        })
    });
    Ok(server)
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, server: &'static Server) -> Result<()> {
    let mut connection = h2::server::handshake(acceptor.accept(stream).await?).await?;
    let mut had = 0;
    while let Some(request) = connection.accept().await {
        let (_, mut answer) = request?;
        had += 1;
        if had == OF_A_CONNECTION {
            connection.graceful_shutdown();
        }
        if (server.had.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(server.each) {
            server.dropped.fetch_add(1, Ordering::Relaxed);
            answer.send_reset(Reason::INTERNAL_ERROR);
        } else {
            let mut body = answer.send_response(http::Response::new(()), false)?;
            body.send_data(Bytes::from_static(b"hello"), true)?;
        }
    }
    Ok(())
}
