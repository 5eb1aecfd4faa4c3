//! The tag that a site owner puts on his pages.

use maud::{Markup, html};

use crate::admin::Admin;
use crate::checklist::SurfaceKind;
use embedgate_policy::widget::{Widget, WidgetId};

/// The section; nothing where no route serves one file for each widget.
pub(super) fn section(admin: &Admin, widget: &Widget) -> Markup {
    let Some(loader) = loader(admin, &widget.id) else { return html! {} };
    html! {
        section class="card" id="snippet" {
            h2 { "The tag" }
            p class="lead" { "It goes on the pages of the site, and never changes, whatever the list says." }
            pre class="snippet" id="tag" tabindex="0" role="region" aria-label="The tag" {
                "<script src=\"" (loader) "\" async></script>"
            }
            div class="toolbar" { button type="button" data-copy="tag" { "Copy" } }
        }
    }
}

/// The address of the widget's loader, as browsers see it; `None`: no route serves one, or they see the edge nowhere.
fn loader(admin: &Admin, id: &WidgetId) -> Option<String> {
    let surfaces = admin.answers.load().surfaces(id);
    let loader = surfaces.iter().find(|surface| surface.kind == SurfaceKind::Loader)?;
    let policy = admin.policy.load();
    let own = &policy.own_origins;
    let edge = match loader.host_of(id) {
        None => own.iter().next()?.of(id.as_str()),
        Some(host) => {
            let origin = own.iter().find_map(|origin| origin.at_host(&host));
            origin.unwrap_or_else(|| format!("https://{host}"))
        }
    };
    loader.url(&edge.parse().ok()?, id).map(String::from)
}
