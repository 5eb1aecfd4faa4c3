//! nginx: the rules in a `map`, or in a shared dictionary that Lua reads.
//!
//! A `map` with `hostnames` is what nginx has for wildcards of any depth; the widget's id becomes the last label of
//! the name that is looked up. It is read at start, so a change of the rules is a new file and a reload. The
//! dictionary can be changed while nginx runs; a wildcard is looked up by parent after parent.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};

use super::Process;
use crate::command;
use crate::ground::Ground;
use crate::rules::Form;

/// Where the rules are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    Map,
    Lua,
}

impl Rules {
    /// The file with the rules, in the peer's folder, and its form.
    pub fn file(self) -> (&'static str, Form) {
        match self {
            Self::Map => ("rules.map", Form::Hostnames),
            Self::Lua => ("rules.txt", Form::Keyed),
        }
    }
}

pub fn prepare(ground: &Ground, rules: Rules, widgets: usize, process: Process) -> Result<Vec<OsString>> {
    let (name, form) = rules.file();
    form.write_file(&ground.path(name), widgets, None)?;
    let (modules, tables) = match rules {
        Rules::Map => (String::new(), map(widgets)),
        Rules::Lua => (lua_modules().context("nginx's Lua module")?, lua(ground, widgets)),
    };
    ground.write("nginx.conf", &configuration(ground, rules, process, &modules, &tables))?;
    let folder = ground.folder();
    Ok(command!["nginx", "-e", ground.path("error.log"), "-p", folder, "-c", ground.path("nginx.conf")]
        .into())
}

/// The lines that load it, where Debian or others put it.
pub fn lua_modules() -> Option<String> {
    let folders = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"];
    let lua = "ngx_http_lua_module.so";
    let folder = folders.into_iter().find(|folder| Path::new(folder).join(lua).exists())?;
    Some(format!("load_module {folder}/ndk_http_module.so;\nload_module {folder}/{lua};"))
}

fn configuration(ground: &Ground, rules: Rules, process: Process, modules: &str, tables: &str) -> String {
    let Ground { plain, tls, upstream, .. } = ground;
    let master = if process == Process::Single { "master_process off;" } else { "" };
    let verdict = match rules {
        Rules::Map => "if ($listed = 0) { return 403; }",
        Rules::Lua => "access_by_lua_block { rules.judge() }",
    };
    format!(
        r#"{modules}
daemon off; {master} worker_processes 1; worker_rlimit_nofile 16384; user root;
pid nginx.pid; error_log error.log crit; pcre_jit on;
events {{ worker_connections 8192; }}
http {{
  access_log off; default_type text/plain; sendfile on; tcp_nopush on;
  client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
  keepalive_requests 1000000000; http2_max_concurrent_streams 128;
  proxy_cache_path cache levels=1:2 keys_zone=assets:10m max_size=256m inactive=1h use_temp_path=off;
  open_file_cache max=10000 inactive=1h; open_file_cache_valid 1h;
  {tables}
  upstream app {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen {plain}; listen {tls} ssl http2;
    ssl_certificate site.pem; ssl_certificate_key site.key; ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1; proxy_set_header Connection "";
    location ~ ^/w/(?<widget>[A-Za-z0-9_-]+)/loader.js$ {{ {verdict} proxy_pass http://app; }}
    location ~ ^/w/(?<widget>[A-Za-z0-9_-]+)/assets/ {{
      {verdict} proxy_pass http://app; proxy_cache assets; proxy_cache_key $uri$is_args$args; proxy_cache_lock on;
    }}
    location ~ ^/w/(?<widget>[A-Za-z0-9_-]+)/session$ {{
      {verdict} proxy_pass http://app; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;
    }}
    location / {{ return 404; }}
  }}
  map $http_upgrade $upgrading {{ default upgrade; "" ""; }}
}}
"#
    )
}

fn map(widgets: usize) -> String {
    format!(
        r#"map_hash_max_size {}; map_hash_bucket_size 1024;
  map $http_origin $embedder {{ default ""; "~^https://(?<embedder_host>[^/]+)$" $embedder_host; }}
  map $embedder.$widget $listed {{ hostnames; default 0; include rules.map; }}"#,
        (widgets * 2).max(2048)
    )
}

fn lua(ground: &Ground, widgets: usize) -> String {
    let megabytes = widgets * 4 * 160 / 1_000_000 + 16;
    format!(
        r#"lua_shared_dict rules {megabytes}m;
  init_by_lua_block {{
    rules = {{}}
    local dict, sub, find = ngx.shared.rules, string.sub, string.find
    for line in io.lines("{rules}") do
      assert(dict:safe_set(sub(line, 1, -3), true))
    end
    function rules.judge()
      local origin, widget = ngx.var.http_origin, ngx.var.widget
      if origin and sub(origin, 1, 8) == "https://" then
        local host = sub(origin, 9)
        if dict:get(widget .. "|" .. host) then return end
        local dot = find(host, ".", 1, true)
        while dot do
          if dict:get(widget .. "|*" .. sub(host, dot)) then return end
          dot = find(host, ".", dot + 1, true)
        end
      end
      return ngx.exit(403)
    end
    function rules.change()
      local key = ngx.var.arg_key
      if ngx.var.arg_do == "set" then assert(dict:safe_set(key, true)) else dict:delete(key) end
      ngx.exit(204)
    end
  }}
  server {{ listen {control}; location = /rules {{ content_by_lua_block {{ rules.change() }} }} }}"#,
        rules = ground.path("rules.txt").display(),
        control = ground.control,
    )
}
