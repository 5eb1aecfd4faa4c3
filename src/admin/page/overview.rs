//! `GET /`: the state of the edge at a glance.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::parts;
use super::shell::{Place, View};
use crate::admin::Admin;
use crate::admin::auth::Caller;

/// The view.
pub(super) async fn view(State(admin): State<Arc<Admin>>, Extension(caller): Extension<Caller>) -> Response {
    let book = admin.publisher.live().load_full();
    let main = html! {
        section class="card" {
            h2 { "Rules" }
            @if book.len() == 0 {
                (parts::empty(
                    "No widgets yet",
                    "Save a first one with the admin API, or import those that you have.",
                    None,
                ))
            } @else {
                dl class="stats" {
                    div { dt { "Widgets" } dd { (parts::number(book.len() as u64)) } }
                    div { dt { "Open sessions" } dd { (parts::number(admin.sessions.count() as u64)) } }
                }
            }
        }
    };
    View { title: "Overview", place: Place::Overview, scripts: &[], styles: &[] }.around(&caller, &main)
}
