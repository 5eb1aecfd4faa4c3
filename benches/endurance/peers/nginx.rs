//! nginx: two workers, connections kept on both sides, old workers that may take as long as they need.

use std::ffi::OsString;

use anyhow::Result;
use bench_support::command;
use bench_support::ground::Ground;

use super::PeerSpec;

pub fn prepare(ground: &Ground, spec: &PeerSpec) -> Result<Vec<OsString>> {
    ground.write("nginx.conf", &configuration(ground, spec))?;
    Ok(command(ground))
}

/// The command that starts it, and with more arguments speaks to it.
pub fn command(ground: &Ground) -> Vec<OsString> {
    command!["nginx", "-e", ground.path("error.log"), "-p", ground.folder(), "-c", ground.path("nginx.conf")]
        .into()
}

fn configuration(ground: &Ground, spec: &PeerSpec) -> String {
    let Ground { plain, tls, .. } = ground;
    let (connections, read_timeout) = (spec.connections, spec.read_timeout.as_millis());
    let servers: String = spec.servers.iter().map(|addr| format!("server {addr}; ")).collect();
    let requests = spec.requests.map(|most| format!("keepalive_requests {most};")).unwrap_or_default();
    format!(
        r#"daemon off; worker_processes 2; user root; pid nginx.pid; error_log error.log crit;
events {{ worker_connections {connections}; }}
http {{
  access_log off; proxy_max_temp_file_size 0; {requests}
  client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
  upstream app {{ {servers}keepalive 128; keepalive_requests 1000000000; }}
  map $http_upgrade $upgrading {{ default upgrade; "" ""; }}
  server {{
    listen {plain}; listen {tls} ssl http2;
    ssl_certificate site.pem; ssl_certificate_key site.key; ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1; proxy_read_timeout {read_timeout}ms;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;
    location /w/ {{ proxy_pass http://app; }}
  }}
}}
"#
    )
}
