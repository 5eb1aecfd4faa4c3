//! The API's own description (OpenAPI 3.1), made from the calls themselves.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

use super::problem::{ErrorPart, ProblemDocument};
use crate::policy::widget::{Access, Capability, Environment, Rule, WidgetId};
use crate::rules::brake::WideChange;

/// What does not belong to one call.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "embedgate control plane",
        description = "Which widget may be embedded where: rules, verdicts, and what the edge is doing. Errors are \
                       problem documents (RFC 9457) with a stable `code` and JSON Pointers (RFC 6901).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "The admin listener")),
    tags(
        (name = "widgets", description = "Documents: when a change is answered, it is durable and in force."),
        (name = "verdicts", description = "Who may embed what, and why."),
        (name = "edge", description = "How this edge is doing."),
    ),
    components(schemas(ProblemDocument, ErrorPart, WideChange)),
    security(("token" = [])),
    modifiers(&TokenSecurity),
)]
pub(super) struct Description;

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

/// Every error of a call, by status, for the descriptions of calls.
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
    /// Errors of calls that look.
    ReadProblems: 400 401 403 404 500;
    /// Errors of calls that ask with a body.
    QuestionProblems: 400 401 403 413 415 422 500;
    /// Errors of a save that is only tried.
    DryRunProblems: 400 401 403 409 413 415 422 500;
    /// Errors of calls that change rules.
    WriteProblems: 400 401 403 404 409 412 413 415 422 500 503 507;
    /// Errors of calls that neither take nor find anything.
    StreamProblems: 401 403;
}

fn problem(status: u16) -> Response {
    let meaning = match status {
        400 => "`invalid_parameter`, `incomplete_body`: the query, a header or the transfer",
        401 => "`unauthorized`: no token, or one that is not known",
        403 => "`forbidden`: the token may only read, or `Host` or `Origin` is not this listener's",
        404 => "`unknown_widget`",
        409 => "`stale_revision`; `read_only_source` where rules come from a file",
        412 => "`precondition_failed`: somebody else was faster",
        413 => "`too_large`",
        415 => "`unsupported_media_type`",
        422 => {
            "`invalid_document`, `invalid_revision`, `would_open_widget`: `errors` has each fault with its place; \
             `wide_change`: it has to be confirmed"
        }
        503 => "`audit_unavailable`: the change could not be recorded, so it was not made",
        507 => "`storage_full`: nothing was changed",
        _ => "`internal_error`, `storage_failed`",
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(meaning).content("application/problem+json", content).build()
}

/// A widget's document as a writer sends it: what is left out, or `null`, takes its default.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    example = json!({
        "id": "wgt_demo", "environment": "production", "access": "enforce", "enabled": true,
        "allowed_domains": ["example.com", "*.example.org",
            {"pattern": "https://pr-*.preview.example.com", "expires_at": "2027-12-31T00:00:00Z", "note": "launch"}],
        "capabilities": ["chat", "voice"], "public_trust_center": true, "labels": {"team": "growth"},
    }),
)]
#[expect(dead_code, reason = "read by the schema's derivation alone; `policy::widget` reads documents")]
pub(super) struct WidgetDocument {
    id: WidgetId,
    /// Left out: production.
    environment: Option<Environment>,
    /// Left out: `open` for an empty list, `enforce` for a list.
    access: Option<Access>,
    /// `false` denies everything but public pages at once. Left out: `true`.
    enabled: Option<bool>,
    /// Where the widget may be embedded.
    #[schema(max_items = 1000, required = false)]
    allowed_domains: Vec<Rule>,
    /// What the widget can do.
    #[schema(required = false)]
    capabilities: Vec<Capability>,
    /// Whether its public pages answer. Left out: `true`.
    public_trust_center: Option<bool>,
    /// The owner's own marks.
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    /// Its version; it only grows. Left out: the stored one plus one, at first 1; a widget always has a next one.
    #[schema(maximum = 9007199253692416_u64)]
    revision: Option<u64>,
}

/// One line of a batch: a document to save, or a widget to delete.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = json!({"put": {"id": "wgt_demo", "allowed_domains": ["example.com"]}}))]
#[expect(dead_code, reason = "read by the schema's derivation alone; `batch::lines` reads lines")]
pub(super) enum BatchLine {
    /// Save this document.
    Put(WidgetDocument),
    /// Delete this widget.
    Delete(Deletion),
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by the schema's derivation alone; `batch::lines` reads lines")]
pub(super) struct Deletion {
    id: WidgetId,
    /// The revision of the deletion; left out, the stored one plus one.
    #[schema(maximum = 9007199253692416_u64)]
    revision: Option<u64>,
}

/// What a save has to find.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the description's derivation alone; `input` reads headers")]
pub(super) struct SaveConditions {
    /// Save only over one of these revisions, or over any (`*`).
    #[param(rename = "If-Match", nullable = false, pattern = r#"^([*]|"[0-9]{1,19}"(, ?"[0-9]{1,19}")*)$"#)]
    if_match: Option<String>,
    /// `*`: create only.
    #[param(rename = "If-None-Match", nullable = false, pattern = "^[*]$")]
    if_none_match: Option<String>,
}

/// What a deletion has to find.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the description's derivation alone; `input` reads headers")]
pub(super) struct DeleteConditions {
    /// Delete only at one of these revisions, or at any (`*`).
    #[param(rename = "If-Match", nullable = false, pattern = r#"^([*]|"[0-9]{1,19}"(, ?"[0-9]{1,19}")*)$"#)]
    if_match: Option<String>,
}

/// What a reader has.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the description's derivation alone; `input` reads headers")]
pub(super) struct ReadConditions {
    /// The entity tags of what is there already: 304 where the widget is at one of them still.
    #[param(rename = "If-None-Match", nullable = false)]
    if_none_match: Option<String>,
}
