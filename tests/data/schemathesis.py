"""What schemathesis can't know of the API by its description alone."""

import json
import re

import schemathesis

# The patterns of the description, which schemathesis passes over for these two: it has values of its own for them.
CONDITIONS = {
    "if-match": re.compile(r'[*]|"[0-9]{1,19}"(, ?"[0-9]{1,19}")*'),
    "if-none-match": re.compile("[*]"),
}


NDJSON = "application/x-ndjson"


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    """The description says of a text in lines what a line is; bodies are made of that."""
    for item in raw_schema["paths"].values():
        for call in item.values():
            content = call.get("requestBody", {}).get("content", {})
            if NDJSON in content:
                content[NDJSON]["schema"] = content[NDJSON]["schema"]["contentSchema"]


@schemathesis.serializer(NDJSON)
def ndjson(ctx, value):
    """A body is made of lines."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Makes good what was meant to be good."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # The document's id is the path's: else nearly every save would be refused for that alone.
    if isinstance(case.body, dict) and "id" in case.body and "id" in (case.path_parameters or {}):
        case.body["id"] = case.path_parameters["id"]
    # A time to wait is one for a wish to wait, and a trial changes nothing that could be waited for.
    query = case.query or {}
    if "dry_run" in query:
        query.pop("wait", None)
    if case.path != "/v1/fleet" and "wait" not in query:
        query.pop("timeout", None)
    # No pattern tells what a site is.
    if "domain" in (case.query or {}):
        case.query["domain"] = "https://shop.example.com"
    # Nor what a host is.
    if "host" in (case.query or {}):
        case.query["host"] = "*.preview.example.com"
    for name, value in list((case.headers or {}).items()):
        condition = CONDITIONS.get(name.lower())
        if condition and not condition.fullmatch(str(value)):
            del case.headers[name]
