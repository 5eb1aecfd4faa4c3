//! Reader of packed lists: finds the entries that match an origin's host.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::{
    AT_OR_BELOW, BELOW, CUSTOM, EXACT, EXACT_PORT, EXPIRES, EntryRecord, FORM, Form, GLOB, LOOPBACK, NARROW,
    PORT, PortRule, SCHEME, SORTED, SchemeRule, WIDE,
};
use crate::origin::{Host, Origin};
use crate::varint;

/// Host of an origin, for comparison with entries.
#[derive(Clone, Copy)]
pub(in super::super) struct HostQuery<'o> {
    host: &'o [u8],
    /// The host is a name, not an address: only names have parents.
    is_name: bool,
}

impl<'o> HostQuery<'o> {
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

/// Packed list with its parts.
#[derive(Clone, Copy)]
pub(in super::super) enum Packed<'a> {
    /// A list that is scanned.
    Short { count: u8, records: &'a [u8] },
    /// A list that is searched.
    Sorted { longest_parent: u8, offsets: Offsets<'a>, records: &'a [u8] },
}

/// Offsets of the records.
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
    pub fn iter(self) -> impl Iterator<Item = EntryRecord<'a>> {
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

    /// Visits every entry whose host pattern covers the host, until told to stop. Exact entries of one host
    /// come in the order of the document.
    #[inline]
    pub fn for_each_fitting(
        self,
        asked: HostQuery<'_>,
        mut visit: impl FnMut(&EntryRecord<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Self::Short { count, records } = self else { return self.search(asked, visit) };
        let mut next = Cursor { rest: records };
        for ordinal in 0..count {
            let Some(head) = next.head(u32::from(ordinal)) else { break };
            next = head.tail;
            // The flags and the host are enough to skip most records without reading the rest of them.
            if head.covers(asked) {
                let Some(record) = next.record(&head) else { break };
                if record.is_filled_by(asked) {
                    visit(&record)?;
                }
            } else if head.has_tail() {
                // Only to find the start of the next record.
                let Some(_) = next.record(&head) else { break };
            }
        }
        ControlFlow::Continue(())
    }

    /// Searches a sorted list: exact names have the host itself as their key, `*.name` and `.name` a parent
    /// name, globs the direct parent.
    fn search(
        self,
        asked: HostQuery<'_>,
        mut visit: impl FnMut(&EntryRecord<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let longest = match self {
            // `u8::MAX` means that some parent is longer than a byte can say.
            Self::Sorted { longest_parent: u8::MAX, .. } | Self::Short { .. } => usize::MAX,
            Self::Sorted { longest_parent, .. } => usize::from(longest_parent),
        };
        // A visitor's host may have many labels; names longer than any key need no search.
        let parents = asked.parents().filter(|parent| parent.len() <= longest);
        for host in std::iter::once(asked.host).chain(parents) {
            let mut index = self.first_not_below(host);
            // Several entries may have the same key: schemes, ports and kinds differ.
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

    /// Visits every entry whose host is this one or a name above it, and of a list that is scanned others, too, until told
    /// to stop.
    pub fn for_each_above(
        self,
        host: &[u8],
        mut visit: impl FnMut(&EntryRecord<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Self::Short { .. } = self {
            return self.iter().try_for_each(|record| visit(&record));
        }
        for name in names_above(host) {
            let mut index = self.first_not_below(name);
            while let Some(head) = self.at(index).filter(|head| head.host == name) {
                let mut tail = head.tail;
                let Some(record) = tail.record(&head) else { break };
                visit(&record)?;
                index += 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Index of the first record whose host isn't less than `host`, by binary search.
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

    /// The head of the record at `index` of a sorted list.
    fn at(self, index: usize) -> Option<RecordHead<'a>> {
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

/// Start of a record: enough to see whether its host matches.
#[derive(Clone, Copy)]
struct RecordHead<'a> {
    ordinal: u32,
    flags: u8,
    host: &'a [u8],
    tail: Cursor<'a>,
}

impl RecordHead<'_> {
    /// Whether the pattern covers the host. For a glob this checks only the parent; its label needs the whole
    /// record.
    #[expect(clippy::inline_always, reason = "a call for each entry, once more than one question needs it")]
    #[inline(always)]
    fn covers(&self, asked: HostQuery<'_>) -> bool {
        match self.flags & FORM {
            EXACT => self.host == asked.host,
            AT_OR_BELOW => self.host == asked.host || asked.is_below(self.host),
            _ => asked.is_below(self.host),
        }
    }

    /// Whether the record has more fields after its host.
    #[inline]
    fn has_tail(&self) -> bool {
        self.flags & (EXACT_PORT | EXPIRES) != 0 || self.flags & SCHEME == CUSTOM || self.flags & FORM == GLOB
    }
}

impl EntryRecord<'_> {
    /// Whether the host's first label matches a glob; `*` never matches a dot.
    #[inline]
    fn is_filled_by(&self, asked: HostQuery<'_>) -> bool {
        let Form::Glob { prefix, suffix } = self.form else { return true };
        asked.first_label().is_some_and(|(label, parent)| {
            parent.len() == self.host.len() && fills_glob(label, prefix, suffix)
        })
    }
}

/// The name itself, and those above it, nearest first.
pub(in super::super) fn names_above(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::once(name).chain(HostQuery { host: name, is_name: true }.parents())
}

/// Whether `label` is `prefix`, then at least one character, then `suffix`.
pub(in super::super) fn fills_glob(label: &[u8], prefix: &[u8], suffix: &[u8]) -> bool {
    label.len() > prefix.len() + suffix.len() && label.starts_with(prefix) && label.ends_with(suffix)
}

/// Forward reader over bytes; its methods return `None` at the end.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Reads the head of a record, with the cursor after it as its tail.
    #[inline]
    fn head(mut self, ordinal: u32) -> Option<RecordHead<'a>> {
        let flags = self.byte()?;
        let host = self.text()?;
        Some(RecordHead { ordinal, flags, host, tail: self })
    }

    /// Reads the whole record and moves the cursor behind it.
    fn record(&mut self, head: &RecordHead<'a>) -> Option<EntryRecord<'a>> {
        let RecordHead { ordinal, flags, host, .. } = *head;
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
        Some(EntryRecord { host, form, scheme, port, loopback, expires_at, ordinal })
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
