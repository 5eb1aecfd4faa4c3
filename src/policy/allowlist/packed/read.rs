//! From bytes to the entries that an origin's host fits.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::{
    AT_OR_BELOW, BELOW, CUSTOM, EXACT, EXACT_PORT, EXPIRES, FORM, Form, GLOB, LOOPBACK, NARROW, PORT,
    PortRule, Record, SCHEME, SORTED, SchemeRule, WIDE,
};
use crate::policy::origin::{Host, Origin};
use crate::policy::varint;

/// The host of an origin, as entries are compared with it.
#[derive(Clone, Copy)]
pub(in super::super) struct Asked<'o> {
    host: &'o [u8],
    /// Addresses lie below nothing.
    is_name: bool,
}

impl<'o> Asked<'o> {
    #[inline]
    pub fn of(origin: Origin<'o>) -> Self {
        Self { host: origin.host_str().as_bytes(), is_name: matches!(origin.host(), Host::Name(_)) }
    }

    /// Whether the host is a name below `parent`, at whatever depth: `a.example.com` below `example.com`.
    #[inline]
    fn is_below(self, parent: &[u8]) -> bool {
        let Some(dot) = self.host.len().checked_sub(parent.len() + 1) else { return false };
        self.is_name && self.host.get(dot) == Some(&b'.') && self.host.get(dot + 1..) == Some(parent)
    }

    /// The first label and what follows its dot.
    fn first_label(self) -> Option<(&'o [u8], &'o [u8])> {
        let dot = self.host.iter().position(|byte| *byte == b'.')?;
        let (label, rest) = self.host.split_at_checked(dot)?;
        Some((label, rest.get(1..)?))
    }

    /// The names above the host, nearest first.
    fn parents(self) -> impl Iterator<Item = &'o [u8]> {
        let host = if self.is_name { self.host } else { &[] };
        let dots = host.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        dots.filter_map(move |(dot, _)| host.get(dot + 1..))
    }
}

/// A packed list, taken apart.
#[derive(Clone, Copy)]
pub(in super::super) enum Packed<'a> {
    /// Read through.
    Short { count: u8, records: &'a [u8] },
    /// Searched.
    Sorted { longest_parent: u8, offsets: Offsets<'a>, records: &'a [u8] },
}

