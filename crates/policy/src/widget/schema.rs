//! OpenAPI schemas of types that do not serialise field by field.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::{MAX_ID_CHARS, WidgetId};
use crate::entry::listed::ListedEntry;

impl PartialSchema for WidgetId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[A-Za-z0-9_-]+$"))
            .min_length(Some(1))
            .max_length(Some(MAX_ID_CHARS))
            .examples(["wgt_demo"])
            .description(Some("The id of a widget, case-sensitive."))
            .into()
    }
}

impl ToSchema for WidgetId {
    fn name() -> Cow<'static, str> {
        "WidgetId".into()
    }
}

impl PartialSchema for ListedEntry {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let nullable = || text().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
        let object = ObjectBuilder::new()
            .property("pattern", text().examples(["https://pr-*.preview.example.com"]))
            .required("pattern")
            .property(
                "expires_at",
                nullable()
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                    .description(Some("The instant from which the entry admits nothing (RFC 3339).")),
            )
            .property("note", nullable().description(Some("A note for people.")))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        OneOfBuilder::new()
            .item(text().examples(["example.com"]))
            .item(object)
            .description(Some(
                "An entry: a host with an optional scheme and port, or an object with an expiry or a note.",
            ))
            .into()
    }
}

impl ToSchema for ListedEntry {
    fn name() -> Cow<'static, str> {
        "Entry".into()
    }
}
