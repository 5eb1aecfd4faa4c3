//! What every view of the page has around it: the head, the navigation, who is signed in.

use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::parts;
use crate::admin::Admin;
use crate::admin::auth::{Caller, Role};

/// View with a place in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Widgets,
    Live,
    Explain,
    Checklist,
    Fleet,
}

impl Place {
    const ALL: [Self; 6] =
        [Self::Overview, Self::Widgets, Self::Live, Self::Explain, Self::Checklist, Self::Fleet];

    fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Widgets => "/widgets",
            Self::Live => "/live",
            Self::Explain => "/explain",
            Self::Checklist => "/checklist",
            Self::Fleet => "/fleet",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Widgets => "Widgets",
            Self::Live => "Live",
            Self::Explain => "Explain",
            Self::Checklist => "Checklist",
            Self::Fleet => "Fleet",
        }
    }

    /// Whether there is something to see on this edge.
    fn is_there(self, admin: &Admin) -> bool {
        self != Self::Fleet || admin.fleet.is_some()
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
    /// The styles that it has beside `page.css`, as their files are named.
    pub(super) styles: &'v [&'static str],
}

impl View<'_> {
    /// The whole document, for whoever is signed in.
    pub(super) fn around(&self, admin: &Admin, caller: &Caller, main: &Markup) -> Response {
        let body = framed(self.title, Some(self.place), (admin, caller), main);
        document(self.title, self.scripts, self.styles, &body).into_response()
    }
}

/// What is around a view, or around a fault, which has no place.
pub(super) fn framed(
    title: &str,
    here: Option<Place>,
    (admin, caller): (&Admin, &Caller),
    main: &Markup,
) -> Markup {
    let name = caller.name.as_deref().unwrap_or(&caller.fingerprint);
    html! {
        a class="skip" href="#main" { "Skip to the content" }
        header class="bar" {
            a class="brand" href="/" { img src="/assets/icon.svg" alt="" width="26" height="26"; "embedgate" }
            nav aria-label="Views" {
                ul {
                    @for place in Place::ALL.into_iter().filter(|place| place.is_there(admin)) {
                        li {
                            a href=(place.path()) aria-current=[(here == Some(place)).then_some("page")] {
                                (place.title())
                            }
                        }
                    }
                }
            }
            form class="who" method="post" action="/sign-out" {
                span { b { (name) } " · " (role(caller.role)) }
                button { "Sign out" }
            }
        }
        main id="main" data-role=(caller.role.as_str()) {
            h1 { (title) }
            (main)
        }
        footer class="foot" {
            span { "embedgate " (env!("CARGO_PKG_VERSION")) }
            // The edge that this is, as the reader reaches it.
            span data-host {}
            span { "Shown " (parts::time(Timestamp::now())) }
        }
        div id="said" class="unseen" role="status" {}
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Read => "may look",
        Role::Write => "may change",
    }
}

/// A whole document. Views are in [`View::around`].
pub(super) fn document(title: &str, scripts: &[&str], styles: &[&str], body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · embedgate" }
                @for style in std::iter::once(&"page.css").chain(styles) {
                    link rel="stylesheet" href={ "/assets/" (style) };
                }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                @for script in std::iter::once(&"page.js").chain(scripts) {
                    script type="module" src={ "/assets/" (script) } {}
                }
            }
            body { (body) }
        }
    }
}
