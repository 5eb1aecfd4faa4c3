//! The tag that a site owner puts on his pages.

use maud::{Markup, html};

use crate::admin::Admin;
use embedgate_policy::verdict::Class;
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

/// The address of the widget's loader: of the first asset route that serves one file.
fn loader(admin: &Admin, id: &WidgetId) -> Option<String> {
    let policy = admin.policy.load();
    admin.answers.load().file(Class::Asset, id, &policy.own_origins)
}
