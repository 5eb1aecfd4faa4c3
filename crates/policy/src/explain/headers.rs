//! Response headers in an explanation.

use http::header::{self, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};

use crate::compiled::WidgetRules;
use crate::decision::{Decision, EdgePolicy, Facts, decide};
use crate::headers::{
    CacheRule, Cors, DenialShape, Destination, GivenTicket, Grant, OwnAnswer, OwnProfile, Profile,
    SharedAnswer, allow_origin, cache_control, cors, denial_fields, ticket_cookie, timing_of_ticket,
};
use crate::origin::Origin;
use crate::report::ReportPath;
use crate::verdict::Class;

/// Settings of one route that decide the headers of its answers.
#[derive(Clone, Debug)]
pub struct RouteAnswers {
    /// The fixed fields for a widget without voice.
    pub silent: Profile,
    /// The fixed fields for a widget with voice.
    pub voice: Profile,
    /// The fixed fields of the edge's own answers.
    pub own: OwnProfile,
    /// Whether listed embedders may send cookies.
    pub credentials: bool,
    /// The rule for the upstream's `Cache-Control`.
    pub cache: CacheRule,
    /// Whether browsers see this edge under https.
    pub https: bool,
    /// How long browsers keep the cookie with a frame's ticket; `None`: there are no such cookies.
    pub ticket_cookie: Option<SignedDuration>,
    /// Where browsers send reports; `None`: they are not asked for any.
    pub reports: Option<ReportPath>,
}

impl RouteAnswers {
    pub(super) fn fields(
        &self,
        facts: &Facts<'_>,
        destination: Destination,
        widget: Option<WidgetRules<'_>>,
        policy: &EdgePolicy,
        now: Timestamp,
    ) -> Vec<(String, String)> {
        let decision = decide(facts, widget, policy, now);
        let fields = match widget {
            Some(widget) if decision.is_allowed() => {
                self.allowed(facts, destination, widget, &decision, policy, now)
            }
            _ => self.denied(facts, destination, &decision),
        };
        fields.into_iter().map(|(name, value)| (name.to_string(), text(&value))).collect()
    }

    fn allowed(
        &self,
        facts: &Facts<'_>,
        destination: Destination,
        widget: WidgetRules<'_>,
        decision: &Decision,
        policy: &EdgePolicy,
        now: Timestamp,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let grant = cors(facts.class, decision, &facts.embedder, self.credentials);
        let origin = allow_origin(grant);
        let profile = if widget.voice { &self.voice } else { &self.silent };
        let shared = SharedAnswer { class: facts.class, profile, https: self.https };
        let give = |_: Origin<'_>| {
            let lifetime = self.ticket_cookie.filter(|_| destination == Destination::Document);
            let cookie = lifetime.and_then(|lifetime| ticket_cookie(facts.widget, "...", lifetime));
            Some(GivenTicket { timing: timing_of_ticket("..."), cookie })
        };
        let report_to = self.reports.as_ref().map(|reports| {
            |_: Option<Origin<'_>>, room| reports.address(facts.widget, room, || Some("...".to_owned()))
        });
        let own = OwnAnswer::of(facts, widget, decision, policy, now, give, report_to);
        let mut fields: Vec<_> = shared.set().map(|(name, value)| (name.clone(), value.clone())).collect();
        if let (Some(allow_origin), Some(Cors { credentials, .. })) = (&origin, grant) {
            let grant = Grant { allow_origin, credentials, exposed: profile.exposed() };
            grant.each(|name, value| fields.push((name, value.clone())));
        }
        // The upstream is assumed to say nothing about caching.
        let stated = fields.iter().any(|(name, _)| *name == header::CACHE_CONTROL);
        let caching = cache_control(self.cache, std::iter::empty()).filter(|_| !stated);
        let caching = caching.and_then(|value| HeaderValue::from_str(&value).ok());
        let caching = own.cache_control().or(caching);
        fields.extend(caching.map(|value| (header::CACHE_CONTROL, value)));
        fields.extend(shared.added());
        own.each_added(|name, value| fields.push((name, value)));
        fields
    }

    /// What else to know about an allowed request, if anything.
    pub(super) fn hint(&self, facts: &Facts<'_>) -> Option<&'static str> {
        let is_by_script =
            matches!(facts.class, Class::Asset | Class::Session) && facts.embedder.origin().is_some();
        (is_by_script && !self.credentials).then_some(NO_CREDENTIALS)
    }

    fn denied(
        &self,
        facts: &Facts<'_>,
        destination: Destination,
        decision: &Decision,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let page = DenialShape::of(decision.reason, facts.class, destination).is_page();
        let mut fields = self.own.fields(page, self.https).to_vec();
        let grant = cors(facts.class, decision, &facts.embedder, self.credentials);
        fields.extend(grant.into_iter().flat_map(Cors::into_fields));
        fields.extend(denial_fields(decision.reason));
        fields
    }
}

/// Hint about a script that sends cookies where the route does not allow it: browsers refuse it, not the edge.
pub const NO_CREDENTIALS: &str = "`credentials` of the route is false, so browsers refuse what a script asks with cookies \
                                  (`credentials: \"include\"`), its preflight first; set it to true if the widget does that";

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
