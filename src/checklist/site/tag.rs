//! The widget's tag on a page.

use url::Url;

use super::html::{PageMarkup, ScriptTag};
use crate::checklist::Deployment;
use crate::checklist::facts::SurfaceKind;
use crate::checklist::point::{CheckPoint, PointKind};

/// What was found of a tag.
pub(super) enum FoundTag<'p> {
    /// A script with the loader's address.
    Tag(&'p ScriptTag),
    /// The loader's address in a script of the page itself.
    Inline,
    /// A tag that browsers don't run, because of its `type`.
    Held(&'p ScriptTag),
    /// A tag of the edge for something else.
    Other(&'p ScriptTag),
    /// None.
    Missing,
}

impl<'p> FoundTag<'p> {
    pub(super) fn of(deployment: &Deployment, markup: &'p PageMarkup) -> Self {
        let loader = deployment.surface(SurfaceKind::Loader);
        // Another scheme is another point's.
        let is_at = |own: &Url, url: &Url| own.host() == url.host() && (own.port() == url.port());
        let own: Vec<Url> =
            deployment.facts.origins.iter().filter_map(|origin| origin.parse().ok()).collect();
        let is_own = |url: &Url| is_at(&deployment.edge, url) || own.iter().any(|own| is_at(own, url));
        let is_loader = |url: &Url| match &loader {
            Some(loader) => is_own(url) && is_same(loader, url),
            None => is_own(url),
        };
        let scripts = || markup.scripts.iter();
        let of =
            |is_it: &dyn Fn(&Url) -> bool| scripts().filter(|script| is_it(&script.url)).collect::<Vec<_>>();
        let loaders = of(&is_loader);
        if let Some(script) = loaders.iter().find(|script| script.is_run) {
            return Self::Tag(script);
        }
        if let Some(script) = loaders.first() {
            return Self::Held(script);
        }
        if loader.is_some_and(|loader| markup.inline.contains(loader.path())) {
            return Self::Inline;
        }
        of(&is_own).first().map_or(Self::Missing, |script| Self::Other(script))
    }

    /// The script of the tag.
    pub(super) fn script(&self) -> Option<&'p ScriptTag> {
        match self {
            Self::Tag(script) | Self::Held(script) => Some(script),
            Self::Inline | Self::Other(_) | Self::Missing => None,
        }
    }

    /// The address in the tag.
    pub(super) fn address(&self) -> Option<Url> {
        self.script().map(|script| script.url.clone())
    }

    pub(super) fn point(&self, kind: PointKind, loader: Option<&Url>) -> CheckPoint {
        let add = match loader {
            Some(loader) => format!("Put `<script src=\"{loader}\" async></script>` on the page."),
            None => "Put the widget's tag on the page.".to_owned(),
        };
        match self {
            Self::Tag(script) => kind.pass(format!("it loads {}", script.url)),
            Self::Inline => kind.pass("a script of the page has the loader's address"),
            Self::Held(script) => kind.fail(
                format!("the tag is there, but its `type` keeps browsers from running it: {}", script.url),
                "Remove `type`; if a consent manager holds the tag, look at the page after consent.",
            ),
            Self::Other(script) => kind.fail(format!("the only tag of this edge is {}", script.url), add),
            Self::Missing => kind.fail(
                "the page's HTML has no tag of this widget",
                format!("{add} If a tag manager adds it, this can't be seen here."),
            ),
        }
    }
}

/// Whether an address is that of the loader, whatever else its query has.
fn is_same(loader: &Url, url: &Url) -> bool {
    loader.path() == url.path()
        && loader.query_pairs().all(|pair| url.query_pairs().any(|other| other == pair))
}
