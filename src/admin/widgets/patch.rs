//! `PATCH /v1/widgets/{id}`: some fields of a document.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::HeaderValue;
use http::{HeaderName, StatusCode};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::saved::{self, Saved};
use crate::admin::Admin;
use crate::admin::auth::Writer;
use crate::admin::conditions::Conditions;
use crate::admin::enforcement::{FleetWait, WaitQuery};
use crate::admin::input::{self, KnownId, MERGE_PATCH};
use crate::admin::openapi::{MergePatch, SaveConditions, WriteProblems};
use crate::admin::problem::{ErrorPart, Problem};
use crate::rules::edit::Edit;
use embedgate_policy::widget::{MAX_DOCUMENT_BYTES, WidgetId};

/// Header of an answer that tells which patches are taken (RFC 5789 §3.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Change some fields of a widget
///
/// The body is a JSON Merge Patch (RFC 7396): fields that it has replace those of the stored document, `null` gives a field
/// its default again, and what it leaves out stays. Lists are replaced as a whole: for single entries there is
/// `/v1/widgets/{id}/domains`. The patch is made of what is stored at that moment, in one step, so nothing that others
/// save is lost.
#[utoipa::path(
    patch,
    path = "/v1/widgets/{id}",
    operation_id = "patchWidget",
    tag = "widgets",
    params(("id" = WidgetId, Path, description = "The widget's id."), SaveConditions, WaitQuery),
    request_body(content = MergePatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "Saved, or unchanged", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 202, description = "Saved; the edges in `behind` do not enforce it yet", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        WriteProblems,
    ),
)]
pub(in crate::admin) async fn patch(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    wait: FleetWait,
    request: Request,
) -> Result<Response, Problem> {
    // For a request that is in order (RFC 9110 §13.2.1).
    let conditions = Conditions::of(request.headers());
    let body = input::body(request, MERGE_PATCH, MAX_DOCUMENT_BYTES).await;
    let body = body.map_err(|problem| match problem.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            problem.with_field(ACCEPT_PATCH, HeaderValue::from_static(MERGE_PATCH))
        }
        _ => problem,
    })?;
    let patch = read(&body)?;
    saved::edited(admin, id, Edit::Patch(patch), conditions?, &caller, wait).await
}

/// Reads a patch. As in a document, a name that stands twice in one object is an error.
fn read(json: &[u8]) -> Result<Value, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value =
        SingleNames(None).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        // A name that stands twice is the only error of data there is here.
        let part = match error.is_data() {
            true => {
                let text = error.to_string();
                let pointer = text.split_once(" at line ").map_or(&*text, |(pointer, _)| pointer).to_owned();
                let detail = "this name stands twice in one object; leave one out".to_owned();
                ErrorPart { pointer, code: "duplicate_field", detail, ..ErrorPart::default() }
            }
            false => {
                let detail = format!("{error}; a merge patch is JSON, such as {{\"enabled\": false}}");
                ErrorPart { code: "invalid_json", detail, ..ErrorPart::default() }
            }
        };
        Problem::invalid_document(vec![part])
    })
}

/// Any JSON value in whose objects no name stands twice. The error is the pointer to the second one.
#[derive(Clone, Copy)]
struct SingleNames<'p>(Option<&'p PatchPlace<'p>>);

/// Place in a patch below its root. It is written out only for an error: a patch can have long names and many values.
struct PatchPlace<'p> {
    parent: Option<&'p PatchPlace<'p>>,
    step: PatchStep<'p>,
}

/// Last step to a place.
enum PatchStep<'p> {
    Name(&'p str),
    Index(usize),
}

impl PatchPlace<'_> {
    /// The JSON pointer (RFC 6901).
    fn pointer(&self) -> String {
        let above = self.parent.map(Self::pointer).unwrap_or_default();
        match self.step {
            PatchStep::Name(name) => format!("{above}/{}", name.replace('~', "~0").replace('/', "~1")),
            PatchStep::Index(index) => format!("{above}/{index}"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for SingleNames<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SingleNames<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = PatchPlace { parent: self.0, step: PatchStep::Index(list.len()) };
            match seq.next_element_seed(SingleNames(Some(&place)))? {
                Some(value) => list.push(value),
                None => break,
            }
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let place = PatchPlace { parent: self.0, step: PatchStep::Name(&name) };
            if object.contains_key(&name) {
                return Err(A::Error::custom(place.pointer()));
            }
            let value = map.next_value_seed(SingleNames(Some(&place)))?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_stands_once() {
        let patch = json!({ "enabled": false, "labels": { "a": null, "b": "x" }, "allowed_domains": ["a", { "n": -1.5 }] });
        assert_eq!(read(patch.to_string().as_bytes()).unwrap(), patch);
        for (text, pointer, code) in [
            (r#"{"enabled": true, "enabled": false}"#, "/enabled", "duplicate_field"),
            (r#"{"labels": {"a/b": "1", "a/b": "2"}}"#, "/labels/a~1b", "duplicate_field"),
            (
                r#"{"allowed_domains": [{}, {"note": 1, "note": 1}]}"#,
                "/allowed_domains/1/note",
                "duplicate_field",
            ),
            (r#"{"a at line b": 1, "a at line b": 1}"#, "/a", "duplicate_field"),
            ("{", "", "invalid_json"),
            ("", "", "invalid_json"),
            ("{} {}", "", "invalid_json"),
            ("{'a': 1}", "", "invalid_json"),
        ] {
            let problem = read(text.as_bytes()).unwrap_err();
            let [part] = problem.errors() else { panic!("{text}") };
            assert_eq!((part.pointer.as_str(), part.code), (pointer, code), "{text}");
        }
    }

    #[test]
    fn a_long_name_above_many_values_costs_nothing() {
        let patch = format!("{{\"{}\": [{}0]}}", "n".repeat(1 << 20), "0,".repeat(200_000));
        let started = tokio::time::Instant::now();
        read(patch.as_bytes()).unwrap();
        // Copied for each value, it takes a minute.
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_any_reader_reads(text in r#"[\[\]{}",:0-9a-c .-]{0,40}|\{("[a-c]": ?([0-9]|true|null|"x"|\[1\]),?){0,4}\}"#) {
            let (ours, theirs) = (read(text.as_bytes()), serde_json::from_str::<Value>(&text));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                (Err(_), Err(_)) => {}
                (ours, theirs) => {
                    let is_doubled = ours.as_ref().is_err_and(|problem| problem.errors()[0].code == "duplicate_field");
                    prop_assert!(is_doubled && theirs.is_ok(), "{text}");
                }
            }
        }
    }
}
