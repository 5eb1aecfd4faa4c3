//! Facts that the edge knows of a widget: its document in short, findings, who was seen, and where its surfaces are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use embedgate_policy::lint::{Finding, Severity};
use embedgate_policy::origin::WIDGET_LABEL;
use embedgate_policy::widget::{Access, Environment, WidgetId};

/// Facts of a widget, for its checklist.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WidgetFacts {
    /// The widget.
    pub widget: WidgetId,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The environment.
    pub environment: Environment,
    /// The access in effect.
    pub access: Access,
    /// It may use the microphone.
    pub voice: bool,
    /// Its public pages answer.
    pub public_trust_center: bool,
    /// It has limits that are enforced.
    pub limited: bool,
    /// What its document allows but probably should not.
    pub findings: Vec<KnownFinding>,
    /// Who was seen.
    pub traffic: TrafficSeen,
    /// Where its surfaces are.
    pub surfaces: Vec<Surface>,
    /// The edge's own origins, as browsers see them for this widget.
    pub origins: Vec<String>,
}

/// Finding about the document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KnownFinding {
    /// The kind of finding, a stable code.
    pub code: String,
    /// The severity.
    pub severity: Severity,
    /// The entry, if the finding is about one.
    pub entry: Option<String>,
    /// What it means and what to do.
    pub detail: String,
}

impl From<Finding> for KnownFinding {
    fn from(Finding { code, severity, entry, detail, .. }: Finding) -> Self {
        Self { code: code.to_owned(), severity, entry, detail }
    }
}

/// Who was seen embedding the widget.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrafficSeen {
    /// Since when sightings are kept.
    pub since: Timestamp,
    /// Requests of browsers on sites that were let in, dashboards aside.
    pub browsers: u64,
    /// The same of clients that don't say whether they are browsers.
    pub others: u64,
    /// Requests of the vendor's own dashboards.
    pub previews: u64,
    /// When a site was last let in.
    pub last: Option<Timestamp>,
}

/// What a surface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SurfaceKind {
    /// The script that pages embed.
    Loader,
    /// The iframe's document.
    Frame,
    /// Sessions.
    Session,
    /// A public page.
    Public,
    /// The call for tickets.
    Tickets,
}

/// Address of a surface on the edge, with `{widget}` where the widget's id is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Surface {
    /// What is there.
    pub kind: SurfaceKind,
    /// The host; `null`: any.
    #[schema(example = "chat.example.net")]
    pub host: Option<String>,
    /// The path.
    #[schema(example = "/w/{widget}/frame")]
    pub path: String,
    /// The parameter of the query that has the widget's id.
    pub parameter: Option<String>,
    /// The only widget that it serves; `null`: any.
    pub only: Option<WidgetId>,
}

impl WidgetFacts {
    /// The first surface of this kind.
    pub(super) fn surface(&self, kind: SurfaceKind) -> Option<&Surface> {
        self.surfaces_of(kind).next()
    }

    /// All surfaces of this kind.
    pub(super) fn surfaces_of(&self, kind: SurfaceKind) -> impl Iterator<Item = &Surface> {
        self.surfaces.iter().filter(move |surface| surface.kind == kind)
    }
}

impl Surface {
    /// Whether it serves a widget.
    pub fn serves(&self, widget: &WidgetId) -> bool {
        self.only.as_ref().is_none_or(|only| only == widget)
    }

    /// Its host for a widget; `None`: any.
    pub fn host_of(&self, widget: &WidgetId) -> Option<String> {
        self.host.as_deref().map(|host| filled(host, widget))
    }

    /// Its address for a widget, on an edge.
    pub fn url(&self, edge: &Url, widget: &WidgetId) -> Option<Url> {
        let mut url = edge.join(&filled(&self.path, widget)).ok()?;
        if let Some(host) = self.host_of(widget) {
            url.set_host(Some(&host)).ok()?;
        }
        if let Some(parameter) = &self.parameter {
            url.query_pairs_mut().append_pair(parameter, widget.as_str());
        }
        Some(url)
    }
}

fn filled(text: &str, widget: &WidgetId) -> String {
    text.replace(WIDGET_LABEL, widget.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surface_has_an_address_for_each_widget() {
        let edge: Url = "https://embed.example.net:8443".parse().unwrap();
        let widget = WidgetId::parse("wgt_demo").unwrap();
        let surface = |host: Option<&str>, path: &str, parameter: Option<&str>| Surface {
            kind: SurfaceKind::Frame,
            host: host.map(str::to_owned),
            path: path.to_owned(),
            parameter: parameter.map(str::to_owned),
            only: None,
        };
        for (surface, url) in [
            (surface(None, "/w/{widget}/frame", None), "https://embed.example.net:8443/w/wgt_demo/frame"),
            (surface(None, "/frame", Some("id")), "https://embed.example.net:8443/frame?id=wgt_demo"),
            (
                surface(Some("chat.example.net"), "/w/{widget}", None),
                "https://chat.example.net:8443/w/wgt_demo",
            ),
            (surface(Some("{widget}.example.net"), "/", None), "https://wgt_demo.example.net:8443/"),
        ] {
            assert_eq!(surface.url(&edge, &widget).unwrap().as_str(), url);
        }
    }
}
