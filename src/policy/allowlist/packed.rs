//! The bytes of a compiled list.
//!
//! ```text
//! list    = longest-parent:u8 width:u8 count:u32 offset[count] record[count]     (no bytes at all when empty)
//! offset  = u16 or u32, by width; from the first record
//! record  = text(host) flags:u8 varint(place in the document) [port:u16] [second:i64 nanosecond:i32]
//!           [text(scheme)] [text(prefix) text(suffix)]
//! text    = varint(length) bytes
//! ```
//! Numbers are little-endian, records sorted by host. For `*.name`, `.name` and globs the host is the name
//! below which they admit. Reading never panics: bytes that this module didn't write read as an empty list.

use std::fmt;

use jiff::Timestamp;

use crate::policy::entry::{Entry, EntryKind, EntryScheme, HostPattern, PortPattern};

mod write;

pub(super) use write::pack;

const HEADER: usize = 6;
const NARROW: u8 = 2;
const WIDE: u8 = 4;

const FORM: u8 = 0b0000_0011;
const SCHEME: u8 = 0b0000_1100;
const PORT: u8 = 0b0011_0000;
const EXPIRES: u8 = 0b0100_0000;
const LOOPBACK: u8 = 0b1000_0000;

/// One entry, read out of the bytes.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub host: &'a [u8],
    pub form: Form<'a>,
    pub scheme: SchemeRule<'a>,
    pub port: PortRule,
    pub loopback: bool,
    pub expires_at: Option<Timestamp>,
    /// Its place in the document.
    pub ordinal: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    Exact,
    Below,
    AtOrBelow,
    Glob { prefix: &'a [u8], suffix: &'a [u8] },
}

#[derive(Clone, Copy)]
pub(super) enum SchemeRule<'a> {
    Unstated,
    Http,
    Https,
    Custom(&'a [u8]),
}

impl SchemeRule<'_> {
    pub fn is_custom(self) -> bool {
        matches!(self, SchemeRule::Custom(_))
    }
}

#[derive(Clone, Copy)]
pub(super) enum PortRule {
    Unstated,
    Any,
    Exact(u16),
}

impl Record<'_> {
    pub fn kind(&self) -> EntryKind {
        match self.form {
            Form::Exact => EntryKind::Exact,
            Form::Below | Form::AtOrBelow => EntryKind::Wildcard,
            Form::Glob { .. } => EntryKind::Glob,
        }
    }

    /// The entry that was packed.
    pub fn to_entry(self) -> Entry {
        let owned = |bytes| Box::<str>::from(text(bytes));
        let scheme = match self.scheme {
            SchemeRule::Unstated => None,
            SchemeRule::Http => Some(EntryScheme::Http),
            SchemeRule::Https => Some(EntryScheme::Https),
            SchemeRule::Custom(scheme) => Some(EntryScheme::Custom(owned(scheme))),
        };
        let host = match self.form {
            Form::Exact => exact_host(text(self.host)),
            Form::Below => HostPattern::Below(owned(self.host)),
            Form::AtOrBelow => HostPattern::AtOrBelow(owned(self.host)),
            Form::Glob { prefix, suffix } => {
                HostPattern::Glob { prefix: owned(prefix), suffix: owned(suffix), parent: owned(self.host) }
            }
        };
        let port = match self.port {
            PortRule::Unstated => PortPattern::Unstated,
            PortRule::Any => PortPattern::Any,
            PortRule::Exact(port) => PortPattern::Exact(port),
        };
        Entry::restored(scheme, host, port)
    }
}

/// Everything was text when it was packed.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// An exact host, from the text under which it is looked up.
fn exact_host(host: &str) -> HostPattern {
    let ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')?.parse().ok());
    let ipv6 = ipv6.map(HostPattern::Ipv6);
    let ipv4 = || host.parse().ok().map(HostPattern::Ipv4);
    ipv6.or_else(ipv4).unwrap_or_else(|| HostPattern::Name(host.into()))
}

