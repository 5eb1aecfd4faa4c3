//! Form that adds a widget.

use maud::{Markup, html};

/// The form. `widget.js` sends it, once its dry run was looked at.
pub(super) fn form() -> Markup {
    html! {
        section class="card" id="add-widget" {
            h2 { "Add a widget" }
            p class="lead" {
                "With a first site, only that site may embed it. Without one it is open to every site, so that it can be \
                 set up."
            }
            form method="dialog" data-change="create" {
                div class="fields" {
                    label class="field" {
                        span { "Id" }
                        input name="id" required maxlength="64" placeholder="wgt_shop" data-pointer="/id" autocomplete="off"
                            spellcheck="false";
                    }
                    label class="field" {
                        span { "Environment" }
                        select name="environment" data-pointer="/environment" {
                            option { "production" }
                            option { "staging" }
                        }
                    }
                    label class="field" {
                        span { "First site" }
                        input name="pattern" placeholder="shop.example.com" data-pointer="/allowed_domains/0"
                            autocomplete="off" spellcheck="false" inputmode="url";
                    }
                }
                div class="toolbar" { button class="primary" { "Add" } }
            }
        }
    }
}
