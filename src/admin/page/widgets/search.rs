//! Search for widgets, as the form of the view sends it.

use jiff::Timestamp;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::admin::problem::Problem;
use crate::admin::widgets::{Filters, ListQuery, after};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Access, Environment, WidgetId};

/// Search for widgets. What is empty is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct WidgetSearch {
    /// How ids begin.
    id: String,
    /// A site that the list admits.
    site: String,
    /// A label, `key:value` or `key`.
    label: String,
    environment: String,
    access: String,
    /// The widget after which the page begins.
    after: String,
}

impl WidgetSearch {
    /// The search of a query. One that can't be read asks for nothing.
    pub(super) fn of(query: Option<&str>) -> Self {
        let search: Self = serde_html_form::from_str(query.unwrap_or_default()).unwrap_or_default();
        let trimmed = |text: String| text.trim().to_owned();
        Self { id: trimmed(search.id), site: trimmed(search.site), label: trimmed(search.label), ..search }
    }

    /// Whether it asks for all widgets.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The filters, and the widget after which the page begins.
    pub(super) fn filters(
        &self,
        suffixes: &PublicSuffixes,
        now: Timestamp,
    ) -> Result<(Filters, Option<WidgetId>), Problem> {
        let beginning = given(&self.id).map(WidgetId::parse).transpose();
        let beginning = beginning.map_err(|error| Problem::invalid_parameter("id", error.to_string()))?;
        let query = ListQuery {
            environment: Environment::ALL.into_iter().find(|word| word.as_str() == self.environment),
            access: Access::ALL.into_iter().find(|word| word.as_str() == self.access),
            label: given(&self.label).map(str::to_owned).into_iter().collect(),
            domain: given(&self.site).map(str::to_owned),
            ..ListQuery::default()
        };
        let filters = Filters::of(query, suffixes, now)?.beginning_with(beginning);
        Ok((filters, after(given(&self.after))?))
    }

    /// The path of the page that begins after this widget.
    pub(super) fn following(&self, next: &WidgetId) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.fields().into_iter().chain([("after", next.as_str())]) {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        format!("/widgets?{}", query.finish())
    }

    fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("id", &self.id),
            ("site", &self.site),
            ("label", &self.label),
            ("environment", &self.environment),
            ("access", &self.access),
        ]
    }

    /// What is asked for, to go on after "there is none".
    pub(super) fn in_words(&self) -> String {
        let words = ["whose id begins with", "whose list admits", "with the label", "in", "with the access"];
        let asked = words.into_iter().zip(self.fields()).filter(|(_, (_, value))| !value.is_empty());
        let asked: Vec<String> = asked.map(|(words, (_, value))| format!("{words} {value}")).collect();
        if asked.is_empty() { "after this one".to_owned() } else { asked.join(", ") }
    }

    /// The form. It needs no script.
    pub(super) fn form(&self) -> Markup {
        let choice = |words: &'static [&'static str], chosen: &str| {
            html! {
                option value="" { "any" }
                @for word in words { option value=(word) selected[*word == chosen] { (word) } }
            }
        };
        html! {
            section class="card" aria-label="Search" {
                form method="get" action="/widgets" role="search" {
                    div class="fields" {
                        label class="field" {
                            span { "Id begins with" }
                            input name="id" type="search" value=(self.id) autocomplete="off" spellcheck="false";
                        }
                        label class="field" {
                            span { "Admits the site" }
                            input name="site" type="search" value=(self.site) placeholder="https://shop.example.com"
                                autocomplete="off" spellcheck="false" inputmode="url";
                        }
                        label class="field" {
                            span { "Label" }
                            input name="label" type="search" value=(self.label) placeholder="team:growth" autocomplete="off"
                                spellcheck="false";
                        }
                        label class="field" {
                            span { "Environment" }
                            select name="environment" { (choice(&["production", "staging"], &self.environment)) }
                        }
                        label class="field" {
                            span { "Access" }
                            select name="access" { (choice(&["enforce", "monitor", "open"], &self.access)) }
                        }
                    }
                    div class="toolbar" {
                        button { "Search" }
                        @if !self.is_empty() { a class="button quiet" href="/widgets" { "Show all" } }
                    }
                }
            }
        }
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_search_goes_on_with_what_it_asked_for() {
        let next = WidgetId::parse("wgt_9").unwrap();
        for (query, says, following) in [
            ("", "after this one", "/widgets?after=wgt_9"),
            (
                "id=+wgt&site=&label=team%3Agrowth&after=wgt_1",
                "whose id begins with wgt, with the label team:growth",
                "/widgets?id=wgt&label=team%3Agrowth&after=wgt_9",
            ),
            (
                "site=https%3A%2F%2Fa.example&environment=staging&access=open&more=1",
                "whose list admits https://a.example, in staging, with the access open",
                "/widgets?site=https%3A%2F%2Fa.example&environment=staging&access=open&after=wgt_9",
            ),
        ] {
            let search = WidgetSearch::of(Some(query));
            assert_eq!((search.in_words().as_str(), search.following(&next).as_str()), (says, following));
            let again = search.following(&next);
            let again = WidgetSearch::of(again.strip_prefix("/widgets?"));
            assert_eq!(again, WidgetSearch { after: "wgt_9".to_owned(), ..search });
        }
    }

    #[test]
    fn what_can_not_be_searched_for_is_told() {
        let told = |query: &str| {
            let asked =
                WidgetSearch::of(Some(query)).filters(PublicSuffixes::shipped(), Timestamp::UNIX_EPOCH);
            asked.err().map(|problem| problem.detail().split(':').next().unwrap().to_owned())
        };
        assert_eq!(told("id=a b").as_deref(), Some("id"));
        assert_eq!(told("site=*.example.com").as_deref(), Some("domain"));
        assert_eq!(told("after=%20").as_deref(), Some("after"));
        assert_eq!(told("id=wgt&site=a.example&access=open&environment=nowhere"), None);
    }
}
