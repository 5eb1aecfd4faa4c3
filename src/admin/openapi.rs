//! OpenAPI 3.1 description of the admin API, made from the calls themselves.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

use super::problem::{ErrorPart, ProblemDocument};
use crate::rules::error::WideChange;
use crate::telemetry::events::EventKind;
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::limits::Limits;
use embedgate_policy::widget::{Access, Capability, Environment, WidgetDocument, WidgetId};

mod generators;

/// Parts of the description that belong to no single call.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "embedgate admin API",
        description = "Rules that say which widget may be embedded where, verdicts, and the state of the edge. Errors are \
                       problem documents (RFC 9457) with a stable `code` and JSON Pointers (RFC 6901).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "The admin listener")),
    tags(
        (name = "widgets", description = "Documents. A change is durable and in force when it is answered."),
        (name = "verdicts", description = "Who may embed what, and why."),
        (name = "activity", description = "Who embeds: what was seen, and what it means for a list."),
        (name = "notifications", description = "Webhooks on their way to whoever runs the widgets."),
        (name = "edge", description = "The state of this edge."),
        (name = "fleet", description = "The edges that share their rules through a bucket."),
    ),
    components(schemas(ProblemDocument, ErrorPart, WideChange, EventKind)),
    security(("token" = [])),
    modifiers(&TokenSecurity),
)]
pub(super) struct Description;

/// The description as JSON, in the form that generators of clients take.
pub(super) fn text(api: &utoipa::openapi::OpenApi) -> String {
    // Strings, numbers and maps with string keys can always be written as JSON.
    let mut api = serde_json::to_value(api).unwrap_or_default();
    generators::suit(&mut api);
    serde_json::to_string_pretty(&api).unwrap_or_default()
}

struct TokenSecurity;

impl Modify for TokenSecurity {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "A token of `admin.token_file`; calls that change rules need one with the role `write`.",
        ));
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    }
}

/// Declares sets of error responses by status, for the descriptions of calls.
macro_rules! problems {
    ($($(#[$meta:meta])* $name:ident: $($status:literal)+;)+) => {$(
        $(#[$meta])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$(($status, problem($status))),+]
                    .map(|(status, response): (u16, Response)| (status.to_string(), response.into()))
                    .into()
            }
        }
    )+};
}

problems! {
    /// Errors of calls that read.
    ReadProblems: 400 401 403 404 500 503;
    /// Errors of calls that ask with a body.
    QuestionProblems: 400 401 403 408 413 415 422 500 503;
    /// Errors of a run of a checklist.
    ChecklistProblems: 400 401 403 404 408 409 413 415 422 500 503;
    /// Errors of a dry run.
    DryRunProblems: 400 401 403 408 409 412 413 415 422 500 503;
    /// Errors of calls that change rules.
    WriteProblems: 400 401 403 404 408 409 412 413 415 422 500 503 507;
    /// Errors of an application of the rules file.
    ApplyProblems: 400 401 403 409 422 500 503;
    /// Errors of a copy of the store.
    BackupProblems: 400 401 403 409 500 503 507;
    /// Errors of calls that send notifications.
    NotificationProblems: 400 401 403 404 409 503;
    /// Errors of calls without input.
    StatusProblems: 400 401 403 503;
    /// Errors of streams.
    StreamProblems: 400 401 403 503;
    /// Errors of questions about the fleet.
    FleetProblems: 400 401 403 404 503;
    /// Errors of decisions about the fleet.
    FleetChangeProblems: 400 401 403 404 408 409 413 415 422 500 503 507;
    /// Errors of a reload.
    ReloadProblems: 400 401 403 422 503;
}

