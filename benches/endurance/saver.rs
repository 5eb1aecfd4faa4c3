//! Saves in a loop through the admin API, on a kept connection, as an honest client makes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bench_support::client::{connect, exchange};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::admin::{Admin, document};
use crate::load::{Count, on_this_thread};

/// Between two saves.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest that a save may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the saves.
#[derive(Default)]
pub struct Saves {
    /// Ids of widgets whose save was answered, each saved once.
    pub saved: Vec<String>,
    pub slowest: Duration,
    /// Saves that were sent and not answered, or answered with an error.
    pub failed: Count,
    /// Connections that were refused.
    pub refused: Count,
}

/// A running one.
pub struct Saver {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Saves>>,
}

impl Saver {
    pub fn start(admin: Admin) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&over);
        let thread = std::thread::spawn(move || on_this_thread(save(admin, watched)));
        Self { over, thread }
    }

    pub fn stop(self) -> Result<Saves> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the saver panicked"))?
    }
}

async fn save(admin: Admin, over: Arc<AtomicBool>) -> Result<Saves> {
    let mut saves = Saves::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let mut stream = match connect(admin.addr).await {
            Ok(stream) => stream,
            Err(error) => {
                saves.refused.note(|| error.to_string());
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while !over.load(Ordering::Relaxed) {
            number += 1;
            let id = format!("wgt_saved_{number}");
            let body = document(&id, &[format!("site{number}.example")]);
            let request = admin.request("PUT", &format!("/v1/widgets/{id}"), &body, "");
            let asked = Instant::now();
            match timeout(PATIENCE, exchange(&mut stream, &request, &mut buffer)).await {
                Ok(Ok(head)) => {
                    saves.slowest = saves.slowest.max(asked.elapsed());
                    match head.status {
                        200 | 201 => saves.saved.push(id),
                        status => saves.failed.note(|| format!("{id}: {status}")),
                    }
                    if head.close {
                        break;
                    }
                }
                failed => {
                    saves.failed.note(|| format!("{id}: {failed:?}"));
                    break;
                }
            }
            if timeout(PAUSE, stream.read(&mut [0; 64])).await.is_ok() {
                break;
            }
        }
    }
    Ok(saves)
}
