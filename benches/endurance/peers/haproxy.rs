//! HAProxy in master-worker mode: two threads, connections kept on both sides, listeners handed to the next worker.

use std::ffi::OsString;

use anyhow::Result;
use bench_support::command;
use bench_support::ground::Ground;

use super::{PeerSpec, read};

pub fn prepare(ground: &Ground, spec: &PeerSpec) -> Result<Vec<OsString>> {
    ground.write("both.pem", &format!("{}{}", read(ground, "site.pem")?, read(ground, "site.key")?))?;
    ground.write("haproxy.cfg", &configuration(ground, spec))?;
    Ok(command!["haproxy", "-W", "-db", "-f", ground.path("haproxy.cfg")].into())
}

fn configuration(ground: &Ground, spec: &PeerSpec) -> String {
    let Ground { plain, tls, .. } = ground;
    let (connections, read_timeout) = (spec.connections, spec.read_timeout.as_millis());
    let line = |(number, addr)| format!("  server app{number} {addr} pool-max-conn 128\n");
    let servers: String = spec.servers.iter().enumerate().map(line).collect();
    let socket = ground.path("haproxy.sock");
    format!(
        r#"global
  nbthread 2
  maxconn {connections}
  stats socket {} mode 600 level admin expose-fd listeners
  ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server {read_timeout}ms
  timeout tunnel 1h

frontend edge
  bind {plain}
  bind {tls} ssl crt both.pem alpn h2,http/1.1
  default_backend app

backend app
  http-reuse always
{servers}"#,
        socket.display()
    )
}
