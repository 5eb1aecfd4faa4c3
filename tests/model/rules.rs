//! Rules of the fleet that can be taken out, to see that they are needed.

/// Rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// "Never backwards": an edge follows whatever bucket it finds.
    NeverBackwards,
    /// An edge announces itself in the bucket, in one order with the saves; here: on the side, some time later.
    AnnouncedInOrder,
    /// A silent edge is waited for until it denies by itself; here: a tick less.
    WaitedUntilStale,
    /// The wait allows for a slow clock of the silent edge.
    AllowsForSlowClocks,
    /// An announcement counts as contact when everything before it is in force; here: when it is acknowledged.
    ContactWhenApplied,
    /// An edge answers for what it has kept; here: for what it has in force.
    AnswersForKept,
    /// An edge that has signed off serves again when it has caught up; here: at once, from its cache.
    SignedOffCatchesUp,
    /// An edge whose first reading was interrupted starts it again; here: it serves what it has.
    FirstReadingIsWhole,
    /// A new decision has an edge take the whole bucket; here: only if it has found a fault itself.
    DecisionsFollowed,
    /// An edge remembers the members and reads them all when it connects; here: only from its position on.
    MembersKept,
    /// A save is acknowledged when the members are known up to the bucket's end; here: up to the save.
    MembersUpToTheEnd,
    /// An edge knows its own save when it comes back; here: whatever has its sequence is taken for it.
    KnowsOwnSave,
    /// A decision puts the members into the bucket that the fleet goes on with.
    MembersCarriedOver,
    /// An edge asks the others whether the bucket is the one that they follow.
    AsksTheOthers,
    /// An edge doesn't follow a bucket that was filled again and has less than it has; here: it does.
    FollowsNothingLess,
}

/// What may happen in a run, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) saves: u8,
    pub(crate) losses: u8,
    pub(crate) cuts: u8,
    pub(crate) crashes: u8,
    pub(crate) stops: u8,
    pub(crate) full_disks: u8,
    pub(crate) decisions: u8,
    /// Messages of each of the fleet's own keys that the bucket keeps.
    pub(crate) history: usize,
    /// Messages in the bucket.
    pub(crate) messages: u8,
    /// `max_staleness` in ticks; 0: never.
    pub(crate) staleness: u8,
    /// Ticks that a slow clock may miss.
    pub(crate) slow: u8,
    /// Whether the third edge, which has never run, starts some time.
    pub(crate) joins: bool,
    /// A bucket that loses something may also lose everything, or the widget's key.
    pub(crate) loses_all: bool,
}
