use crate::policy::allowlist::{Allowlist, AllowlistBuf};
use crate::policy::widget::{Access, Environment, WidgetId};

/// What the edge reads of a widget: its document, compiled. A view, to be passed on and not to be kept: what it
/// shows lies in the rule book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidgetRules<'a> {
    /// The widget.
    pub id: &'a str,
    /// Which upstream a route picks.
    pub environment: Environment,
    /// The access in effect: stated, or from whether there is a list.
    pub access: Access,
    /// `false`: the kill switch is on.
    pub enabled: bool,
    /// The widget may ask for the microphone.
    pub voice: bool,
    /// Its public pages answer.
    pub public_trust_center: bool,
    /// The document's revision; 0 where it has none.
    pub revision: u64,
    /// The entries.
    pub allowlist: Allowlist<'a>,
}

/// A document, compiled by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WidgetRulesBuf {
    pub(in crate::policy) id: WidgetId,
    pub(in crate::policy) allowlist: AllowlistBuf,
    /// What holds besides, without id and entries.
    pub(in crate::policy) terms: WidgetRules<'static>,
}

impl WidgetRulesBuf {
    /// The rules, to be asked.
    #[inline]
    pub fn as_rules(&self) -> WidgetRules<'_> {
        WidgetRules { id: self.id.as_str(), allowlist: self.allowlist.as_allowlist(), ..self.terms }
    }
}
