//! Notes that the edges of a fleet keep for each other, beside the rules: small documents under keys. Each is written by
//! whoever has read its last version, so of two edges that write at once, one is refused and reads again.

use async_trait::async_trait;

/// Note of the fleet, as it was written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetNote {
    /// The key that it is under: letters, digits, `-`, `_`, `=` and dots.
    pub key: String,
    /// Its revision, which grows with every note that is written.
    pub revision: u64,
    /// What it says.
    pub body: Vec<u8>,
}

/// Failure to write or to read a note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// Somebody else has written it since it was read. Nothing was done.
    #[error("somebody else has written it")]
    Outdated,
    /// Nothing was done.
    #[error("nothing was done: {0}")]
    NotDone(String),
    /// Nobody knows whether it was done, or will be done yet.
    #[error("it may be done or not: {0}")]
    Unknown(String),
}

/// Notes of the fleet.
#[async_trait]
pub trait FleetNotes: Send + Sync {
    /// The name of this edge.
    fn edge(&self) -> &str;

    /// This process, as others tell it from one of the same name.
    fn process(&self) -> &str;

    /// Waits until there is a connection. `false`: there won't be one any more, as this process ends or is relieved.
    async fn is_connected(&self) -> bool;

    /// When the place of the notes was made, in nanoseconds of Unix time; `None` where nobody has made it yet.
    ///
    /// # Errors
    ///
    /// There is no answer.
    async fn made_at(&self) -> Result<Option<u64>, NoteFault>;

    /// Makes the place of the notes, unless it is there.
    ///
    /// # Errors
    ///
    /// It can't be made.
    async fn make(&self) -> Result<(), NoteFault>;

    /// The note under a key, as nobody has a newer one.
    ///
    /// # Errors
    ///
    /// There is no answer.
    async fn read(&self, key: &str) -> Result<Option<FleetNote>, NoteFault>;

    /// Writes a note if its last revision is the expected one (0: there is none), and gives its new revision.
    ///
    /// # Errors
    ///
    /// It was not written, or nobody knows.
    async fn write(&self, key: &str, expected: u64, body: Vec<u8>) -> Result<u64, NoteFault>;

    /// Hands on the last version of every note, and then each that is written, until that goes on no longer.
    async fn follow(&self, take: &mut (dyn FnMut(FleetNote) + Send)) -> NoteFault;

    /// Whether it is known that an edge serves nobody any more: it has signed off, was forgotten, or denies by itself.
    fn is_over(&self, edge: &str) -> bool;

    /// Number of edges that are taken to be there, this one among them.
    fn edges(&self) -> usize;
}
