//! The rules file, where widgets come from one: what keeps it from being in force, and a way to confirm a wide change.

use maud::{Markup, html};

use crate::admin::Admin;
use crate::admin::auth::{Caller, Role};
use crate::admin::page::parts::{fault, time};

/// What is told of the file; nothing where widgets are changed by the API.
pub(super) fn told(admin: &Admin, caller: &Caller) -> Markup {
    if admin.rules_file.is_none() {
        return html! {};
    }
    let status = admin.publisher.status();
    html! {
        section class="card" id="rules-file" {
            h2 { "The rules file" }
            p class="lead" {
                "These widgets come from " code { (status.name) } ", and are changed there. An edit is in force by itself, \
                 unless it would touch many widgets at once: then it waits to be confirmed."
            }
            @if let Some(applied) = status.last_applied_at {
                p class="help" { "Last in force " (time(applied)) "." }
            }
            @if let Some(error) = &status.last_error { (fault(&error.detail)) }
            @if caller.role == Role::Write {
                div class="toolbar" {
                    button type="button" data-change="file" { "Read it again" }
                }
            }
        }
    }
}
