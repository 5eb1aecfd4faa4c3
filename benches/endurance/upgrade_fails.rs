//! Upgrades to what can't take over: the running edge goes on, and says why.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench_support::ports;
use bench_support::process::children;
use clap::Args;

use crate::edge::{CONFIGURATION, Prepared, Spec, is_alive};
use crate::load::{Load, Mix};
use crate::rows::{Rows, text};
use crate::saver::Saver;
use crate::upgrade::{no_save_lost, nothing_lost};
use crate::{Settings, upstreams};

/// The path that the edge is started by, in its folder.
const BINARY: &str = "embedgate";
/// The right configuration: for whoever asks for the upgrade.
const RIGHT: &str = "right.toml";
/// Where a script writes its process id.
const ID: &str = "script.pid";
/// Time after each failure in which everything is to go on.
const PAUSE: Duration = Duration::from_secs(1);

/// What stands in the new binary's place.
#[derive(Clone, Copy, Debug)]
enum Stage {
    NotExecutable,
    EndsAtOnce,
    Sleeps,
    LeavesAfterConnecting,
    Refuses,
    FindsNoCertificate,
    CannotListen,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::NotExecutable,
        Self::EndsAtOnce,
        Self::Sleeps,
        Self::LeavesAfterConnecting,
        Self::Refuses,
        Self::FindsNoCertificate,
        Self::CannotListen,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::NotExecutable => "a text file that can't be run",
            Self::EndsAtOnce => "/bin/false",
            Self::Sleeps => "a script that sleeps for ever",
            Self::LeavesAfterConnecting => "a program that connects and leaves",
            Self::Refuses => "the right binary, with an unknown key in its configuration",
            Self::FindsNoCertificate => "the right binary, with a certificate that is not there",
            Self::CannotListen => "the right binary, with a listener whose port is taken",
        }
    }

    /// Puts it there, as a package upgrade would: by renaming.
    fn install(self, settings: &Settings, folder: &Path, taken: SocketAddr) -> Result<()> {
        let new = folder.join("new");
        match self {
            Self::NotExecutable => fs::write(&new, "a text\n")?,
            Self::EndsAtOnce => symlink("/bin/false", &new)?,
            Self::Sleeps => script(&new, &format!("echo $$ >{ID}\nexec sleep 100000"))?,
            Self::LeavesAfterConnecting => {
                let this = std::env::current_exe()?;
                script(&new, &format!("exec '{}' impostor --socket data/upgrade.sock", this.display()))?;
            }
            Self::Refuses => edited(settings, folder, &new, |text| format!("{text}nonsense = 1\n"))?,
            Self::FindsNoCertificate => {
                edited(settings, folder, &new, |text| text.replace("site.pem", "missing.pem"))?;
            }
            Self::CannotListen => edited(settings, folder, &new, |text| {
                text.replace("listen = [", &format!("listen = [\"{taken}\", "))
            })?,
        }
        fs::rename(new, folder.join(BINARY)).context("the new binary")
    }
}

/// The right binary, and a configuration that it can't take.
fn edited(settings: &Settings, folder: &Path, new: &Path, edit: impl Fn(&str) -> String) -> Result<()> {
    fs::copy(&settings.binary, new)?;
    let right = fs::read_to_string(folder.join(RIGHT))?;
    Ok(fs::write(folder.join(CONFIGURATION), edit(&right))?)
}

fn script(path: &Path, body: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{body}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// A program that connects to the upgrade's socket, and leaves.
#[derive(Args)]
pub struct Impostor {
    #[arg(long)]
    socket: PathBuf,
}

impl Impostor {
    pub fn run(self) -> Result<()> {
        UnixStream::connect(&self.socket).map(drop).with_context(|| self.socket.display().to_string())
    }
}

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let mut prepared = Prepared::new(&settings.binary, upstreams::start()?, Spec::default())?;
    let folder = prepared.ground.folder().to_owned();
    fs::copy(&settings.binary, folder.join(BINARY))?;
    prepared.binary = folder.join(BINARY);
    fs::copy(folder.join(CONFIGURATION), folder.join(RIGHT))?;
    let listener = TcpListener::bind(ports::free())?;
    let mut edge = prepared.start()?;
    let (id, admin) = (edge.id(), edge.admin());
    let (load, saver) = (Load::start(&edge.target(), Mix::USUAL), Saver::start(admin));
    std::thread::sleep(PAUSE);
    for stage in Stage::ALL {
        stage.install(settings, &folder, listener.local_addr()?)?;
        let asked = Instant::now();
        let output = edge.try_upgrade(&settings.binary, RIGHT)?;
        let took = text(asked.elapsed());
        let said =
            String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).trim().replace('\n', " ");
        // Code 2 would be a command that is not understood.
        let is_refused =
            !matches!(output.status.code(), None | Some(0 | 2)) && !said.is_empty() && is_alive(id);
        let measured = format!("{} after {took}: {said}", output.status);
        rows.judged(format!("upgrade-fails: {}", stage.title()), "refused", measured, is_refused);
        std::thread::sleep(PAUSE);
    }
    let script = fs::read_to_string(folder.join(ID)).unwrap_or_default();
    let sleeps_on = script.trim().parse().is_ok_and(is_alive);
    rows.none("upgrade-fails: processes left over", children(id).len() as u64 + u64::from(sleeps_on), "");
    rows.judged("upgrade-fails: the process that serves is the same", id, edge.id(), is_alive(id));

    fs::copy(folder.join(RIGHT), folder.join(CONFIGURATION))?;
    let taken_over = edge.upgrade(&settings.binary).map(text);
    let is_new = taken_over.is_ok();
    let told = taken_over.unwrap_or_else(|error| format!("{error:#}"));
    rows.judged("upgrade-fails: the right binary afterwards", "takes over", told, is_new);
    std::thread::sleep(PAUSE);
    let (tally, saves) = (load.stop()?, saver.stop()?);
    rows.told("upgrade-fails: requests answered", tally.answered.get());
    nothing_lost(rows, "upgrade-fails", &tally);
    no_save_lost(rows, "upgrade-fails", admin, &saves)
}
