//! Dialogs in which an operator decides about the bucket. `fleet.js` opens them and makes the change.

use maud::{Markup, html};

use crate::rules::fleet::FleetStatus;

/// All of them, closed.
pub(super) fn all(status: &FleetStatus) -> Markup {
    html! {
        (dialog("restore", "Fill the bucket again?", &html! {
            p {
                "For a bucket that was lost, made anew or put back from an old copy. What this edge enforces and the bucket "
                code { (status.bucket) } " lacks is written to it, deletions, too. What is newer there stays. Then all edges follow the bucket."
            }
        }, "Fill it"))
        (dialog("accept", "Follow the bucket as it is?", &html! {
            p {
                "For a bucket that differs from what the fleet has followed, and is right. All edges take it as it is: "
                "widgets that it lacks are gone."
            }
            p { strong data-touched {} }
        }, "Follow it"))
        (dialog("forget", "Forget this edge?", &html! {
            p {
                "Saves no longer wait for " code data-edge-name {} ". It counts again as soon as it announces itself. "
                "Forget only an edge that is gone for good."
            }
        }, "Forget it"))
    }
}

fn dialog(id: &str, title: &str, content: &Markup, done: &str) -> Markup {
    let heading = format!("{id}-title");
    html! {
        dialog id=(id) class="change" aria-labelledby=(heading) {
            h2 id=(heading) { (title) }
            (content)
            p class="fault" role="alert" {}
            menu {
                li { button data-closes { "Cancel" } }
                li { button class="danger" data-does=(id) { (done) } }
            }
        }
    }
}
