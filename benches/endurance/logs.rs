//! Logs that nobody takes: standard output and error blocked, closed and full.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench_support::client::{connect, exchange};
use bench_support::ports;
use bench_support::process::signal;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::Settings;
use crate::edge::{Prepared, Spec};
use crate::load::{Tally, on_this_thread};
use crate::rows::Rows;

/// What the configuration says, in seconds.
const GRACE: Duration = Duration::from_secs(2);
/// The longest that anything else here may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Clients at once.
const CLIENTS: usize = 8;

/// Where both logs go.
#[derive(Clone, Copy)]
enum Ends {
    Blocked,
    Closed,
    Full,
}

impl Ends {
    fn title(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Closed => "closed",
            Self::Full => "full",
        }
    }
}

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    for ends in [Ends::Blocked, Ends::Closed, Ends::Full] {
        one(settings, rows, ends).with_context(|| ends.title())?;
    }
    Ok(())
}

fn one(settings: &Settings, rows: &mut Rows, ends: Ends) -> Result<()> {
    let name = format!("logs {}", ends.title());
    // Nobody is there, so that every allowed request is a warning, too.
    let spec = Spec {
        edge: "grace_period = \"2s\"",
        log: Some("level = \"info\"\ndecisions = \"all\"\ndecisions_per_second = 0\nrequests_per_second = 0"),
        ..Spec::default()
    };
    let prepared = Prepared::new(&settings.binary, ports::free(), spec)?;
    let (out, err) = (std::io::pipe()?, std::io::pipe()?);
    let full = || File::options().write(true).open("/dev/full").context("/dev/full");
    let (stdout, stderr): (Stdio, Stdio) = match ends {
        Ends::Full => (full()?.into(), full()?.into()),
        Ends::Blocked | Ends::Closed => (out.1.into(), err.1.into()),
    };
    let readers = (out.0, err.0);
    let mut process = Process(spawn(&prepared, stdout, stderr)?);
    let kept = match ends {
        Ends::Blocked => Some(readers),
        Ends::Closed | Ends::Full => {
            drop(readers);
            None
        }
    };
    let admin = prepared.admin();
    let started = Instant::now();
    while !admin.call("GET", "/readyz", "").is_ok_and(|(status, _)| status == 200) {
        ensure!(process.0.try_wait()?.is_none() && started.elapsed() < PATIENCE, "the edge is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Half of them fail at the upstream, half are denied: more lines of each log than a pipe and a queue take.
    let count = settings.count(40_000, 16_000);
    let tally = on_this_thread(ask(&prepared, count))?;
    rows.judged(
        format!("{name}: requests answered"),
        count,
        tally.answered.get(),
        tally.answered.get() == count as u64,
    );
    rows.none(
        format!("{name}: requests lost or answered otherwise"),
        tally.lost() + tally.wrong.get(),
        &tally.first_lost(),
    );
    rows.at_most(format!("{name}: slowest answer"), Duration::from_secs(1), tally.slowest());
    for log in ["decisions", "operational", "requests"] {
        let dropped = admin.metric(&format!("embedgate_log_lines_dropped_total{{log=\"{log}\"}}"))?;
        rows.judged(format!("{name}: lines dropped and counted, {log}"), "> 0", dropped, dropped > 0.0);
    }
    let took = on_this_thread(stopped(&prepared, &mut process.0))?;
    rows.at_most(
        format!("{name}: SIGTERM with a stalled upload, grace period {} s, until gone", GRACE.as_secs()),
        GRACE + Duration::from_secs(1),
        took,
    );
    drop(kept);
    Ok(())
}

fn spawn(prepared: &Prepared, out: Stdio, err: Stdio) -> Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(prepared.command())
        .current_dir(prepared.ground.folder())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .context("cannot start setpriv (util-linux)")
}

/// So many requests on kept connections, every second from a page that is not listed.
async fn ask(prepared: &Prepared, count: usize) -> Result<Arc<Tally>> {
    let tally = Arc::new(Tally::default());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (target, tally) = (prepared.target(), Arc::clone(&tally));
        tasks.spawn_local(async move {
            let requests = [
                (target.request("session", ""), 502),
                (target.by("stranger.example").request("session", ""), 403),
            ];
            let mut buffer = vec![0; 16 * 1024];
            let mut stream = connect(target.plain).await?;
            for (request, expected) in requests.iter().cycle().take(count / CLIENTS) {
                let asked = Instant::now();
                match timeout(PATIENCE, exchange(&mut stream, request, &mut buffer)).await {
                    Ok(Ok(head)) => {
                        tally.took(asked.elapsed());
                        tally.answered.add();
                        if head.status != *expected {
                            tally.wrong.note(|| format!("{} in place of {expected}", head.status));
                        }
                        if head.close {
                            stream = connect(target.plain).await?;
                        }
                    }
                    failed => {
                        tally.lost_reused.note(|| format!("{failed:?}"));
                        stream = connect(target.plain).await?;
                    }
                }
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(tally)
}

/// Asks it to stop while a request is half sent; how long it takes.
async fn stopped(prepared: &Prepared, process: &mut Child) -> Result<Duration> {
    let mut stream = connect(prepared.ground.plain).await?;
    let head =
        prepared.target().request("session", "Content-Type: text/plain\r\nContent-Length: 1048576\r\n");
    stream.write_all(&[b"POST", head.strip_prefix(b"GET").unwrap_or_default(), b"xxx"].concat()).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = Instant::now();
    signal("TERM", &[process.id()]);
    while process.try_wait()?.is_none() {
        ensure!(asked.elapsed() < PATIENCE, "SIGTERM does not end the edge");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(asked.elapsed())
}

/// Killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