/// The canonical text of the entry.
impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            SchemeRule::Unstated => {}
            SchemeRule::Http => f.write_str("http://")?,
            SchemeRule::Https => f.write_str("https://")?,
            SchemeRule::Custom(scheme) => write!(f, "{}://", text(scheme))?,
        }
        match self.form {
            Form::Exact => {}
            Form::Below => f.write_str("*.")?,
            Form::AtOrBelow => f.write_str(".")?,
            Form::Glob { prefix, suffix } => write!(f, "{}*{}.", text(prefix), text(suffix))?,
        }
        f.write_str(text(self.host))?;
        match self.port {
            PortRule::Unstated => Ok(()),
            PortRule::Any => f.write_str(":*"),
            PortRule::Exact(port) => write!(f, ":{port}"),
        }
    }
}

/// A packed list, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    longest_parent: u8,
    offsets: Offsets<'a>,
    records: &'a [u8],
}

/// Where the records begin.
#[derive(Clone, Copy)]
enum Offsets<'a> {
    Narrow(&'a [[u8; NARROW as usize]]),
    Wide(&'a [[u8; WIDE as usize]]),
}

impl<'a> Packed<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::read(bytes).unwrap_or(Self { longest_parent: 0, offsets: Offsets::Narrow(&[]), records: &[] })
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[longest_parent, width, c0, c1, c2, c3], rest) = bytes.split_first_chunk::<HEADER>()?;
        let count = usize::try_from(u32::from_le_bytes([c0, c1, c2, c3])).ok()?;
        let (offsets, records) = rest.split_at_checked(count.checked_mul(usize::from(width))?)?;
        let offsets = match width {
            NARROW => Offsets::Narrow(offsets.as_chunks().0),
            WIDE => Offsets::Wide(offsets.as_chunks().0),
            _ => return None,
        };
        Some(Self { longest_parent, offsets, records })
    }

    pub fn len(&self) -> usize {
        match self.offsets {
            Offsets::Narrow(offsets) => offsets.len(),
            Offsets::Wide(offsets) => offsets.len(),
        }
    }

    /// The longest host, in bytes, below which an entry admits names: longer parents need no look-up.
    pub fn longest_parent(&self) -> usize {
        match self.longest_parent {
            u8::MAX => usize::MAX,
            length => usize::from(length),
        }
    }

    /// Every entry, by host.
    pub fn iter(self) -> impl Iterator<Item = Record<'a>> {
        (0..self.len()).map_while(move |index| self.record(index))
    }

    /// Visits the entries under `host`.
    pub fn for_each_at(&self, host: &[u8], mut visit: impl FnMut(&Record<'a>)) {
        let mut index = self.first_not_below(host);
        while let Some(record) = self.at(index).filter(|at| at.host() == Some(host)).and_then(Cursor::record)
        {
            visit(&record);
            index += 1;
        }
    }

    /// Binary search for the first record whose host isn't less than `host`.
    fn first_not_below(&self, host: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.at(middle).and_then(|at| at.host()).is_some_and(|found| found < host) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn record(&self, index: usize) -> Option<Record<'a>> {
        self.at(index)?.record()
    }

    fn at(&self, index: usize) -> Option<Cursor<'a>> {
        let offset = match self.offsets {
            Offsets::Narrow(offsets) => usize::from(u16::from_le_bytes(*offsets.get(index)?)),
            Offsets::Wide(offsets) => usize::try_from(u32::from_le_bytes(*offsets.get(index)?)).ok()?,
        };
        Some(Cursor { rest: self.records.get(offset..)? })
    }
}

/// Reads forward; `None` at the end of the bytes.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn record(mut self) -> Option<Record<'a>> {
        let host = self.text()?;
        let flags = self.byte()?;
        let ordinal = u32::try_from(self.varint()?).ok()?;
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
            0 => Form::Exact,
            1 => Form::Below,
            2 => Form::AtOrBelow,
            _ => Form::Glob { prefix: self.text()?, suffix: self.text()? },
        };
        let loopback = flags & LOOPBACK != 0;
        Some(Record { host, form, scheme, port, loopback, expires_at, ordinal })
    }

    fn host(&self) -> Option<&'a [u8]> {
        Cursor { rest: self.rest }.text()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.varint()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn varint(&mut self) -> Option<usize> {
        let first = self.byte()?;
        // Nearly all of them.
        if first < 0x80 {
            return Some(usize::from(first));
        }
        let mut number = usize::from(first & 0x7f);
        for shift in (7..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}
