//! Database files on their way out of this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::database::Lendable;

/// Time for the files to be let go of. One that is being repaired takes longer.
const LET_GO: Duration = Duration::from_secs(1);

/// Database files on their way out of this process.
#[derive(Default)]
pub(super) struct Departure(JoinSet<()>);

impl Departure {
    /// Keeps what is not kept yet, and lets the files go. Returns whether that was done in time; if not, it goes on.
    pub(super) async fn begin(&mut self, files: &[Arc<dyn Lendable>]) -> bool {
        let Self(leaving) = self;
        for file in files {
            let file = Arc::clone(file);
            leaving.spawn_blocking(move || file.let_go());
        }
        // A panic has been told by its hook.
        timeout(LET_GO, async { while leaving.join_next().await.is_some() {} }).await.is_ok()
    }

    /// Takes the files back once they have been let go of.
    pub(super) fn undo(self, files: &[Arc<dyn Lendable>]) {
        let Self(mut leaving) = self;
        let files = files.to_vec();
        tokio::spawn(async move {
            while leaving.join_next().await.is_some() {}
            files.iter().for_each(|file| file.take_back());
        });
    }
}

/// Keeps what is not kept yet at the end of the process.
pub(super) async fn keep_last(files: &[Arc<dyn Lendable>]) {
    if !Departure::default().begin(files).await {
        tracing::warn!("what was seen and counted last could not be written in time");
    }
}
