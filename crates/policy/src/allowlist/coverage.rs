//! Coverage: whether a list, or an entry, admits everything that another one admits.
//!
//! Each entry is taken apart into parts of one scheme and one form of host, so that `a.com` and `*.a.com` cover `.a.com`.
//! A part has to be covered by a single entry. Where only several entries together could cover one (globs for a
//! wildcard, single ports for any port, one entry until another expires), it is taken for not covered.

use std::collections::HashMap;
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::Allowlist;
use super::packed::{EntryRecord, Form, PortRule, SchemeRule, fills_glob, names_above};

/// Part of what an entry admits: hosts of one form, by one scheme.
struct EntryPart<'a> {
    host: &'a [u8],
    form: Form<'a>,
    scheme: SchemeRule<'a>,
    port: AdmittedPort,
    expires_at: Option<Timestamp>,
}

/// Port that an entry admits for one of its schemes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AdmittedPort {
    Any,
    /// No port, for custom schemes.
    None,
    Only(u16),
}

impl Allowlist<'_> {
    /// Whether this list admits everything that `other` admits, now and for as long as `other` does. What only several
    /// entries together admit counts as not admitted, so `true` is certain and `false` is not.
    pub fn covers(self, other: Allowlist<'_>, now: Timestamp) -> bool {
        let covered = |part: EntryPart<'_>| {
            let found = self.packed().for_each_above(part.host, |wider| {
                if is_live(wider, now) && wider.covers_part(&part) {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            found.is_break()
        };
        self.bytes == other.bytes
            || other
                .packed()
                .iter()
                .filter(|record| is_live(record, now))
                .all(|record| record.parts().all(covered))
    }

    /// For each entry, by its index in the document, one that shadows it: another that admits all the same and does not
    /// expire earlier. Expired entries shadow nothing and are not reported.
    pub(crate) fn shadows(self, now: Timestamp) -> Vec<Option<usize>> {
        let mut records: Vec<EntryRecord<'_>> = self.packed().iter().collect();
        records.sort_by_key(|record| record.ordinal);
        // An entry that covers another has the same host or a parent name.
        let mut by_host: HashMap<&[u8], Vec<&EntryRecord<'_>>> = HashMap::new();
        for record in records.iter().filter(|record| is_live(record, now)) {
            by_host.entry(record.host).or_default().push(record);
        }
        let shadowing = |record: &EntryRecord<'_>| {
            let candidates = names_above(record.host).filter_map(|name| by_host.get(name)).flatten();
            candidates.copied().find(|wider| {
                // Of two equal entries, the later one is redundant.
                wider.ordinal != record.ordinal
                    && wider.covers(record)
                    && (wider.ordinal < record.ordinal || !record.admits_all_of(wider))
            })
        };
        let told = |record| if is_live(record, now) { shadowing(record) } else { None };
        records
            .iter()
            .map(|record| told(record).and_then(|wider| usize::try_from(wider.ordinal).ok()))
            .collect()
    }
}

fn is_live(record: &EntryRecord<'_>, now: Timestamp) -> bool {
    record.expires_at.is_none_or(|at| now < at)
}

impl<'a> EntryRecord<'a> {
    /// Whether this entry admits everything that the other one admits, for as long as that lives.
    fn covers(&self, narrower: &EntryRecord<'_>) -> bool {
        self.lives_as_long_as(narrower.expires_at) && self.admits_all_of(narrower)
    }

    /// The same, whenever they expire.
    fn admits_all_of(&self, narrower: &EntryRecord<'_>) -> bool {
        narrower.parts().all(|part| self.admits_part(&part))
    }

    fn covers_part(&self, part: &EntryPart<'_>) -> bool {
        self.lives_as_long_as(part.expires_at) && self.admits_part(part)
    }

    fn lives_as_long_as(&self, other: Option<Timestamp>) -> bool {
        match (self.expires_at, other) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        }
    }

    fn admits_part(&self, part: &EntryPart<'_>) -> bool {
        let by_scheme = |scheme| {
            let port = self.port_by(scheme);
            scheme == part.scheme && (port == AdmittedPort::Any || port == part.port)
        };
        self.covers_host(part) && self.schemes().any(by_scheme)
    }

    fn covers_host(&self, part: &EntryPart<'_>) -> bool {
        let (own, other) = (self.host, part.host);
        match (self.form, part.form) {
            (Form::Exact, Form::Exact) => own == other,
            (Form::Below, Form::Exact) => is_below(other, own),
            (Form::AtOrBelow, Form::Exact)
            | (Form::Below | Form::AtOrBelow, Form::Below | Form::Glob { .. }) => {
                own == other || is_below(other, own)
            }
            (Form::Glob { prefix, suffix }, Form::Exact) => {
                let mut labels = other.splitn(2, |byte| *byte == b'.');
                let label = labels.next().unwrap_or_default();
                labels.next() == Some(own) && fills_glob(label, prefix, suffix)
            }
            (Form::Glob { prefix, suffix }, Form::Glob { prefix: inner_prefix, suffix: inner_suffix }) => {
                own == other && inner_prefix.starts_with(prefix) && inner_suffix.ends_with(suffix)
            }
            // Parts are of no such form.
            (_, Form::AtOrBelow) | (Form::Exact | Form::Glob { .. }, _) => false,
        }
    }

    fn parts(&self) -> impl Iterator<Item = EntryPart<'a>> + use<'a> {
        let record = *self;
        let forms = match record.form {
            Form::AtOrBelow => [Some(Form::Exact), Some(Form::Below)],
            form => [Some(form), None],
        };
        let forms = forms.into_iter().flatten();
        forms.flat_map(move |form| {
            record.schemes().map(move |scheme| EntryPart {
                host: record.host,
                form,
                scheme,
                port: record.port_by(scheme),
                expires_at: record.expires_at,
            })
        })
    }

    /// The schemes that the entry admits.
    fn schemes(&self) -> impl Iterator<Item = SchemeRule<'a>> + use<'a> {
        let schemes = match self.scheme {
            SchemeRule::Unstated if self.loopback => [Some(SchemeRule::Https), Some(SchemeRule::Http)],
            SchemeRule::Unstated => [Some(SchemeRule::Https), None],
            stated => [Some(stated), None],
        };
        schemes.into_iter().flatten()
    }

    fn port_by(&self, scheme: SchemeRule<'_>) -> AdmittedPort {
        match (self.port, scheme) {
            (PortRule::Any, _) => AdmittedPort::Any,
            (PortRule::Exact(port), _) => AdmittedPort::Only(port),
            (PortRule::Unstated, SchemeRule::Custom(_)) => AdmittedPort::None,
            (PortRule::Unstated, _) if self.loopback => AdmittedPort::Any,
            (PortRule::Unstated, SchemeRule::Http) => AdmittedPort::Only(80),
            (PortRule::Unstated, SchemeRule::Https | SchemeRule::Unstated) => AdmittedPort::Only(443),
        }
    }
}

/// Whether `name` is a name below `parent`. Addresses are below nothing.
fn is_below(name: &[u8], parent: &[u8]) -> bool {
    let is_address = name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    !is_address && name.strip_suffix(parent).is_some_and(|front| front.len() > 1 && front.ends_with(b"."))
}

#[cfg(test)]
mod tests;
