//! `GET /widgets/{id}`: one widget, and every change of it.
//!
//! | part | shows |
//! |---|---|
//! | `facts` | reads all of it, once |
//! | `state` | what is let in, findings, the kill switch |
//! | `entries` | the list, with when each entry was last used and by whom |
//! | `sites` | who was refused, with the entry to add |
//! | `enforcing` | whether the list can be enforced now |
//! | `limits` | limits, and how much of them is used |
//! | `snippet` | the tag to copy |
//! | `past` | the history, with a way back |

mod enforcing;
mod entries;
mod facts;
mod limits;
mod past;
mod sites;
mod snippet;
mod state;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::parts::empty;
use super::shell::{Place, View};
use super::{may_change, needs_script};
use crate::admin::auth::{Caller, Role};
use crate::admin::input::KnownId;
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking};

use facts::ReadWidget;

/// The view.
pub(super) async fn view(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    KnownId(id): KnownId,
) -> Result<Response, Problem> {
    let for_work = Arc::clone(&admin);
    let ReadWidget { id, history, in_force } = blocking(move || ReadWidget::read(&for_work, id)).await?;
    let may_change = may_change(&admin, &caller);
    let revision = in_force.as_ref().and_then(|facts| facts.widget.revision).unwrap_or_default();
    let main = html! {
        @if may_change { (needs_script()) }
        @if caller.role == Role::Write && !may_change {
            p class="note" {
                "This widget comes from " code { (admin.publisher.status().name) } ", and is changed there."
            }
        }
        @match &in_force {
            Some(facts) => {
                @if !facts.activity.missing.is_empty() {
                    p class="note" {
                        "What these edges have seen is missing here, because they did not answer: "
                        (facts.activity.missing.join(", ")) "."
                    }
                }
                (state::section(facts, may_change))
                (entries::section(facts, may_change))
                (sites::section(facts, may_change))
                @if let Some(proposal) = &facts.proposal { (enforcing::section(proposal, may_change)) }
                (limits::section(facts, may_change))
                (snippet::section(&admin, &facts.widget))
            }
            None => {
                section class="card" id="state" {
                    h2 { "State" }
                    (empty(
                        "This widget was deleted",
                        "Its requests are refused. Its documents are kept below, and each can be brought back.",
                        None,
                    ))
                }
            }
        }
        (past::section(&history, may_change))
        p hidden data-widget=(id) data-revision=(revision) {}
    };
    Ok(View { title: id.as_str(), place: Place::Widgets, scripts: &["widget.js"], styles: &["widget.css"] }
        .around(&admin, &caller, &main))
}