fn problem(status: u16) -> Response {
    let meaning = match status {
        400 => {
            "`unknown_parameter`, `invalid_parameter`: the query or a header is invalid; `unexpected_body`: the call takes no \
            body; `incomplete_body`: the body ended early"
        }
        401 => "`unauthorized`: no token, or an unknown one",
        403 => "`forbidden`: the token may only read, or `Host` or `Origin` is not that of this listener",
        404 => {
            "`unknown_widget`, `unknown_decision`, `unknown_notification`; of the fleet: `no_fleet` if rules come from elsewhere, `no_bucket`, `unknown_edge`"
        }
        408 => "`body_timeout`: the body came too slowly",
        409 => {
            "`stale_revision`; `read_only_source` if rules come from a file; `no_rules_file`, `no_store` if they come from \
            elsewhere; `no_receiver` if `notify.url` is not set; `checklist_running`; of the fleet: `edge_ahead`, `edge_alive`"
        }
        412 => "`precondition_failed`: the widget is not as `If-Match` or `If-None-Match` says",
        413 => "`too_large`: the body, or more changes than the bucket of the fleet takes at once",
        415 => "`unsupported_media_type`",
        422 => {
            "`invalid_document`, `invalid_revision`, `would_open_widget`, `would_restrict_widget`, `unknown_revision`: `errors` has each error with its place; \
            `invalid_site`, `site_not_admitted`: the checklist does not look at this page; \
            `wide_change`: the change must be confirmed; `invalid_configuration`: `errors` has each error"
        }
        503 => {
            "`audit_unavailable`: the change can't be written to the audit log, so it was not made; `handed_over`: another \
            process takes over, try again; `too_busy`: other large bodies are being worked on, or as many calls that only read are under way as there may be, \
            try again; `edge_unreachable`: nothing answers at the edge's own origin; `too_many_readers`: \
            as many readers of events are connected as there may be; of the fleet: `bucket_unavailable`, `fleet_fault`, \
            `contended`: nothing was changed; `save_uncertain`: it is not known whether the change is saved; \
            `not_in_force_yet`: it is saved, and this edge does not enforce it yet"
        }
        507 => "`storage_full`: nothing was changed, or there is no room for the copy",
        _ => "`internal_error`, `storage_failed`",
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(meaning).content("application/problem+json", content).build()
}

/// One line of a batch: a document to save, or a widget to delete.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = json!({"put": {"id": "wgt_demo", "allowed_domains": ["example.com"]}}))]
#[expect(dead_code, reason = "read by the schema's derivation alone; `batch::lines` reads lines")]
pub(super) enum BatchLine {
    /// Save this document.
    Put(WidgetDocument<'static>),
    /// Delete this widget.
    Delete(DeletionDocument),
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by the schema's derivation alone; `batch::lines` reads lines")]
pub(super) struct DeletionDocument {
    id: WidgetId,
    /// The revision of the deletion. Left out: the stored one plus one.
    #[schema(maximum = 9007199253692416_u64)]
    revision: Option<u64>,
}

/// Merge patch of a widget's document (RFC 7396): the fields that change. `null` gives a field its default again.
#[derive(ToSchema)]
#[schema(example = json!({"enabled": false, "labels": {"team": "growth"}}))]
#[expect(dead_code, reason = "read by the schema's derivation alone; the writer reads patches")]
pub(super) struct MergePatch {
    /// Left out, or the same: an id never changes.
    #[schema(nullable = false)]
    id: Option<WidgetId>,
    environment: Option<Environment>,
    access: Option<Access>,
    enabled: Option<bool>,
    /// The whole list.
    #[schema(max_items = 1000)]
    allowed_domains: Option<Vec<ListedEntry>>,
    /// The whole list.
    capabilities: Option<Vec<Capability>>,
    public_trust_center: Option<bool>,
    /// Limits that change; `null` removes one, those of a part, or all.
    limits: Option<Limits>,
    /// Labels that change; `null` removes one.
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    labels: Option<BTreeMap<String, Option<String>>>,
    /// The widget's version, which only grows. Left out: the stored one plus one.
    #[schema(maximum = 9007199253692416_u64)]
    revision: Option<u64>,
}

/// Entries to add and to remove.
#[derive(ToSchema)]
#[schema(example = json!({"add": ["shop.example.com"], "remove": ["old.example.com"]}))]
#[expect(dead_code, reason = "read by the schema's derivation alone; `widgets::domains` reads bodies")]
pub(super) struct DomainsDocument {
    /// Entries as in a document.
    #[schema(required = false)]
    add: Vec<ListedEntry>,
    /// Entries as text. They are the same if they admit the same sites, however they are written.
    #[schema(required = false)]
    remove: Vec<String>,
}

/// File of a store.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "read by the schema's derivation alone; `backup` sends the file")]
pub(super) struct StoreFile(Vec<u8>);

/// Preconditions of a save.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the description's derivation alone; `input` reads headers")]
pub(super) struct SaveConditions {
    /// Save only if the stored revision is one of these; `*`: only if the widget exists.
    #[param(rename = "If-Match", nullable = false, pattern = r#"^([*]|"[0-9]{1,19}"(, ?"[0-9]{1,19}")*)$"#)]
    if_match: Option<String>,
    /// `*`: save only if the widget does not exist.
    #[param(rename = "If-None-Match", nullable = false, pattern = "^[*]$")]
    if_none_match: Option<String>,
}

/// Preconditions of a deletion.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the description's derivation alone; `input` reads headers")]
pub(super) struct DeleteConditions {
    /// Delete only if the stored revision is one of these; `*`: only if the widget exists.
    #[param(rename = "If-Match", nullable = false, pattern = r#"^([*]|"[0-9]{1,19}"(, ?"[0-9]{1,19}")*)$"#)]
    if_match: Option<String>,
}

/// Condition of a read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the description's derivation alone; `input` reads headers")]
pub(super) struct ReadConditions {
    /// Entity tags that the client already has: 304 if the widget is still at one of them.
    #[param(rename = "If-None-Match", nullable = false)]
    if_none_match: Option<String>,
}
