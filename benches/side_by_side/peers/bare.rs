//! The proxy library with one upstream and nothing else: what embedgate is built on, enforcing nothing.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use async_trait::async_trait;
use clap::Args;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

use crate::command;
use crate::ground::Ground;

/// How this program is told to be it.
#[derive(Args)]
pub struct Bare {
    #[arg(long)]
    plain: SocketAddr,
    #[arg(long)]
    tls: SocketAddr,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    key: PathBuf,
    #[arg(long)]
    upstream: SocketAddr,
}

pub fn prepare(ground: &Ground) -> Result<Vec<OsString>> {
    Ok(command![
        std::env::current_exe()?,
        "bare",
        "--plain",
        ground.plain.to_string(),
        "--tls",
        ground.tls.to_string(),
        "--certificate",
        ground.path("site.pem"),
        "--key",
        ground.path("site.key"),
        "--upstream",
        ground.upstream.to_string(),
    ]
    .into())
}

/// The library's version, as the lock file has it.
pub fn version() -> Result<String> {
    let lock = include_str!("../../../Cargo.lock");
    let package = lock.split("[[package]]").find(|package| package.contains("\nname = \"pingora-proxy\"\n"));
    let version = package.and_then(|package| package.split("version = \"").nth(1)?.split('"').next());
    Ok(format!("pingora {}", version.context("pingora-proxy in Cargo.lock")?))
}

impl Bare {
    /// Serves until a signal comes.
    pub fn run(self) -> Result<()> {
        let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 128, ..ServerConf::default() };
        let mut server = Server::new_with_opt_and_conf(None, conf);
        server.bootstrap();
        let mut service = http_proxy_service(&server.configuration, Forward { upstream: self.upstream });
        service.add_tcp(&self.plain.to_string());
        let (certificate, key) = (self.certificate.to_string_lossy(), self.key.to_string_lossy());
        let mut tls = TlsSettings::intermediate(&certificate, &key)?;
        tls.enable_h2();
        service.add_tls_with_settings(&self.tls.to_string(), None, tls);
        server.add_service(service);
        server.run_forever()
    }
}

struct Forward {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}
