//! Filters of the list of widgets: what of them the rule book knows, and what only documents say.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};

use crate::admin::problem::Problem;
use embedgate_policy::allowlist::Judgement;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::entry::{Entry, EntryKind, PortPattern};
use embedgate_policy::origin::{Origin, OriginBuf};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Access, Environment, Widget, WidgetId};

/// Query of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct ListQuery {
    /// Maximum number of widgets on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(in crate::admin) limit: Option<usize>,
    /// Only widgets after this id: the `next` of the previous page.
    #[param(value_type = Option<WidgetId>)]
    pub(in crate::admin) after: Option<String>,
    /// Only widgets of this environment.
    pub(in crate::admin) environment: Option<Environment>,
    /// Only widgets with this access in effect.
    pub(in crate::admin) access: Option<Access>,
    /// Only widgets with this label: `key:value`, or `key` for any value. It may be given several times: then a widget
    /// has all of them.
    #[serde(default)]
    #[param(required = false, schema_with = labels)]
    pub(in crate::admin) label: Vec<String>,
    /// Only widgets whose list admits this origin now, such as `https://shop.example.com`. A host alone means https.
    /// A widget that is open to every site is found only if its list has the site, too.
    #[param(min_length = 1, example = "https://shop.example.com")]
    pub(in crate::admin) domain: Option<String>,
}

/// Labels, none of which is empty.
fn labels() -> Array {
    let label = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    ArrayBuilder::new().items(label).examples([json!(["team:growth"])]).build()
}

/// Filters of one page.
pub(in crate::admin) struct Filters {
    environment: Option<Environment>,
    access: Option<Access>,
    site: Option<OriginBuf>,
    labels: Vec<String>,
    /// How ids begin.
    beginning: Option<WidgetId>,
    now: Timestamp,
}

impl Filters {
    pub(in crate::admin) fn of(
        query: ListQuery,
        suffixes: &PublicSuffixes,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let ListQuery { limit: _, after: _, environment, access, label, domain } = query;
        let site = domain.map(|domain| site(&domain, suffixes)).transpose()?;
        Ok(Self { environment, access, site, labels: label, beginning: None, now })
    }

    /// The same, for widgets alone whose ids begin like this one.
    pub(in crate::admin) fn beginning_with(self, beginning: Option<WidgetId>) -> Self {
        Self { beginning, ..self }
    }

    /// How ids begin.
    pub(super) fn beginning(&self) -> Option<&WidgetId> {
        self.beginning.as_ref()
    }

    /// Whether a filter is about what the rule book knows.
    pub(super) fn ask_the_book(&self) -> bool {
        self.environment.is_some() || self.access.is_some() || self.site.is_some()
    }

    /// Whether the rules pass, as far as the rule book knows.
    pub(super) fn pass_rules(&self, rules: &WidgetRules<'_>) -> bool {
        let admits = |site: &OriginBuf| {
            let judged = rules.allowlist.judge(site.as_origin(), self.now);
            matches!(judged, Judgement::Admitted { .. })
        };
        self.environment.is_none_or(|environment| rules.environment == environment)
            && self.access.is_none_or(|access| rules.access == access)
            && self.site.as_ref().is_none_or(admits)
    }

    /// Whether a document has the labels.
    pub(super) fn pass_labels(&self, widget: &Widget) -> bool {
        self.labels.iter().all(|wanted| {
            widget.labels.iter().any(|(key, value)| match wanted.strip_prefix(key.as_str()) {
                Some("") => true,
                Some(rest) => rest.strip_prefix(':') == Some(value),
                None => false,
            })
        })
    }
}

/// The site that is asked for, by the parser that requests use.
fn site(text: &str, suffixes: &PublicSuffixes) -> Result<OriginBuf, Problem> {
    const OPAQUE: [&str; 2] = ["null", "file://"];
    let written = |text: &str| match text.contains("://") || OPAQUE.contains(&text) {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let whole = written(text);
    let error = match OriginBuf::parse(&whole) {
        Ok(origin) => return Ok(origin),
        Err(error) => error,
    };
    let entry = match Entry::parse(text, suffixes) {
        Ok(entry) if entry.kind() != EntryKind::Exact || entry.port() == PortPattern::Any => {
            let detail = "this is a pattern, which stands for many sites; ask for one of them, such as \
                          `https://shop.example.com`";
            return Err(Problem::invalid_parameter("domain", detail));
        }
        Ok(entry) => Some(entry.to_string()),
        Err(error) => error.suggestion,
    };
    let beginning = Origin::parse_referer(whole.as_bytes()).ok().map(|origin| origin.to_string());
    let meant = beginning.or(entry).filter(|meant| Origin::parse(&written(meant)).is_ok());
    let detail = match meant {
        Some(meant) => format!("{error}; did you mean `{meant}`?"),
        None => format!("{error}; write the origin of a page, such as `https://shop.example.com`"),
    };
    Err(Problem::invalid_parameter("domain", detail))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn asked(text: &str) -> Result<String, String> {
        let site = site(text, PublicSuffixes::shipped());
        site.map(|origin| origin.to_string()).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn a_site_is_an_origin_or_a_host() {
        for (text, origin) in [
            ("https://shop.example.com", "https://shop.example.com"),
            ("shop.example.com", "https://shop.example.com"),
            ("shop.example.com:8443", "https://shop.example.com:8443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("[::1]", "https://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(asked(text).as_deref(), Ok(origin));
        }
    }

    #[test]
    fn what_is_no_site_is_told_what_was_meant() {
        for (text, meant) in [
            ("https://shop.example.com/", "did you mean `https://shop.example.com`?"),
            ("shop.example.com/cart?x=1", "did you mean `https://shop.example.com`?"),
            ("Shop.Example.com", "did you mean `shop.example.com`?"),
            ("https://shop.example.com:443", "did you mean `https://shop.example.com`?"),
            ("münchen.example", "did you mean `xn--mnchen-3ya.example`?"),
            ("*.example.com", "a pattern"),
            (".example.com", "a pattern"),
            ("example.com:*", "a pattern"),
            ("null", "opaque"),
            ("a b", "such as `https://shop.example.com`"),
            ("https://", "such as `https://shop.example.com`"),
        ] {
            let told = asked(text).unwrap_err();
            assert!(told.starts_with("domain: ") && told.contains(meant), "{text}: {told}");
        }
    }

    #[test]
    fn labels_are_told_by_key_or_by_key_and_value() {
        let json = br#"{"id": "w", "labels": {"team": "growth", "a:b": "c", "empty": ""}}"#;
        let widget = Widget::parse(json, PublicSuffixes::shipped()).unwrap();
        for (labels, passes) in [
            (&["team"][..], true),
            (&["team:growth"], true),
            (&["team:growth", "a:b:c"], true),
            (&["a:b"], true),
            (&["empty:"], true),
            (&["team:"], false),
            (&["tea"], false),
            (&["team:grow"], false),
            (&["team:growth", "team:sales"], false),
            (&["growth"], false),
        ] {
            let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
            let filters = Filters {
                beginning: None,
                environment: None,
                access: None,
                site: None,
                labels,
                now: Timestamp::UNIX_EPOCH,
            };
            assert_eq!(filters.pass_labels(&widget), passes, "{:?}", filters.labels);
        }
    }
}
