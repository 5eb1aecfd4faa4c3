//! HAProxy: the rules in a map file, in memory a tree of texts. There is none for names by their endings, so a
//! wildcard is looked up by parent after parent, up to four. The runtime API changes the map while it runs.

use std::ffi::OsString;

use anyhow::Result;

use crate::command;
use crate::ground::Ground;
use crate::rules::Form;

/// The map in the peer's folder, and its name in the runtime API.
const MAP: &str = "rules.map";

pub fn prepare(ground: &Ground, widgets: usize) -> Result<Vec<OsString>> {
    Form::Cut.write_file(&ground.path(MAP), widgets, None)?;
    let both = ["site.pem", "site.key"].map(|name| std::fs::read_to_string(ground.path(name)));
    let [certificate, key] = both;
    ground.write("both.pem", &format!("{}{}", certificate?, key?))?;
    ground.write("haproxy.cfg", &configuration(ground))?;
    Ok(command!["haproxy", "-db", "-f", ground.path("haproxy.cfg")].into())
}

fn configuration(ground: &Ground) -> String {
    let Ground { plain, tls, control, upstream, .. } = ground;
    let below = |labels: usize| {
        let first = labels + 1;
        format!(" or {{ var(txn.host),field({first},.,0),concat(*,txn.id),map_str({MAP}) -m str 1 }}")
    };
    let parents: String = (1..=4).map(below).collect();
    format!(
        r#"global
  nbthread 1
  maxconn 8192
  stats socket {control} level admin
  tune.ssl.default-dh-param 2048
  ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h

cache assets
  total-max-size 16
  max-object-size 1000000
  max-age 86400

frontend edge
  bind {plain}
  bind {tls} ssl crt both.pem alpn h2,http/1.1
  http-request return status 404 unless {{ path_beg /w/ }}
  http-request deny deny_status 403 unless {{ req.fhdr(origin) -m beg https:// }}
  http-request set-var(txn.id) path,field(3,/)
  http-request set-var(txn.host) req.fhdr(origin),bytes(8)
  http-request deny deny_status 403 unless {{ var(txn.host),concat(|,txn.id),map_str({MAP}) -m str 1 }}{parents}
  acl is_asset path_sub /assets/
  http-request cache-use assets if is_asset
  http-response cache-store assets
  default_backend app

backend app
  http-reuse always
  server app {upstream} pool-max-conn 128
"#
    )
}
