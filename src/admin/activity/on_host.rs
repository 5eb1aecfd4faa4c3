//! Widgets that the sites of one host have loaded, or tried to.

use jiff::{SignedDuration, Timestamp};

use super::gather::{AT_ONCE, Gather};
use super::overview::{MOST_TOLD, PageOfWidgets, WidgetOverview};
use super::sites::SiteJudge;
use crate::activity::seen::{
    ClientCounts, EmbedderActivity, EntryActivity, FrequentEmbedders, WidgetActivity,
};
use crate::admin::problem::Problem;
use crate::admin::{Admin, refusal};
use crate::rules::documents::listed_before;
use embedgate_policy::entry::{Entry, EntryKind, EntryScheme, PortPattern};
use embedgate_policy::origin::Origin;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::WidgetId;

/// Filter of sites by their host, and by scheme and port where they are stated.
#[derive(Clone, Debug)]
pub(super) struct HostFilter(Entry);

impl HostFilter {
    /// Reads a host as entries are read. A public suffix is one, too: what is asked for is not listed by that.
    pub(super) fn parse(text: &str, suffixes: &PublicSuffixes) -> Result<Self, Problem> {
        let written = text.strip_suffix('/').unwrap_or(text);
        listed_before(written, suffixes).map(Self).map_err(|error| {
            let detail = match error.suggestion {
                Some(meant) => format!("{}; did you mean `{meant}`?", error.detail),
                None => format!(
                    "{}; write a host such as `old.preview.example.com` or `*.preview.example.com`",
                    error.detail
                ),
            };
            Problem::invalid_parameter("host", detail)
        })
    }

    fn takes(&self, origin: &str) -> bool {
        let Self(entry) = self;
        Origin::parse(origin).is_ok_and(|origin| {
            entry.admits_host(origin)
                && (entry.scheme().is_none() || entry.admits_scheme(origin))
                && (entry.port() == PortPattern::Unstated || entry.admits_port(origin))
        })
    }
}

/// One page of them.
pub(super) fn page(
    admin: &Admin,
    gather: &mut Gather<'_>,
    after: Option<WidgetId>,
    limit: usize,
    asked: &AskedSites<'_>,
) -> Result<PageOfWidgets, Problem> {
    let (mut page, mut sites) = (PageOfWidgets::default(), 0);
    let mut after: Option<Box<str>> = after.map(|id| id.as_str().into());
    while page.looked_at < limit && sites < MOST_TOLD {
        let seen = gather.some(after.as_deref(), AT_ONCE.min(limit - page.looked_at))?;
        let Some((last, _)) = seen.last() else { return Ok(page) };
        after = Some(last.clone());
        page.looked_at += seen.len();
        for (id, activity) in &seen {
            if let Some(told) = of_widget(admin, id, activity, asked)? {
                sites += told.sites();
                page.widgets.push(told);
            }
        }
    }
    if !gather.some(after.as_deref(), 1)?.is_empty() {
        let last = after.as_deref().map(WidgetId::parse).transpose();
        page.next = last.map_err(|error| Problem::internal(error.to_string()))?;
    }
    Ok(page)
}

/// Sites that are asked for.
pub(super) struct AskedSites<'h> {
    pub(super) host: &'h HostFilter,
    /// How far back.
    pub(super) lately: SignedDuration,
    pub(super) now: Timestamp,
}

impl AskedSites<'_> {
    fn has(&self, seen: &EmbedderActivity) -> bool {
        self.host.takes(&seen.origin) && self.now.duration_since(seen.last) <= self.lately
    }
}

/// A widget with its sites that are asked for; `None` if there are none.
fn of_widget(
    admin: &Admin,
    id: &str,
    activity: &WidgetActivity,
    asked: &AskedSites<'_>,
) -> Result<Option<WidgetOverview>, Problem> {
    let of_host = |list: &FrequentEmbedders| FrequentEmbedders {
        embedders: list.embedders.iter().filter(|seen| asked.has(seen)).cloned().collect(),
        untracked: list.untracked,
    };
    let mut admitted = of_host(&activity.admitted);
    admitted.embedders.extend(untold(activity).filter(|seen| asked.has(seen)));
    let (refused, reported) = (of_host(&activity.refused), of_host(&activity.reported));
    if [&admitted, &refused, &reported].iter().all(|list| list.embedders.is_empty()) {
        return Ok(None);
    }
    let widget = admin.publisher.documents().get(id).map_err(|error| refusal::of_storage(&error))?;
    // One that is deleted is loaded by nobody.
    let Some(widget) = widget else { return Ok(None) };
    let judge = SiteJudge::new(&widget, &admin.policy.load(), asked.now);
    let mut overview = WidgetOverview::of(admin, &widget, activity, (asked.lately, asked.now))?;
    overview.admitted_sites = judge.all_told(&admitted);
    overview.refused_sites = judge.all_told(&refused);
    overview.reported_sites = judge.all_told(&reported);
    Ok(Some(overview))
}

