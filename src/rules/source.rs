//! Sources of rules. Each puts its rules in force through the one publisher.
//!
//! A source implements [`RuleSource`]: a start puts its rules in force and gives, where there is something to follow,
//! a [`SourceFollower`] that keeps them current. The composition root builds one from the configuration and knows no
//! more of it than this trait.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::change::Actor;
use super::error::{RulesError, StoreError, WideChange};
use super::fleet::Fleet;
use super::publisher::{Published, Publisher};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

pub mod file;
pub(in crate::rules) mod kind;
pub mod nats;
pub mod store;

pub use self::kind::SourceKind;

/// Source of rules, as the configuration names it.
pub trait RuleSource: Send + Sync {
    /// Which kind of source.
    fn kind(&self) -> SourceKind;

    /// Its name, as status and logs tell it: a path, a bucket.
    fn name(&self) -> String;

    /// What a start would read now, for messages: a path, an address.
    fn location(&self) -> String;

    /// Puts the rules in force, for the first time. `publisher` is the writer of this source's rules.
    ///
    /// # Errors
    ///
    /// Where the source can't be read, its documents have faults, or its store is damaged, newer than this version or
    /// in use by another process. Nothing is in force then.
    fn start(&self, publisher: Publisher, suffixes: Arc<PublicSuffixes>)
    -> Result<StartedSource, RulesError>;

    /// The documents that a start would find, read without changing anything: for tools, while no edge runs.
    ///
    /// # Errors
    ///
    /// Where the source can't be opened or read, or its documents have faults.
    fn documents(&self, suffixes: Arc<PublicSuffixes>) -> Result<DocumentPages, RulesError>;

    /// What a start would warn of beside the documents, for tools, while no edge runs.
    fn concerns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Opens the source for changes in bulk, while no edge runs; `None` where its rules are not changed through a
    /// publisher. A store that is new has no name before [`Publisher::establish`].
    ///
    /// # Errors
    ///
    /// Where its store can't be opened, or is damaged, newer than this version or in use by another process.
    fn open_offline(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<Option<Publisher>, StoreError> {
        let _ = (publisher, suffixes);
        Ok(None)
    }
}

/// Source that was started.
pub struct StartedSource {
    /// The writer of its rules, which are in force.
    pub publisher: Arc<Publisher>,
    /// What keeps the rules current; `None` where they change through the publisher alone.
    pub follower: Option<Box<dyn SourceFollower>>,
    /// The rules files; `None` where rules come from elsewhere.
    pub file: Option<Arc<dyn RulesFile>>,
    /// The fleet that shares the rules; `None` where they are this edge's alone.
    pub fleet: Option<Arc<dyn Fleet>>,
}

/// Rules file, or folder of them, as others than its follower know it.
pub trait RulesFile: Send + Sync {
    /// Reads the files now and puts in force what they say. `confirm`: how many widgets that may touch at most. Blocks.
    ///
    /// # Errors
    ///
    /// The files can't be read or have faults, or touch more widgets than may be without being confirmed. Nothing has
    /// changed then.
    fn apply(&self, confirm: Option<usize>, actor: Actor) -> Result<Published, RulesError>;

    /// What the brake holds: the files say it, and it is not in force.
    fn held(&self) -> Option<WideChange>;

    /// The contents in force.
    fn in_force(&self) -> FilesInForce;
}

/// Contents of rules files, as another process recognises them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesInForce {
    /// The path, as the configuration names it.
    pub path: String,
    /// Hash of names and contents.
    pub fingerprint: u64,
}

/// Follower of a source: puts in force what changes there.
#[async_trait]
pub trait SourceFollower: Send {
    /// Follows the source until `shutdown` turns true or its sender is gone.
    async fn follow(self: Box<Self>, shutdown: watch::Receiver<bool>);
}

/// Documents of a source, page by page, so that a large source needn't be in memory as a whole.
pub type DocumentPages = Box<dyn Iterator<Item = Result<Vec<Widget>, StoreError>>>;
