//! Edge: what it has in force, what it has kept, and what it knows of the others.

use crate::EDGES;
use crate::bucket::{Position, Rules};

/// Age that is beyond every bound.
pub(crate) const OLD: u8 = 9;

/// What an edge has of the bucket: in memory, and, as it was kept, on its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Book {
    pub(crate) rules: Rules,
    /// The sequence of the widget's message.
    pub(crate) key: u8,
    pub(crate) at: Position,
    /// Edges that were announced.
    pub(crate) members: [bool; EDGES],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    Off,
    Following,
    /// The bucket is not the one that was followed.
    Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CatchUp {
    /// It has never read the whole bucket.
    New,
    SignedOff,
}

/// Save that was published, and has not come back yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Saving {
    pub(crate) sequence: u8,
    pub(crate) save: Rules,
}

/// Call that waits until every edge enforces a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waiting {
    pub(crate) sequence: u8,
    pub(crate) save: Rules,
    pub(crate) answered: [bool; EDGES],
    /// The bucket's last sequence when the save came back: members are known up to there.
    pub(crate) until: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    pub(crate) is_up: bool,
    /// Messages and answers reach it.
    pub(crate) hears: bool,
    /// What it sends arrives.
    pub(crate) speaks: bool,
    pub(crate) link: Link,
    /// It judges requests.
    pub(crate) serves: bool,
    pub(crate) disk_full: bool,
    pub(crate) book: Book,
    pub(crate) kept: Book,
    /// Why it serves nothing before it has caught up. Kept.
    pub(crate) catches_up: Option<CatchUp>,
    /// Ticks of its own clock since it last knew that it had everything, and the same as kept.
    pub(crate) contact: u8,
    pub(crate) kept_contact: u8,
    /// Its announcement whose acknowledgement it has: sequence, and ticks since it was sent.
    pub(crate) sent: Option<(u8, u8)>,
    /// Ticks since it last saw an announcement of each edge.
    pub(crate) heard: [u8; EDGES],
    pub(crate) saving: Option<Saving>,
    pub(crate) waiting: Option<Waiting>,

    /// For properties only: it follows a damaged bucket, and no edge that it hears knows of the damage.
    pub(crate) is_unaware: bool,
    /// For properties only: every save that it has ever kept.
    pub(crate) peak: Rules,
}

impl Edge {
    pub(crate) fn new() -> Self {
        Self {
            is_up: false,
            hears: true,
            speaks: true,
            link: Link::Off,
            serves: false,
            disk_full: false,
            book: Book::default(),
            kept: Book::default(),
            catches_up: Some(CatchUp::New),
            contact: OLD,
            kept_contact: OLD,
            sent: None,
            heard: [OLD; EDGES],
            saving: None,
            waiting: None,
            is_unaware: false,
            peak: 0,
        }
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.is_up && self.hears && self.speaks
    }

    pub(crate) fn follows(&self) -> bool {
        self.is_up && self.link == Link::Following
    }

    /// Keeps on disk what is in force.
    pub(crate) fn keep(&mut self) {
        if !self.disk_full {
            self.kept = self.book;
            self.kept_contact = self.contact;
            self.peak |= self.book.rules;
        }
    }

    /// A tick of real time passes; on a slow clock it doesn't. Ages beyond a bound are all the same.
    pub(crate) fn tick(&mut self, slow: bool, stale: u8, silent: u8) {
        let older = |age: &mut u8, bound: u8| *age = if *age >= bound { OLD } else { *age + 1 };
        if !slow {
            older(&mut self.contact, stale);
            older(&mut self.kept_contact, stale);
            if let Some((_, age)) = &mut self.sent {
                older(age, stale);
            }
        }
        for (member, age) in self.heard.iter_mut().enumerate() {
            if self.book.members[member] {
                older(age, silent);
            }
        }
    }
}
