//! `GET /`: the state of the edge at a glance.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::shell::{Place, View};
use crate::admin::Admin;
use crate::admin::auth::Caller;

/// The view.
pub(super) async fn view(State(admin): State<Arc<Admin>>, Extension(caller): Extension<Caller>) -> Response {
    let book = admin.publisher.live().load_full();
    let main = html! {
        p { (book.len()) " widgets, " (admin.sessions.count()) " open sessions" }
    };
    View { title: "Overview", place: Place::Overview, scripts: &[] }.around(&caller, &main)
}
