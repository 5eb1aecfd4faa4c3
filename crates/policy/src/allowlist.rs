//! Compiled allowlist of a widget: one block of bytes that requests are judged by, read in place.
//!
//! A list of usual length is scanned, a few instructions for each entry. A long list is sorted by host and
//! searched for the embedder's host and each parent name. Nothing is allocated and nothing is parsed.

use std::fmt;
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::entry::{Entry, EntryKind};
use super::origin::{Origin, Scheme};
use crate::entry::listed::ListedEntry;
use crate::verdict::Reason;

mod coverage;
mod packed;

use packed::{EntryRecord, HostQuery, Packed, PortRule, SchemeRule};

/// Compiled allowlist, owned: one heap block, about three bytes per entry more than its text. An empty list
/// has no block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct AllowlistBuf {
    bytes: Box<[u8]>,
}

impl AllowlistBuf {
    /// Compiles the entries of a document.
    pub fn compile(rules: &[ListedEntry]) -> Self {
        Self { bytes: packed::pack(rules) }
    }

    /// The list, for judging.
    pub fn as_allowlist(&self) -> Allowlist<'_> {
        Allowlist { bytes: &self.bytes }
    }
}

/// Compiled allowlist, borrowed: a view of bytes that are stored elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Allowlist<'a> {
    bytes: &'a [u8],
}

/// Result of judging an origin by a list. Entries are named by their index in the document, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// An entry admits the origin. Of several entries, an exact one wins over a wildcard, a wildcard over a
    /// glob, and then the first in the document.
    Admitted {
        /// The kind of the entry.
        kind: EntryKind,
        /// The entry.
        entry: u32,
    },
    /// No entry admits the origin.
    Refused {
        /// The nearest miss: [`Reason::ExpiredEntry`] (the entry has expired), then
        /// [`Reason::InsecureScheme`] (the page is http, the entry requires https, on any port), then
        /// [`Reason::PortMismatch`] (host and scheme match). Without a near miss:
        /// [`Reason::UnsupportedScheme`] if the scheme is neither http nor https, else [`Reason::NotListed`].
        reason: Reason,
        /// The entry of the near miss; of several, chosen as above.
        near_miss: Option<u32>,
    },
}

/// Nearness of an entry whose host matches, nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Admits,
    Expired,
    Insecure,
    OtherPort,
}

impl<'a> Allowlist<'a> {
    /// Reads a list from [`Allowlist::packed_bytes`] of the same format. Other bytes make a list that admits
    /// less.
    #[inline]
    pub fn from_packed(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes of the compiled list, for storing; [`Allowlist::PACKED_FORMAT`] is their format.
    pub fn packed_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Version of the byte format. It grows when the meaning of the bytes changes.
    pub const PACKED_FORMAT: u64 = 2;

    /// The number of entries, expired ones included.
    #[inline]
    pub fn len(self) -> usize {
        self.packed().len()
    }

    /// Whether the list has no entries.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Judges `origin`: which entry admits it, or the near miss.
    pub fn judge(self, origin: Origin<'_>, now: Timestamp) -> Judgement {
        let mut best: Option<(Nearness, EntryKind, u32)> = None;
        let _ = self.packed().for_each_fitting(HostQuery::of(origin), |record| {
            let Some(nearness) = nearness(record, origin, now) else { return ControlFlow::Continue(()) };
            let candidate = (nearness, record.kind(), record.ordinal);
            if best.is_none_or(|best| rank(candidate) < rank(best)) {
                best = Some(candidate);
            }
            match candidate {
                // No other entry can win over the first exact one, so the search ends here.
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

    /// Whether the entry at `index` of the document names this origin, and no other of its scheme: not each port of a host, or
    /// each host below a name.
    pub fn names(self, origin: Origin<'_>, index: u32) -> bool {
        let mut names = false;
        let _ = self.packed().for_each_fitting(HostQuery::of(origin), |record| {
            if record.ordinal != index {
                return ControlFlow::Continue(());
            }
            let has_one_port = match record.port {
                PortRule::Any => false,
                PortRule::Exact(_) => true,
                PortRule::Unstated => !record.loopback,
            };
            names = has_one_port && record.kind() == EntryKind::Exact;
            ControlFlow::Break(())
        });
        names
    }

    /// The canonical text of the entry at `index` of the document. It scans the list, so it is for logs and
    /// people.
    pub fn entry(self, index: u32) -> Option<impl fmt::Display + 'a> {
        self.packed().iter().find(|record| record.ordinal == index)
    }

    /// Every entry that has not expired, in no particular order. It allocates, so it is for work on the whole
    /// list.
    pub fn entries(self, now: Timestamp) -> impl Iterator<Item = Entry> + 'a {
        let live = move |record: &EntryRecord<'_>| record.expires_at.is_none_or(|at| now < at);
        self.packed().iter().filter(live).map(|record| record.to_entry())
    }

    /// The first instant later than `after` at which an entry expires.
    pub fn next_expiry(self, after: Timestamp) -> Option<Timestamp> {
        self.packed().iter().filter_map(|record| record.expires_at).filter(|at| *at > after).min()
    }

    /// The entries that expire after one instant and no later than another, each with its canonical text and its expiry.
    pub fn expiring(
        self,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = (impl fmt::Display + 'a, Timestamp)> + 'a {
        let expiring = self.packed().iter().filter_map(|record| Some((record, record.expires_at?)));
        expiring.filter(move |(_, at)| after < *at && *at <= until)
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

/// Nearness of an entry with a matching host; `None` if it has another scheme, or differs in two ways.
fn nearness(record: &EntryRecord<'_>, origin: Origin<'_>, now: Timestamp) -> Option<Nearness> {
    let expired = record.expires_at.is_some_and(|at| now >= at);
    let port_fits = match record.port {
        PortRule::Any => true,
        PortRule::Exact(port) => origin.port() == Some(port),
        // Development servers use any port.
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

fn scheme_fit(record: &EntryRecord<'_>, scheme: Scheme<'_>) -> Option<SchemeFit> {
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
