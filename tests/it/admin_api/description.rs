//! The API's description: a snapshot, its examples, and schemathesis against the running edge.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::{NDJSON, call, read};
use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN};
use crate::support::{is_full, python};

const SNAPSHOT: &str = "docs/openapi.json";

#[test]
fn the_description_is_the_one_that_was_reviewed() {
    let now = embedgate::admin::description() + "\n";
    if std::env::var_os("EMBEDGATE_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(SNAPSHOT, &now).unwrap();
    }
    let reviewed = std::fs::read_to_string(SNAPSHOT).unwrap();
    let differing = now.lines().zip(reviewed.lines()).position(|(now, then)| now != then);
    assert!(
        now == reviewed,
        "{SNAPSHOT} differs from line {}: look at the change, then take it with EMBEDGATE_UPDATE_SNAPSHOTS=1",
        differing.map_or(0, |line| line + 1)
    );
}

#[tokio::test]
async fn it_is_served_and_its_examples_are_taken() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let (status, api) = call(&edge, Method::GET, "/v1/openapi.json").await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::to_string_pretty(&api).unwrap(), embedgate::admin::description());
    let example = |name: &str| api["components"]["schemas"][name]["example"].clone();
    let document = example("WidgetDocument");
    assert_eq!(edge.put(&document).await.0, 201, "{document}");
    let line = example("BatchLine");
    let batch = edge.api(Method::POST, "/v1/batch").header("content-type", NDJSON).body(line.to_string());
    assert_eq!(batch.send().await.unwrap().status(), 200, "{line}");
    let fields = api["components"]["schemas"]["Question"]["properties"].as_object().unwrap();
    let question: Value = fields
        .iter()
        .filter_map(|(name, schema)| Some((name.clone(), schema.get("example")?.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert!(question["widget"].is_string(), "{question}");
    let answer = edge.api(Method::POST, "/v1/explain").json(&question).send().await.unwrap();
    let (status, told) = read(answer).await;
    assert_eq!((status, &told["verdict"]), (200, &json!("allow")), "{told}");
}

#[tokio::test]
async fn every_call_is_described_and_no_other() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let api: Value = serde_json::from_str(&embedgate::admin::description()).unwrap();
    let described: Vec<(String, Vec<String>)> = api["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path.replace("{id}", "w"), item.as_object().unwrap().keys().cloned().collect()))
        .collect();
    for path in [
        "/v1/widgets",
        "/v1/widgets/w",
        "/v1/batch",
        "/v1/explain",
        "/v1/widgets/w/dry-run",
        "/v1/widgets/w/purge",
        "/v1/widgets/w/activity",
        "/v1/widgets/w/propose",
        "/v1/activity",
        "/v1/lint",
        "/v1/status",
        "/v1/events",
        "/v1/notifications",
        "/v1/notifications/test",
        "/v1/fleet",
    ] {
        assert!(described.iter().any(|(described, _)| described == path), "{path}");
    }
    for (path, methods) in described {
        let answer = edge.api(Method::TRACE, &path).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let mut allowed: Vec<String> = answer.headers()["allow"]
            .to_str()
            .unwrap()
            .to_ascii_lowercase()
            .split(',')
            .map(str::to_owned)
            .collect();
        allowed.retain(|method| method != "head");
        allowed.sort();
        let mut methods = methods;
        methods.sort();
        assert_eq!(allowed, methods, "{path}");
    }
}

/// Formats of OpenAPI's registry that are used here; generators pass over others, or stop.
const FORMATS: [&str; 5] = ["binary", "date-time", "double", "int32", "int64"];

/// What generators stumble over, whichever call it comes with.
#[test]
fn generators_find_nothing_that_they_do_not_know() {
    let api: Value = serde_json::from_str(&embedgate::admin::description()).unwrap();
    let mut faults = Vec::new();
    look(&api, &api, "", &mut faults);
    let mut ids: Vec<&str> = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            ids.extend(call["operationId"].as_str());
            for (status, response) in call["responses"].as_object().unwrap() {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                if status.as_str() >= "400" && schema != "#/components/schemas/Problem" {
                    faults.push(format!("{method} {path}: {status} is no `Problem`"));
                }
            }
        }
    }
    let named = ids.len();
    ids.sort_unstable();
    ids.dedup();
    let calls: usize =
        api["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!((ids.len(), named), (calls, calls), "each call has a name of its own: {ids:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn look(api: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let mut fault = |what: &str| faults.push(format!("{place}: {what}"));
    if let Some(part) = value.as_object() {
        let text = |name: &str| part.get(name).and_then(Value::as_str);
        if let Some(target) = text("$ref")
            && api.pointer(target.trim_start_matches('#')).is_none()
        {
            fault("a reference to nothing");
        }
        if text("format").is_some_and(|format| !FORMATS.contains(&format)) {
            fault("a format that is not in the registry");
        }
        if part.contains_key("prefixItems") || part.get("items").is_some_and(Value::is_boolean) {
            fault("a tuple");
        }
        let is_of_code =
            |text: &str| ["](crate", "[`", "::", "serde", "#["].iter().any(|mark| text.contains(mark));
        for name in ["summary", "description"] {
            if text(name).is_some_and(is_of_code) {
                fault("a text about the code");
            }
        }
        if text("type").is_some() && part.get("oneOf").is_some() {
            fault("a choice with a type");
        }
        for (name, value) in part.iter().filter(|(name, _)| *name != "example") {
            look(api, value, &format!("{place}/{name}"), faults);
        }
    } else if let Some(values) = value.as_array() {
        for (number, value) in values.iter().enumerate() {
            look(api, value, &format!("{place}/{number}"), faults);
        }
    }
}

/// Schemathesis makes thousands of calls out of the description, good and bad ones, and holds every answer against it. The
/// same ones in each ordinary run, so that it fails only for a change; others each time in one of full scale.
#[tokio::test]
async fn schemathesis_finds_nothing() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let mut command =
        Command::new(python::installed("EMBEDGATE_SCHEMATHESIS", "schemathesis", "schemathesis"));
    let data = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    command
        .current_dir(edge.folder())
        .env("SCHEMATHESIS_HOOKS", data("schemathesis.py"))
        .env("NO_COLOR", "1")
        .arg("--config-file")
        .arg(data("schemathesis.toml"))
        .args(["run", &format!("http://{}/v1/openapi.json", edge.admin)])
        .args(["--header", &format!("Authorization: Bearer {WRITE_TOKEN}")])
        // A stream without an end.
        .args(["--exclude-path", "/v1/events"])
        .args(["--max-examples", if is_full() { "200" } else { "10" }, "--request-timeout", "20"]);
    if !is_full() {
        command.args(["--seed", "16"]);
    }
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{out}\n{}", String::from_utf8_lossy(&ran.stderr));
    let api: Value = serde_json::from_str(&embedgate::admin::description()).unwrap();
    let calls: usize =
        api["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert!(out.contains(&format!("Tested: {}", calls - 1)) && out.contains("Stateful"), "{out}");
}
