//! Real nginx and HAProxy, each in front of an edge and behind it: as lenient as they can be made, and with connections
//! kept on both sides.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{eventually, ports};

/// Where a peer listens, and what it does there.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Passes on to the edge, with a field `X-Front-Id` that is another each time.
    pub front: SocketAddr,
    /// Answers with the target, and logs the decision of everything that it takes for a request.
    pub back: SocketAddr,
}

impl Places {
    pub fn free() -> Self {
        Self { front: ports::free(), back: ports::free() }
    }
}

/// A running peer.
pub struct Peer {
    pub name: &'static str,
    pub places: Places,
    folder: TempDir,
    process: Child,
}

impl Peer {
    pub async fn nginx(places: Places, edge: SocketAddr) -> Self {
        let Places { front, back } = places;
        let configuration = format!(
            r#"daemon off; master_process off; pid nginx.pid; error_log error.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000; merge_slashes off;
  underscores_in_headers on; ignore_invalid_headers off; large_client_header_buffers 4 128k;
  client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
  log_format decisions '$http_x_decision_id $request';
  upstream edge {{ server {edge}; keepalive 4; keepalive_requests 1000000; }}
  map $http_upgrade $upgrading {{ default upgrade; "" ""; }}
  server {{
    listen {front};
    proxy_http_version 1.1; proxy_request_buffering off;
    proxy_set_header Host $http_host; proxy_set_header X-Front-Id $request_id;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;
    location / {{ proxy_pass http://edge; }}
  }}
  server {{
    listen {back};
    access_log back.log decisions;
    location / {{ return 200 "$request_uri"; }}
  }}
}}
"#
        );
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let arguments = ["-e", "error.log", "-p", ".", "-c", "nginx.conf"];
        Self::start("nginx", &arguments, "nginx.out", places, folder).await
    }

    pub async fn haproxy(places: Places, edge: SocketAddr) -> Self {
        let Places { front, back } = places;
        let configuration = format!(
            r#"global
  nbthread 1
  maxconn 1024
  tune.bufsize 131072
  tune.http.maxhdr 1024

defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  timeout http-request 10s
  option accept-invalid-http-request
  option dontlognull

frontend front
  bind {front}
  http-request set-header X-Front-Id %[uuid()]
  default_backend edge

backend edge
  http-reuse always
  server edge {edge} pool-max-conn 4

frontend back
  bind {back}
  log stdout format raw local0
  http-request capture req.hdr(x-decision-id) len 200
  log-format "%[capture.req.hdr(0)] %{{+Q}}r"
  http-request return status 200 content-type text/plain lf-string "%[url]"
"#
        );
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("haproxy.cfg"), configuration).unwrap();
        Self::start("haproxy", &["-db", "-f", "haproxy.cfg"], "back.log", places, folder).await
    }

    async fn start(
        name: &'static str,
        arguments: &[&str],
        out: &str,
        places: Places,
        folder: TempDir,
    ) -> Self {
        let mut command = Command::new(name);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(File::create(folder.path().join(out)).unwrap());
        command.stderr(File::create(folder.path().join("err.log")).unwrap());
        let process =
            command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; `make setup-tests` installs it"));
        let peer = Self { name, places, folder, process };
        eventually(name, async || TcpStream::connect(places.front).await.is_ok()).await;
        peer
    }

    /// What it has taken for requests behind the edge: the decision that each names, `-` where there is none, and its
    /// first line.
    pub async fn seen(&self) -> Vec<(String, String)> {
        let read = || fs::read_to_string(self.folder.path().join("back.log")).unwrap_or_default();
        let mut text = read();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let more = read();
            if more == text {
                break;
            }
            text = more;
        }
        let lines = text.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
        lines.map(|(decision, first)| (decision.to_owned(), first.to_owned())).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            for log in ["err.log", "error.log"] {
                let log = fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
                eprintln!("{}: {}", self.name, log.lines().take(20).collect::<Vec<_>>().join("\n"));
            }
        }
    }
}
