//! A widget's entries as requests are judged by them: one block of bytes, sorted by host.
//!
//! Matching looks up the embedder's host, then each name above it: exact names stand under the host itself,
//! `*.name` and `.name` under a name above, globs under the name directly above. Each look-up is a binary
//! search; only the entries of one and the same host are walked through. Nothing is allocated and nothing is
//! parsed.

use std::fmt;

use jiff::Timestamp;

use super::decision::Reason;
use super::entry::{Entry, EntryKind};
use super::origin::{Host, Origin, Scheme};
use super::widget::Rule;

mod packed;

use packed::{Form, Packed, PortRule, Record, SchemeRule};

/// The compiled form of a list. One heap block, about eight bytes more for each entry than its text; an empty
/// list has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Allowlist {
    bytes: Box<[u8]>,
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

impl Allowlist {
    /// Compiles the rules of a document.
    pub fn compile(rules: &[Rule]) -> Allowlist {
        Allowlist { bytes: packed::pack(rules) }
    }

    /// The number of entries, expired ones included.
    pub fn len(&self) -> usize {
        self.packed().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The compiled form itself, to be kept; [`Allowlist::PACKED_FORMAT`] says how to read it.
    pub fn packed_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A list from [`Allowlist::packed_bytes`] of the same format. Other bytes make a list that admits less.
    pub fn from_packed(bytes: &[u8]) -> Allowlist {
        Allowlist { bytes: bytes.into() }
    }

    /// Grows when compiled bytes come to mean something else.
    pub const PACKED_FORMAT: u64 = 1;

    /// The bytes that it takes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Which entry admits `origin`, or how near the list comes to it.
    pub fn judge(&self, origin: Origin<'_>, now: Timestamp) -> Judgement {
        let mut best: Option<(Nearness, EntryKind, u32)> = None;
        self.packed().for_each_fitting_host(origin, |record| {
            if let Some(nearness) = nearness(record, origin, now) {
                let candidate = (nearness, record.kind(), record.ordinal);
                if best.is_none_or(|best| rank(candidate) < rank(best)) {
                    best = Some(candidate);
                }
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
    pub fn entry(&self, index: u32) -> Option<impl fmt::Display + '_> {
        self.packed().iter().find(|record| record.ordinal == index)
    }

    /// Every entry that has not expired, in the order of their hosts. Allocates: for what is made of the list
    /// as a whole.
    pub fn entries(&self, now: Timestamp) -> impl Iterator<Item = Entry> {
        let live = move |record: &Record<'_>| record.expires_at.is_none_or(|at| now < at);
        self.packed().iter().filter(live).map(|record| record.to_entry())
    }

    /// The first instant later than `after` at which an entry expires.
    pub fn next_expiry(&self, after: Timestamp) -> Option<Timestamp> {
        self.packed().iter().filter_map(|record| record.expires_at).filter(|at| *at > after).min()
    }

    fn packed(&self) -> Packed<'_> {
        Packed::new(&self.bytes)
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

impl Packed<'_> {
    /// Visits every entry whose host pattern covers the origin's host.
    fn for_each_fitting_host(&self, origin: Origin<'_>, mut visit: impl FnMut(&Record<'_>)) {
        let host = origin.host_str();
        self.for_each_at(host.as_bytes(), |record| {
            if matches!(record.form, Form::Exact | Form::AtOrBelow) {
                visit(record);
            }
        });
        let Host::Name(_) = origin.host() else { return };
        let mut rest = host;
        let mut first_label = Some(host);
        while let Some((label, parent)) = rest.split_once('.') {
            // Only directly below the glob's parent: a `*` inside a label never crosses a dot.
            let glob_label = first_label.take().map(|_| label);
            if parent.len() <= self.longest_parent() {
                self.for_each_at(parent.as_bytes(), |record| match record.form {
                    Form::Below | Form::AtOrBelow => visit(record),
                    Form::Glob { prefix, suffix } => {
                        if glob_label.is_some_and(|label| fills_glob(label.as_bytes(), prefix, suffix)) {
                            visit(record);
                        }
                    }
                    Form::Exact => {}
                });
            }
            rest = parent;
        }
    }
}

/// Whether `label` is `prefix`, at least one character, `suffix`.
fn fills_glob(label: &[u8], prefix: &[u8], suffix: &[u8]) -> bool {
    label.len() > prefix.len() + suffix.len() && label.starts_with(prefix) && label.ends_with(suffix)
}

#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
