//! A widget's entries as requests are judged by them: one block of bytes, read where it lies.
//!
//! A list of usual length is read through, an entry in a few instructions; a long one is sorted by host and
//! searched for the embedder's host and each name above it. Nothing is allocated and nothing is parsed.

use std::fmt;
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::decision::Reason;
use super::entry::{Entry, EntryKind};
use super::origin::{Origin, Scheme};
use super::widget::Rule;

mod packed;

use packed::{Asked, Packed, PortRule, Record, SchemeRule};

/// The compiled form of a list, owned. One heap block, about three bytes more for each entry than its text; an
/// empty list has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct AllowlistBuf {
    bytes: Box<[u8]>,
}

impl AllowlistBuf {
    /// Compiles the rules of a document.
    pub fn compile(rules: &[Rule]) -> Self {
        Self { bytes: packed::pack(rules) }
    }

    /// The list, to be asked.
    pub fn as_allowlist(&self) -> Allowlist<'_> {
        Allowlist { bytes: &self.bytes }
    }
}

/// A compiled list: a view of bytes that lie elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Allowlist<'a> {
    bytes: &'a [u8],
}

/// What a list says about an origin. Entries are named by their place in the document, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// An entry admits it. Of several, an exact one before a wildcard before a glob, then the first of the
    /// document.
    Admitted {
        /// The kind of the entry.
        kind: EntryKind,
        /// The entry.
        entry: u32,
    },
    /// None does.
    Refused {
        /// The nearest miss: [`Reason::ExpiredEntry`] (it would be admitted but for the expiry), then
        /// [`Reason::InsecureScheme`] (the page is http, the entry wants https, whatever the ports), then
        /// [`Reason::PortMismatch`] (host and scheme fit). Otherwise [`Reason::UnsupportedScheme`] for what
        /// is neither http nor https, and [`Reason::NotListed`].
        reason: Reason,
        /// The entry that came so near; of several as above.
        near_miss: Option<u32>,
    },
}

/// How near an entry whose host fits comes, nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Admits,
    Expired,
    Insecure,
    OtherPort,
}

impl<'a> Allowlist<'a> {
    /// A list of [`Allowlist::packed_bytes`] of the same format. Other bytes make a list that admits less.
    #[inline]
    pub fn from_packed(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The compiled form itself, to be kept; [`Allowlist::PACKED_FORMAT`] says how to read it.
    pub fn packed_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Grows when compiled bytes come to mean something else.
    pub const PACKED_FORMAT: u64 = 2;

    /// The number of entries, expired ones included.
    #[inline]
    pub fn len(self) -> usize {
        self.packed().len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Which entry admits `origin`, or how near the list comes to it.
    pub fn judge(self, origin: Origin<'_>, now: Timestamp) -> Judgement {
        let mut best: Option<(Nearness, EntryKind, u32)> = None;
        let _ = self.packed().for_each_fitting(Asked::of(origin), |record| {
            let Some(nearness) = nearness(record, origin, now) else { return ControlFlow::Continue(()) };
            let candidate = (nearness, record.kind(), record.ordinal);
            if best.is_none_or(|best| rank(candidate) < rank(best)) {
                best = Some(candidate);
            }
            match candidate {
                // None comes before the first of these.
                (Nearness::Admits, EntryKind::Exact, _) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        match best {
            Some((Nearness::Admits, kind, entry)) => Judgement::Admitted { kind, entry },
            Some((Nearness::Expired, _, entry)) => refused(Reason::ExpiredEntry, Some(entry)),
            Some((Nearness::Insecure, _, entry)) => refused(Reason::InsecureScheme, Some(entry)),
            Some((Nearness::OtherPort, _, entry)) => refused(Reason::PortMismatch, Some(entry)),
            None => match origin.scheme() {
                Scheme::Http | Scheme::Https => refused(Reason::NotListed, None),
                Scheme::Other(_) => refused(Reason::UnsupportedScheme, None),
            },
        }
    }

    /// The canonical text of the entry at `index` of the document. Reads through the list: for logs and
    /// people.
    pub fn entry(self, index: u32) -> Option<impl fmt::Display + 'a> {
        self.packed().iter().find(|record| record.ordinal == index)
    }

    /// Every entry that has not expired, in no particular order. Allocates: for what is made of the list as a
    /// whole.
    pub fn entries(self, now: Timestamp) -> impl Iterator<Item = Entry> + 'a {
        let live = move |record: &Record<'_>| record.expires_at.is_none_or(|at| now < at);
        self.packed().iter().filter(live).map(|record| record.to_entry())
    }

    /// The first instant later than `after` at which an entry expires.
    pub fn next_expiry(self, after: Timestamp) -> Option<Timestamp> {
        self.packed().iter().filter_map(|record| record.expires_at).filter(|at| *at > after).min()
    }

    #[inline]
    fn packed(self) -> Packed<'a> {
        Packed::new(self.bytes)
    }
}

const fn refused(reason: Reason, near_miss: Option<u32>) -> Judgement {
    Judgement::Refused { reason, near_miss }
}

fn rank((nearness, kind, ordinal): (Nearness, EntryKind, u32)) -> (Nearness, u8, u32) {
    let kind = match kind {
        EntryKind::Exact => 0,
        EntryKind::Wildcard => 1,
        EntryKind::Glob => 2,
    };
    (nearness, kind, ordinal)
}

/// How near an entry with a fitting host comes; `None` where it names another scheme, or is off in two ways.
fn nearness(record: &Record<'_>, origin: Origin<'_>, now: Timestamp) -> Option<Nearness> {
    let expired = record.expires_at.is_some_and(|at| now >= at);
    let port_fits = match record.port {
        PortRule::Any => true,
        PortRule::Exact(port) => origin.port() == Some(port),
        // Development servers sit on any port.
        PortRule::Unstated => {
            origin.explicit_port().is_none() || (record.loopback && !record.scheme.is_custom())
        }
    };
    match (scheme_fit(record, origin.scheme())?, port_fits, expired) {
        (SchemeFit::Fits, true, false) => Some(Nearness::Admits),
        (SchemeFit::Fits, true, true) => Some(Nearness::Expired),
        (SchemeFit::WantsHttps, _, false) => Some(Nearness::Insecure),
        (SchemeFit::Fits, false, false) => Some(Nearness::OtherPort),
        (SchemeFit::WantsHttps, _, true) | (SchemeFit::Fits, false, true) => None,
    }
}

enum SchemeFit {
    Fits,
    WantsHttps,
}

fn scheme_fit(record: &Record<'_>, scheme: Scheme<'_>) -> Option<SchemeFit> {
    match (record.scheme, scheme) {
        (SchemeRule::Unstated | SchemeRule::Https, Scheme::Https) => Some(SchemeFit::Fits),
        (SchemeRule::Http, Scheme::Http) => Some(SchemeFit::Fits),
        // Browsers trust loopback hosts without https.
        (SchemeRule::Unstated, Scheme::Http) if record.loopback => Some(SchemeFit::Fits),
        (SchemeRule::Unstated | SchemeRule::Https, Scheme::Http) => Some(SchemeFit::WantsHttps),
        (SchemeRule::Custom(listed), Scheme::Other(scheme)) if listed == scheme.as_bytes() => {
            Some(SchemeFit::Fits)
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
