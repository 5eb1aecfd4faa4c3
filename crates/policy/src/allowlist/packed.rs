//! Byte format of a compiled list.
//!
//! ```text
//! list    = short | sorted                                (no bytes at all when empty)
//! short   = count:u8 record[count]                        (1 to 24 entries, in the order of the document)
//! sorted  = 0xff longest-parent:u8 width:u8 count:u32 offset[count] (varint(place in the document) record)[count]
//! offset  = u16 or u32, by width; from the first record
//! record  = flags:u8 text(host) [port:u16] [second:i64 nanosecond:i32] [text(scheme)] [text(prefix) text(suffix)]
//! text    = varint(length) bytes
//! ```
//! Numbers are little-endian. For `*.name`, `.name` and globs, the host is the name below which they admit. A
//! short list is scanned: for nearly every entry, the length of its host and one byte are enough to skip it.
//! A long list is sorted by host, for binary search. Reading never panics: bytes that this module didn't
//! write read as an empty list.

use std::fmt;

use jiff::Timestamp;

use crate::entry::{Entry, EntryKind, EntryScheme, HostPattern, PortPattern};

mod read;
mod write;

pub(super) use read::{HostQuery, Packed, fills_glob, names_above};
pub(super) use write::pack;

/// Maximum number of entries in a list that is scanned.
const SHORT: usize = 24;
/// First byte of a sorted list.
const SORTED: u8 = u8::MAX;
const NARROW: u8 = 2;
const WIDE: u8 = 4;

const FORM: u8 = 0b0000_0011;
const EXACT: u8 = 0;
const BELOW: u8 = 1;
const AT_OR_BELOW: u8 = 2;
const GLOB: u8 = 3;
const SCHEME: u8 = 0b0000_1100;
const CUSTOM: u8 = 0b0000_1100;
const PORT: u8 = 0b0011_0000;
const EXACT_PORT: u8 = 0b0010_0000;
const EXPIRES: u8 = 0b0100_0000;
const LOOPBACK: u8 = 0b1000_0000;

/// Entry read from the bytes.
#[derive(Clone, Copy)]
pub(super) struct EntryRecord<'a> {
    pub host: &'a [u8],
    pub form: Form<'a>,
    pub scheme: SchemeRule<'a>,
    pub port: PortRule,
    pub loopback: bool,
    pub expires_at: Option<Timestamp>,
    /// The entry's index in the document.
    pub ordinal: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    Exact,
    Below,
    AtOrBelow,
    Glob { prefix: &'a [u8], suffix: &'a [u8] },
}

#[derive(Clone, Copy, PartialEq, Eq)]
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

impl EntryRecord<'_> {
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

/// The text in some bytes; everything that was packed is valid UTF-8.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// The exact host of a lookup key.
fn exact_host(host: &str) -> HostPattern {
    let ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')?.parse().ok());
    let ipv6 = ipv6.map(HostPattern::Ipv6);
    let ipv4 = || host.parse().ok().map(HostPattern::Ipv4);
    ipv6.or_else(ipv4).unwrap_or_else(|| HostPattern::Name(host.into()))
}

/// The canonical text of the entry.
impl fmt::Display for EntryRecord<'_> {
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
