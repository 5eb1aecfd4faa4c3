//! What every view of the page has around it: the head, the navigation, who is signed in.

use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::admin::auth::{Caller, Role};

/// View with a place in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Checklist,
}

impl Place {
    const ALL: [Self; 2] = [Self::Overview, Self::Checklist];

    fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Checklist => "/checklist",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Checklist => "Checklist",
        }
    }
}

/// One view of the page.
pub(super) struct View<'v> {
    /// The title, in the tab and at its top.
    pub(super) title: &'v str,
    /// The place that it belongs to.
    pub(super) place: Place,
    /// The ES modules that it runs beside `page.js`, as their files are named.
    pub(super) scripts: &'v [&'static str],
}

impl View<'_> {
    /// The whole document, for whoever is signed in.
    pub(super) fn around(&self, caller: &Caller, main: &Markup) -> Response {
        let name = caller.name.as_deref().unwrap_or(&caller.fingerprint);
        let body = html! {
            a class="skip" href="#main" { "Skip to the content" }
            header class="bar" {
                a class="brand" href="/" { "embedgate" }
                nav aria-label="Views" {
                    ul {
                        @for place in Place::ALL {
                            li {
                                a href=(place.path()) aria-current=[(place == self.place).then_some("page")] {
                                    (place.title())
                                }
                            }
                        }
                    }
                }
                form class="who" method="post" action="/sign-out" {
                    span { (name) " · " (role(caller.role)) }
                    button { "Sign out" }
                }
            }
            main id="main" data-role=(caller.role.as_str()) {
                h1 { (self.title) }
                (main)
            }
        };
        document(self.title, self.scripts, &body).into_response()
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Read => "may look",
        Role::Write => "may change",
    }
}

/// A whole document. Views are in [`View::around`].
pub(super) fn document(title: &str, scripts: &[&'static str], body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · embedgate" }
                link rel="stylesheet" href="/assets/page.css";
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                @for script in std::iter::once(&"page.js").chain(scripts) {
                    script type="module" src={ "/assets/" (script) } {}
                }
            }
            body { (body) }
        }
    }
}

/// An instant. `page.js` shows it in the reader's zone, and the exact one on hover.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at) } }
}
