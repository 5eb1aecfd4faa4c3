//! Checklist of a deployment: one widget on one site, looked at as its visitors' browsers see it.
//!
//! | part | does |
//! |---|---|
//! | `point` | the points: what was found, and the mend |
//! | `facts` | what the edge knows of the widget, and where its surfaces are |
//! | `fetch`, `reach` | requests with bounds, to the addresses that may be asked |
//! | `document` | points about the widget's document, and who was seen |
//! | `surfaces` | points about what the edge answers to the site, and to a stranger |
//! | `secure` | points about the edge's certificate and plain http |
//! | `site` | points about the site's page: the tag, and what its header fields forbid |
//!
//! No rule is changed. A run opens one WebSocket as the site, reads the frame's document once as a browser would, so that it
//! gets a ticket, and renews that. Its other requests say that they prefetch, so that they are no sightings.

mod document;
mod facts;
mod fetch;
mod point;
mod reach;
mod secure;
mod site;
mod surfaces;

use std::thread;

use jiff::Timestamp;
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use embedgate_policy::widget::WidgetId;

pub use facts::{KnownFinding, Surface, SurfaceKind, TrafficSeen, WidgetFacts};
pub use fetch::{CheckClient, FetchFault};
pub use point::{CheckPoint, PointGroup, PointState};
pub use reach::{MappedAddress, Reach, is_local};

use site::SitePage;

/// Result of a run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Checklist {
    /// The widget.
    pub widget: WidgetId,
    /// Where the edge was asked.
    #[schema(example = "https://embed.example.net")]
    pub edge: String,
    /// The page that was looked at; `null`: none.
    #[schema(example = "https://shop.example.com/")]
    pub site: Option<String>,
    /// How many points failed.
    pub failed: usize,
    /// How many points are worth a look.
    pub warned: usize,
    /// The points, in a fixed order.
    pub points: Vec<CheckPoint>,
}

/// One deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// What the edge knows.
    pub facts: WidgetFacts,
    /// Where the edge is asked.
    pub edge: Url,
    /// The page with the widget; `None`: only the edge is looked at.
    pub page: Option<Url>,
    /// The time.
    pub now: Timestamp,
}

impl Deployment {
    /// Walks all points.
    ///
    /// # Errors
    ///
    /// Nothing answers at the edge's address.
    pub fn check(&self, edge: &CheckClient, site: &CheckClient) -> Result<Checklist, FetchFault> {
        let secured = secure::look(edge, &self.edge, self.now)?;
        let (mut page, mut asked) = (None, None);
        thread::scope(|scope| {
            let looking = self.page.as_ref().map(|url| scope.spawn(move || SitePage::look(site, url)));
            if secured.is_usable {
                asked = Some(surfaces::ask(edge, self));
            }
            page = looking.and_then(|looking| looking.join().ok());
        });
        let mut points = document::points(self);
        points.extend(surfaces::points(self, asked.as_ref()));
        points.extend(secured.points);
        points.extend(site::points(self, page.as_ref(), asked.as_ref()));
        let count = |state: PointState| points.iter().filter(|point| point.state == state).count();
        Ok(Checklist {
            widget: self.facts.widget.clone(),
            edge: self.edge.origin().ascii_serialization(),
            site: self.page.as_ref().map(Url::to_string),
            failed: count(PointState::Fail),
            warned: count(PointState::Warn),
            points,
        })
    }

    /// The origin of the page, as browsers send it.
    fn origin(&self) -> Option<String> {
        self.page.as_ref().map(|page| page.origin().ascii_serialization())
    }

    /// The address of a surface on the edge.
    fn surface(&self, kind: SurfaceKind) -> Option<Url> {
        self.facts.surface(kind)?.url(&self.edge, &self.facts.widget)
    }
}

impl std::fmt::Display for Checklist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut group = None;
        for point in &self.points {
            if group != Some(point.group) {
                writeln!(f, "{}{}", if group.is_some() { "\n" } else { "" }, point.group.title())?;
                group = Some(point.group);
            }
            writeln!(f, "{point}")?;
        }
        let of = |state: PointState| self.points.iter().filter(|point| point.state == state).count();
        write!(
            f,
            "\n{} passed, {} to look at, {} failed, {} skipped",
            of(PointState::Pass),
            self.warned,
            self.failed,
            of(PointState::Skipped)
        )
    }
}
