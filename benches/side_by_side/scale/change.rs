//! How the rules of each peer are changed while it runs: one site is let in to one widget, and shut out again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, bail, ensure};
use bench_support::client::Connection;

use crate::peers::{NginxRules, Peer, Proxy, WRITE_TOKEN};
use crate::rules::Form;
use crate::{process, rules};

/// Whose rules change, by which site.
pub const CHANGED_WIDGET: usize = 0;
pub const ADDED: &str = "https://added.example";
const ADDED_SITE: &str = "added.example";

/// Whose visitors shouldn't notice.
pub const OTHER_WIDGET: usize = 1;

pub fn other_origin() -> String {
    format!("https://site{OTHER_WIDGET}.example.com")
}

/// Changes a peer's rules.
pub struct Changer<'p> {
    proxy: &'p Proxy,
    widgets: usize,
    control: Option<Connection>,
}

impl<'p> Changer<'p> {
    pub fn new(proxy: &'p Proxy, widgets: usize) -> Result<Self> {
        let control = match proxy.peer {
            Peer::NginxLua | Peer::Embedgate => Some(Connection::open(proxy.ground.control)?),
            _ => None,
        };
        Ok(Self { proxy, widgets, control })
    }

    /// The `n`-th change: what it is called, and whether the site is let in by it.
    pub fn apply(&mut self, n: usize) -> Result<(&'static str, bool)> {
        let add = n.is_multiple_of(2);
        let kind = match (self.proxy.peer, n % 4) {
            (Peer::NginxMap, _) => {
                self.reload(add)?;
                "file and reload"
            }
            (Peer::NginxLua, _) => {
                self.dictionary(add)?;
                if add { "dictionary set" } else { "dictionary delete" }
            }
            (Peer::Haproxy, 0) => self.map("add", Some("1"))?,
            (Peer::Haproxy, 1) => self.map("set", Some("0"))?,
            (Peer::Haproxy, 2) => self.map("set", Some("1"))?,
            (Peer::Haproxy, _) => self.map("del", None)?,
            (Peer::Embedgate, _) => {
                self.save(add)?;
                "save, durable"
            }
            (Peer::Bare, _) => bail!("enforces nothing"),
        };
        Ok((kind, add))
    }

    fn reload(&self, add: bool) -> Result<()> {
        let (name, form) = NginxRules::Map.file();
        let fresh = self.proxy.ground.path("rules.new");
        form.write_file(&fresh, self.widgets, add.then_some(ADDED_SITE))?;
        std::fs::rename(fresh, self.proxy.ground.path(name))?;
        process::signal("HUP", &[self.proxy.running.id()]);
        Ok(())
    }

    fn dictionary(&mut self, add: bool) -> Result<()> {
        let key = format!("{}|{ADDED_SITE}", rules::id(CHANGED_WIDGET));
        let act = if add { "set" } else { "delete" };
        self.ask(&format!("GET /rules?do={act}&key={key} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn save(&mut self, add: bool) -> Result<()> {
        let (id, mut sites) = (rules::id(CHANGED_WIDGET), rules::sites(CHANGED_WIDGET).to_vec());
        sites.extend(add.then(|| ADDED_SITE.to_owned()));
        let document = rules::document(&id, &sites);
        self.ask(&format!(
            "PUT /v1/widgets/{id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{document}",
            document.len()
        ))
    }

    fn ask(&mut self, request: &str) -> Result<()> {
        let Some(control) = &mut self.control else { bail!("no connection") };
        let (status, body) = control.ask(request.as_bytes())?;
        ensure!((200..300).contains(&status), "{status}: {body}");
        Ok(())
    }

    fn map(&self, act: &str, value: Option<&str>) -> Result<&'static str> {
        let key = Form::cut(&rules::id(CHANGED_WIDGET), ADDED_SITE);
        let value = value.unwrap_or_default();
        let said = runtime_api(self.proxy.ground.control, &format!("{act} map rules.map {key} {value}\n"))?;
        ensure!(said.trim().is_empty(), "HAProxy: {said}");
        Ok(match act {
            "add" => "add map",
            "set" => "set map",
            _ => "del map",
        })
    }
}

/// One command a connection, as the API has it.
fn runtime_api(addr: SocketAddr, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(command.as_bytes())?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}
