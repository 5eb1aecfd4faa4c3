//! Compiled widgets: documents in the form that requests are judged by.

use crate::allowlist::{Allowlist, AllowlistBuf};
use crate::limits::PackedLimits;
use crate::varint;
use crate::widget::{Access, Environment, Widget, WidgetId};

/// Compiled document of a widget, borrowed from the rule book. Pass it on, but don't keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidgetRules<'a> {
    /// The widget's id.
    pub id: &'a str,
    /// The environment, by which a route picks the upstream.
    pub environment: Environment,
    /// The access in effect: as stated, or by whether there is a list.
    pub access: Access,
    /// `false`: the kill switch is on.
    pub enabled: bool,
    /// The widget may ask for the microphone.
    pub voice: bool,
    /// The public pages answer.
    pub public_trust_center: bool,
    /// The document's revision; 0 if it has none.
    pub revision: u64,
    /// The limits; `None`: nothing is limited.
    pub limits: Option<PackedLimits<'a>>,
    /// The entries.
    pub allowlist: Allowlist<'a>,
}

const ENABLED: u8 = 1;
const VOICE: u8 = 1 << 1;
const TRUST_CENTER: u8 = 1 << 2;
const STAGING: u8 = 1 << 3;
const ACCESS_SHIFT: u32 = 4;
const ACCESS_BITS: u8 = 0b11;
const LIMITS: u8 = 1 << 6;
const FREE: u8 = 1 << 7;

impl<'a> WidgetRules<'a> {
    /// Appends everything but id and entries: `flags:u8 varint(revision) [length:u8 limits]`, where `flags =
    /// enabled:1 voice:1 public_trust_center:1 staging:1 access:2 limits:1`.
    pub fn write_terms(&self, out: &mut Vec<u8>) {
        // Taken apart so that a new field can't be forgotten here.
        let Self {
            id: _,
            environment,
            access,
            enabled,
            voice,
            public_trust_center,
            revision,
            limits,
            allowlist: _,
        } = *self;
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let access: u8 = match access {
            Access::Open => 0,
            Access::Monitor => 1,
            Access::Enforce => 2,
        };
        out.push(
            flag(enabled, ENABLED)
                | flag(voice, VOICE)
                | flag(public_trust_center, TRUST_CENTER)
                | flag(environment == Environment::Staging, STAGING)
                | access << ACCESS_SHIFT
                | flag(limits.is_some(), LIMITS),
        );
        varint::write(out, revision);
        if let Some(PackedLimits(packed)) = limits {
            // The mode and nine numbers of four bytes.
            out.push(packed.len() as u8);
            out.extend_from_slice(packed);
        }
    }

    /// What [`write_terms`](Self::write_terms) wrote, without entries, and what follows it. `None` where the bytes are
    /// something else.
    #[inline]
    pub fn read_terms(id: &'a str, bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&flags, rest) = bytes.split_first()?;
        let (revision, rest) = varint::read(rest)?;
        let access = match flags >> ACCESS_SHIFT & ACCESS_BITS {
            0 => Access::Open,
            1 => Access::Monitor,
            2 => Access::Enforce,
            _ => return None,
        };
        // A bit that is free as yet: a later version's.
        if flags & FREE != 0 {
            return None;
        }
        let (limits, rest) = match flags & LIMITS {
            0 => (None, rest),
            _ => {
                let (length, rest) = rest.split_first()?;
                let (packed, rest) = rest.split_at_checked(usize::from(*length))?;
                (Some(PackedLimits(packed)), rest)
            }
        };
        let terms = Self {
            id,
            environment: if flags & STAGING == 0 { Environment::Production } else { Environment::Staging },
            access,
            enabled: flags & ENABLED != 0,
            voice: flags & VOICE != 0,
            public_trust_center: flags & TRUST_CENTER != 0,
            revision,
            limits,
            allowlist: Allowlist::default(),
        };
        Some((terms, rest))
    }
}

/// Compiled document of a widget, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WidgetRulesBuf {
    pub(crate) id: WidgetId,
    pub(crate) allowlist: AllowlistBuf,
    /// The limits, packed; empty where nothing is limited.
    pub(crate) limits: Vec<u8>,
    /// The remaining fields, without id, limits and entries.
    pub(crate) terms: WidgetRules<'static>,
}

impl WidgetRulesBuf {
    /// The rules, for judging.
    #[inline]
    pub fn as_rules(&self) -> WidgetRules<'_> {
        let limits = (!self.limits.is_empty()).then_some(PackedLimits(&self.limits));
        WidgetRules { id: self.id.as_str(), limits, allowlist: self.allowlist.as_allowlist(), ..self.terms }
    }
}

impl Widget {
    /// Compiles the document.
    pub fn compile(&self) -> WidgetRulesBuf {
        WidgetRulesBuf {
            id: self.id.clone(),
            allowlist: AllowlistBuf::compile(&self.allowed_domains),
            limits: if self.limits.is_empty() { Vec::new() } else { self.limits.pack() },
            terms: WidgetRules {
                id: "",
                environment: self.environment,
                access: self.effective_access(),
                enabled: self.enabled,
                voice: self.has_voice(),
                public_trust_center: self.public_trust_center,
                revision: self.revision.unwrap_or(0),
                limits: None,
                allowlist: Allowlist::default(),
            },
        }
    }
}
