//! Schemas (OpenAPI) of what does not serialise field by field.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::{MAX_ID_CHARS, Rule, WidgetId};

impl PartialSchema for WidgetId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[A-Za-z0-9_-]+$"))
            .min_length(Some(1))
            .max_length(Some(MAX_ID_CHARS))
            .examples(["wgt_demo"])
            .description(Some("The name of a widget; ids that differ in case are different."))
            .into()
    }
}

impl ToSchema for WidgetId {
    fn name() -> Cow<'static, str> {
        "WidgetId".into()
    }
}

impl PartialSchema for Rule {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let nullable = || text().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
        let object = ObjectBuilder::new()
            .property("pattern", text().examples(["https://pr-*.preview.example.com"]))
            .required("pattern")
            .property(
                "expires_at",
                nullable().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).description(Some(
                    "The instant from which the entry admits nothing any more (RFC 3339).",
                )),
            )
            .property("note", nullable().description(Some("For people.")))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        OneOfBuilder::new()
            .item(text().examples(["example.com"]))
            .item(object)
            .description(Some(
                "One entry: a host with an optional scheme and port, or an object where it expires or has a note.",
            ))
            .into()
    }
}

impl ToSchema for Rule {
    fn name() -> Cow<'static, str> {
        "Entry".into()
    }
}