/// Where the records begin.
#[derive(Clone, Copy)]
pub(in super::super) enum Offsets<'a> {
    Narrow(&'a [[u8; NARROW as usize]]),
    Wide(&'a [[u8; WIDE as usize]]),
}

impl<'a> Packed<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        match bytes.split_first() {
            None => Self::NONE,
            Some((&SORTED, rest)) => Self::sorted(rest).unwrap_or(Self::NONE),
            Some((&count, records)) => Self::Short { count, records },
        }
    }

    const NONE: Self = Self::Short { count: 0, records: &[] };

    fn sorted(bytes: &'a [u8]) -> Option<Self> {
        let (&[longest_parent, width, c0, c1, c2, c3], rest) = bytes.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes([c0, c1, c2, c3])).ok()?;
        let (offsets, records) = rest.split_at_checked(count.checked_mul(usize::from(width))?)?;
        let offsets = match width {
            NARROW => Offsets::Narrow(offsets.as_chunks().0),
            WIDE => Offsets::Wide(offsets.as_chunks().0),
            _ => return None,
        };
        Some(Self::Sorted { longest_parent, offsets, records })
    }

    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Short { count, .. } => usize::from(count),
            Self::Sorted { offsets: Offsets::Narrow(offsets), .. } => offsets.len(),
            Self::Sorted { offsets: Offsets::Wide(offsets), .. } => offsets.len(),
        }
    }

    /// Every entry, in the order of the bytes.
    pub fn iter(self) -> impl Iterator<Item = Record<'a>> {
        let (mut index, mut next) = (0, Cursor { rest: &[] });
        if let Self::Short { records, .. } = self {
            next = Cursor { rest: records };
        }
        std::iter::from_fn(move || {
            if index >= self.len() {
                return None;
            }
            let head = match self {
                Self::Short { .. } => next.head(u32::try_from(index).ok()?)?,
                Self::Sorted { .. } => self.at(index)?,
            };
            index += 1;
            next = head.tail;
            next.record(&head)
        })
    }

    /// Visits every entry whose host pattern covers the host, exact ones of one host in the order of the document,
    /// until told to stop.
    #[inline]
    pub fn for_each_fitting(
        self,
        asked: Asked<'_>,
        mut visit: impl FnMut(&Record<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Self::Short { count, records } = self else { return self.search(asked, visit) };
        let mut next = Cursor { rest: records };
        for ordinal in 0..count {
            let Some(head) = next.head(u32::from(ordinal)) else { break };
            next = head.tail;
            if head.covers(asked) {
                let Some(record) = next.record(&head) else { break };
                if record.is_filled_by(asked) {
                    visit(&record)?;
                }
            } else if head.has_tail() {
                // To where the next one begins.
                let Some(_) = next.record(&head) else { break };
            }
        }
        ControlFlow::Continue(())
    }

    /// Exact names stand under the host itself, `*.name` and `.name` under a name above, globs under the name
    /// directly above.
    fn search(
        self,
        asked: Asked<'_>,
        mut visit: impl FnMut(&Record<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let longest = match self {
            // The mark for longer ones.
            Self::Sorted { longest_parent: u8::MAX, .. } | Self::Short { .. } => usize::MAX,
            Self::Sorted { longest_parent, .. } => usize::from(longest_parent),
        };
        let parents = asked.parents().filter(|parent| parent.len() <= longest);
        for host in std::iter::once(asked.host).chain(parents) {
            let mut index = self.first_not_below(host);
            while let Some(head) = self.at(index).filter(|head| head.host == host) {
                let mut tail = head.tail;
                let Some(record) = tail.record(&head) else { break };
                if head.covers(asked) && record.is_filled_by(asked) {
                    visit(&record)?;
                }
                index += 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Binary search for the first record whose host isn't less than `host`.
    fn first_not_below(self, host: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.at(middle).is_some_and(|found| found.host < host) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// An entry of a sorted list.
    fn at(self, index: usize) -> Option<Head<'a>> {
        let Self::Sorted { offsets, records, .. } = self else { return None };
        let offset = match offsets {
            Offsets::Narrow(offsets) => usize::from(u16::from_le_bytes(*offsets.get(index)?)),
            Offsets::Wide(offsets) => usize::try_from(u32::from_le_bytes(*offsets.get(index)?)).ok()?,
        };
        let mut at = Cursor { rest: records.get(offset..)? };
        let ordinal = u32::try_from(at.varint()?).ok()?;
        at.head(ordinal)
    }
}

/// What an entry is told by at a glance.
#[derive(Clone, Copy)]
struct Head<'a> {
    ordinal: u32,
    flags: u8,
    host: &'a [u8],
    tail: Cursor<'a>,
}

impl Head<'_> {
    /// Whether the pattern covers the host, as far as the host tells: a glob's label is judged by the whole record.
    #[inline]
    fn covers(&self, asked: Asked<'_>) -> bool {
        match self.flags & FORM {
            EXACT => self.host == asked.host,
            AT_OR_BELOW => self.host == asked.host || asked.is_below(self.host),
            _ => asked.is_below(self.host),
        }
    }

    /// Whether the record goes on behind its host.
    #[inline]
    fn has_tail(&self) -> bool {
        self.flags & (EXACT_PORT | EXPIRES) != 0 || self.flags & SCHEME == CUSTOM || self.flags & FORM == GLOB
    }
}

impl Record<'_> {
    /// Whether the host's first label fills the `*` of a glob, which never crosses a dot.
    #[inline]
    fn is_filled_by(&self, asked: Asked<'_>) -> bool {
        let Form::Glob { prefix, suffix } = self.form else { return true };
        asked.first_label().is_some_and(|(label, parent)| {
            parent.len() == self.host.len() && fills_glob(label, prefix, suffix)
        })
    }
}

/// Whether `label` is `prefix`, at least one character, `suffix`.
fn fills_glob(label: &[u8], prefix: &[u8], suffix: &[u8]) -> bool {
    label.len() > prefix.len() + suffix.len() && label.starts_with(prefix) && label.ends_with(suffix)
}

/// Reads forward; `None` at the end of the bytes.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// The front of a record; its tail is where the cursor stands then.
    #[inline]
    fn head(mut self, ordinal: u32) -> Option<Head<'a>> {
        let flags = self.byte()?;
        let host = self.text()?;
        Some(Head { ordinal, flags, host, tail: self })
    }

    /// The whole of it; the cursor stands behind it then.
    fn record(&mut self, head: &Head<'a>) -> Option<Record<'a>> {
        let Head { ordinal, flags, host, .. } = *head;
        let port = match (flags & PORT) >> 4 {
            0 => PortRule::Unstated,
            1 => PortRule::Any,
            _ => PortRule::Exact(u16::from_le_bytes(self.array()?)),
        };
        let expires_at = if flags & EXPIRES == 0 {
            None
        } else {
            let second = i64::from_le_bytes(self.array()?);
            let nanosecond = i32::from_le_bytes(self.array()?);
            Some(Timestamp::new(second, nanosecond).ok()?)
        };
        let scheme = match (flags & SCHEME) >> 2 {
            0 => SchemeRule::Unstated,
            1 => SchemeRule::Http,
            2 => SchemeRule::Https,
            _ => SchemeRule::Custom(self.text()?),
        };
        let form = match flags & FORM {
            EXACT => Form::Exact,
            BELOW => Form::Below,
            AT_OR_BELOW => Form::AtOrBelow,
            _ => Form::Glob { prefix: self.text()?, suffix: self.text()? },
        };
        let loopback = flags & LOOPBACK != 0;
        Some(Record { host, form, scheme, port, loopback, expires_at, ordinal })
    }

    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let (number, rest) = varint::read(self.rest)?;
        self.rest = rest;
        Some(number)
    }
}
