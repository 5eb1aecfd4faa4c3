//! What an allowed request opens, held to its widget's limits.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Judge;
use crate::edge::admission::client::ClientInfo;
use crate::edge::admission::request::is_preflight;
use crate::edge::admission::route::Route;
use crate::edge::http::message::RequestHead;
use crate::limits::charge::Charge;
use crate::limits::limiter::Limiter;
use crate::limits::opening::{LimitRefusal, Opened, OpenedAt, Opening};
use crate::limits::shares::ShareWait;
use crate::rules::sessions::is_listed;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::{Decision, Facts};

/// Request that may open something, as far as limits ask.
#[derive(Clone, Copy, Debug)]
pub struct Opener<'a> {
    /// The counter of what is opened.
    pub limiter: &'a Arc<Limiter>,
    /// The sender.
    pub client: &'a ClientInfo,
    /// The networks of trusted proxies.
    pub trusted_proxies: &'a [IpNet],
    /// Whether the request is a WebSocket handshake.
    pub is_handshake: bool,
    /// Whether a larger share of a limit may be waited for, in a fleet.
    pub may_wait: bool,
}

/// What a request opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opens {
    /// It counts as an open.
    is_open: bool,
    /// It is a session for as long as it is open.
    pub(super) is_session: bool,
}

/// Verdict after the limits.
pub(super) struct LimitedVerdict {
    pub(super) decision: Decision,
    /// What was taken of the limits.
    pub(super) charge: Option<Charge>,
    /// The client's address, where it counts.
    pub(super) address: Option<IpAddr>,
    /// The limit for which the request is denied.
    pub(super) refusal: Option<LimitRefusal>,
}

impl Opener<'_> {
    /// What the request opens on this route.
    pub(super) fn opens(&self, route: &Route, is_stream: bool) -> Opens {
        Opens { is_open: self.is_handshake || route.opens, is_session: self.is_handshake || is_stream }
    }
}

impl Judge<'_> {
    /// Holds what a request opens to its widget's limits, if it has any. The facts come with the embedder that is counted.
    ///
    /// # Errors
    ///
    /// A larger share of a limit is on its way, and nothing is decided yet.
    #[inline]
    pub(super) fn limit(
        &self,
        widget: Option<&WidgetRules<'_>>,
        facts: (&Facts<'_>, Option<&str>),
        (request, opener, opens, at): (&RequestHead, &Opener<'_>, Opens, OpenedAt),
        verdict: &mut LimitedVerdict,
    ) -> Result<(), ShareWait> {
        match widget {
            Some(widget) if (opens.is_open || opens.is_session) && verdict.decision.is_allowed() => {
                self.limit_opening(widget, facts, (request, opener, opens, at), verdict)
            }
            _ => Ok(()),
        }
    }

    // Not a part of every verdict's code.
    #[inline(never)]
    fn limit_opening(
        &self,
        widget: &WidgetRules<'_>,
        (facts, embedder): (&Facts<'_>, Option<&str>),
        (request, opener, opens, at): (&RequestHead, &Opener<'_>, Opens, OpenedAt),
        verdict: &mut LimitedVerdict,
    ) -> Result<(), ShareWait> {
        let ruled = verdict.decision;
        verdict.address = match widget.limits {
            Some(_) => opener.client.address(request, opener.trusted_proxies),
            // For limits that come later. What proxies say is not worth reading for them.
            None => opener.client.direct_address(),
        };
        if let Some(limits) = widget.limits
            && !is_preflight(request)
            && facts.is_limited(ruled.reason, self.policy)
        {
            let limits = limits.read();
            let opening = Opening {
                widget: widget.id,
                limits: &limits,
                embedder: embedder.unwrap_or_default(),
                is_listed: &|| is_listed(facts, &ruled, widget, self.policy),
                address: verdict.address,
                is_open: opens.is_open,
                is_session: opens.is_session,
                may_wait: opener.may_wait,
            };
            verdict.take(opener.limiter.open(&opening, at))?;
        }
        Ok(())
    }
}

impl LimitedVerdict {
    /// The verdict of the rules alone.
    pub(super) fn of(ruled: Decision) -> Self {
        Self { decision: ruled, charge: None, address: None, refusal: None }
    }

    fn take(&mut self, opened: Opened) -> Result<(), ShareWait> {
        let passed = match opened {
            Opened::Waits(wait) => return Err(wait),
            Opened::Refused(limit) => {
                self.refusal = Some(limit);
                Some(limit)
            }
            Opened::Admitted { charge, beyond } => {
                self.charge = Some(charge);
                beyond
            }
        };
        if let Some(limit) = passed {
            self.decision = self.decision.beyond_limit(limit.mode, limit.reason());
        }
        Ok(())
    }
}