/// Sites that only the use of their own entry tells of: among very many sites, a rare one is not kept by itself.
fn untold(activity: &WidgetActivity) -> impl Iterator<Item = EmbedderActivity> {
    let is_known =
        |site: &EmbedderActivity| activity.admitted.embedders.iter().any(|seen| seen.origin == site.origin);
    let sites = activity.entries.iter().filter_map(|(entry, used)| site_of(entry, *used));
    sites.filter(move |site| !is_known(site))
}

/// The only site that an entry admits, with the use of the entry.
fn site_of(entry: &str, used: EntryActivity) -> Option<EmbedderActivity> {
    let parsed = listed_before(entry, PublicSuffixes::shipped()).ok()?;
    let scheme = match parsed.scheme() {
        Some(scheme) => scheme,
        // Such an entry admits several origins.
        None if parsed.is_loopback() => return None,
        None => EntryScheme::Https,
    };
    let is_one = parsed.kind() == EntryKind::Exact && parsed.port() != PortPattern::Any;
    let origin = format!("{}://{}{}", scheme.as_str(), parsed.host(), parsed.port());
    let origin = Origin::parse(&origin).ok().filter(|_| is_one)?;
    Some(EmbedderActivity {
        origin: origin.as_str().into(),
        count: used.count,
        error: 0,
        monitored: 0,
        reason: None,
        entry: Some(entry.into()),
        first: used.first,
        last: used.last,
        clients: ClientCounts::default(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn filter(text: &str) -> Result<HostFilter, String> {
        HostFilter::parse(text, PublicSuffixes::shipped()).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn a_host_takes_its_sites_by_any_scheme_and_port() {
        for (host, taken, left) in [
            (
                "old.preview.example",
                &["https://old.preview.example", "http://old.preview.example:8080"][..],
                &["https://preview.example", "https://a.old.preview.example", "null", "file://"][..],
            ),
            ("*.preview.example", &["https://a.b.preview.example"], &["https://preview.example"]),
            (
                "https://shop.example",
                &["https://shop.example", "https://shop.example:8443"],
                &["http://shop.example"],
            ),
            ("https://shop.example/", &["https://shop.example"], &[]),
            ("shop.example:8443", &["https://shop.example:8443"], &["https://shop.example"]),
            // Whose names are anybody's.
            ("*.vercel.app", &["https://mine.vercel.app"], &["https://vercel.app"]),
            ("münchen.example", &["https://xn--mnchen-3ya.example"], &[]),
            ("capacitor://localhost", &["capacitor://localhost"], &["https://localhost"]),
        ] {
            let filter = filter(host).unwrap();
            assert!(taken.iter().all(|origin| filter.takes(origin)), "{host} {taken:?}");
            assert!(!left.iter().any(|origin| filter.takes(origin)), "{host} {left:?}");
        }
    }

    #[test]
    fn what_is_no_host_is_told_what_was_meant() {
        for (text, says) in [
            ("https://shop.example/cart", "did you mean `https://shop.example`?"),
            ("*", "`*` alone"),
            ("a b", "such as `old.preview.example.com`"),
            ("null", "such as `old.preview.example.com`"),
        ] {
            let told = filter(text).unwrap_err();
            assert!(told.starts_with("host: ") && told.contains(says), "{text}: {told}");
        }
    }

    #[test]
    fn an_entry_for_one_site_tells_of_it() {
        let at = Timestamp::UNIX_EPOCH;
        let used = EntryActivity { first: at, last: at, count: 3 };
        for (entry, origin) in [
            ("shop.example", Some("https://shop.example")),
            ("http://shop.example", Some("http://shop.example")),
            ("shop.example:8443", Some("https://shop.example:8443")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("[2001:db8::1]", Some("https://[2001:db8::1]")),
            ("*.shop.example", None),
            ("shop.example:*", None),
            ("localhost", None),
        ] {
            let site = site_of(entry, used);
            assert_eq!(site.as_ref().map(|site| &*site.origin), origin, "{entry}");
            assert!(site.is_none_or(|site| site.count == 3 && site.entry.as_deref() == Some(entry)));
        }
    }
}
