use super::read;

#[test]
fn there_must_be_a_route() {
    let none = read("", &[]).unwrap_err().to_string();
    assert!(
        none.starts_with("edge.toml: there are no routes; add a [[routes]] table with path = "),
        "{none}"
    );
    let empty = read("routes = []", &[]).unwrap_err().to_string();
    assert!(empty.starts_with("edge.toml:1:10: routes: needs at least one"), "{empty}");
}

/// The faults of one route, whose first line is line 3.
fn route(fields: &str) -> Vec<String> {
    let text = format!("[upstreams.demo]\nbuiltin = true\n[[routes]]\n{fields}");
    let error = read(&text, &[]).expect_err(fields);
    error.faults().iter().map(ToString::to_string).collect()
}

#[test]
fn routes() {
    let path = "path = \"/{widget}/x\"\n";
    let class = "class = \"asset\"\n";
    let demo = "upstream = \"demo\"\n";
    let cases = [
        (
            format!("{class}{demo}"),
            "3:1",
            "'path' is missing in [[routes]]; write path = \"/w/{widget}/loader.js\"",
        ),
        (format!("{path}{demo}"), "3:1", "'class' is missing in [[routes]]"),
        (format!("{path}{class}"), "3:1", "'upstream' is missing in [[routes]]"),
        (format!("{class}{demo}path = \"/x\""), "6:8", "routes.path: '/x' has no {widget}"),
        (
            format!("{path}{demo}class = \"assets\""),
            "6:9",
            "'assets' is not known; write one of \"asset\", \"frame\"",
        ),
        (
            format!("{path}{class}upstream = \"demi\""),
            "6:12",
            "there is no upstream 'demi'; did you mean 'demo'?",
        ),
        (
            format!("{path}{class}upstream = \"other\""),
            "6:12",
            "known upstreams: demo; or add a table [upstreams.other]",
        ),
        (
            format!("{path}{class}upstream = {{ production = \"demo\" }}"),
            "6:12",
            "'staging' is missing in [routes.upstream]",
        ),
        (
            format!("{path}{class}upstream = {{ production = \"demo\", staging = \"x\" }}"),
            "6:45",
            "there is no upstream 'x'",
        ),
        (format!("{path}{class}{demo}missing = true"), "7:11", "must be a string, not a boolean"),
        (format!("{path}{class}{demo}mising = \"deny\""), "7:1", "did you mean 'missing'?"),
        (
            format!("{path}{class}{demo}[[routes]]\n{path}{class}{demo}"),
            "8:8",
            "'/{widget}/x' already has a route",
        ),
        (
            format!("{path}{demo}class = \"session\"\nmissing = \"deny\""),
            "7:11",
            "does not apply to class session, only to asset and frame",
        ),
        (format!("{path}{demo}class = \"frame\"\ncredentials = true"), "7:15", "only to asset and session"),
        (format!("{path}{demo}class = \"public\"\nshared_cache = true"), "7:16", "only to asset"),
        (format!("{path}{demo}class = \"frame\"\nstream = true"), "7:10", "only to session"),
        (format!("{path}{class}{demo}stream = \"yes\""), "7:10", "must be"),
        (
            format!("{path}{demo}class = \"frame\"\nexpose = []"),
            "7:10",
            "only to asset and session; leave it out",
        ),
        (
            format!("{path}{demo}class = \"public\"\nexpose = [\"X-A\"]"),
            "7:10",
            "does not apply to class public",
        ),
        (
            format!("{path}{class}{demo}expose = \"X-A\""),
            "7:10",
            "an array such as [\"Mcp-Session-Id\"], not a string",
        ),
        (format!("{path}{class}{demo}expose = [1]"), "7:11", "must be a string, not a number"),
        (
            format!("{path}{class}{demo}expose = [\"X A\"]"),
            "7:11",
            "'X A' is not a header name; write it like \"Mcp-Session-Id\"",
        ),
        (format!("{path}{class}{demo}expose = [\"\"]"), "7:11", "'' is not a header name"),
        (format!("{path}{class}{demo}expose = [\"A\", \"A, B\"]"), "7:16", "'A, B' is not a header name"),
        (
            format!("{path}{class}{demo}expose = [\"X-A\", \"x-a\"]"),
            "7:18",
            "'x-a' is listed twice; leave one out",
        ),
        (
            format!("{path}{class}{demo}expose = [\"Set-Cookie\"]"),
            "7:11",
            "browsers never expose 'Set-Cookie'; leave it out",
        ),
        (
            format!("{path}{class}{demo}expose = [\"*\", \"X-A\"]"),
            "7:1",
            "write [\"*\"] alone, or only the names",
        ),
        (format!("{path}{class}{demo}credentials = true\nexpose = [\"*\"]"), "8:11", "list the headers"),
    ];
    for (fields, place, detail) in cases {
        let found = route(&fields);
        assert_eq!(found.len(), 1, "{fields}: {found:?}");
        assert!(
            found[0].starts_with(&format!("edge.toml:{place}: ")) && found[0].contains(detail),
            "{found:?}"
        );
    }
}

#[test]
fn route_headers() {
    let cases = [
        ("asset", "Access-Control-Allow-Origin = \"*\"", "depends on the verdict"),
        ("asset", "Access-Control-Expose-Headers = \"X-A\"", "has its own key; write expose = "),
        ("asset", "vary = \"Cookie\"", "depends on the verdict"),
        ("frame", "Content-Security-Policy = \"\"", "depends on the verdict"),
        ("frame", "Server-Timing = \"x\"", "depends on the verdict"),
        ("session", "Set-Cookie = \"a=b\"", "depends on the verdict"),
        ("asset", "Connection = \"close\"", "belongs to the message or connection"),
        ("asset", "Content-Length = \"1\"", "belongs to the message or connection"),
        ("asset", "\"x y\" = \"1\"", "'x y' is not a header name"),
        ("asset", "X-A = \"ü\"", "visible ASCII"),
        ("asset", "X-A = \"a\\r\\nb\"", "visible ASCII"),
        ("asset", "X-A = \" a\"", "visible ASCII"),
        ("asset", "X-A = 1", "must be a string, not a number"),
        ("asset", "X-A = \"1\"\nx-a = \"2\"", "is there twice"),
        ("asset", "Cache-Control = \"Public, max-age=1\"", "add shared_cache = true"),
        ("asset", "Cache-Control = \"s-maxage=1\"", "add shared_cache = true"),
        (
            "frame",
            "CDN-Cache-Control = \"max-age=600\"",
            "shared caches answer instead of the edge; leave it out",
        ),
        ("session", "Surrogate-Control = \"max-age=600\"", "shared caches answer instead of the edge"),
        ("asset", "X-Accel-Expires = \"600\"", "leave it out or set shared_cache = true"),
        ("frame", "Cache-Control = \"private\"", "can't be set on class frame"),
        ("frame", "X-Frame-Options = \"DENY\"", "can't be set on class frame"),
        ("frame", "Timing-Allow-Origin = \"*\"", "can't be set on class frame"),
        ("frame", "Referrer-Policy = \"no-referrer\"", "write \"strict-origin-when-cross-origin\""),
        ("frame", "Referrer-Policy = \"origin, No-Referrer\"", "without an embedder"),
    ];
    for (class, header, detail) in cases {
        let fields = format!(
            "path = \"/{{widget}}/x\"\nclass = \"{class}\"\nupstream = \"demo\"\n[routes.headers]\n{header}"
        );
        let found = route(&fields);
        assert_eq!(found.len(), 1, "{header}: {found:?}");
        let line = if header.contains("\nx-a") { 9 } else { 8 };
        assert!(
            found[0].starts_with(&format!("edge.toml:{line}:")) && found[0].contains(detail),
            "{found:?}"
        );
    }
    for header in [
        "Referrer-Policy = \"no-referrer\"",
        "Cache-Control = \"private, no-cache\"",
        "X-Frame-Options = \"\"",
    ] {
        let text = format!(
            "[upstreams.demo]\nbuiltin = true\n[[routes]]\npath = \"/{{widget}}/x\"\nclass = \"public\"\n\
             upstream = \"demo\"\nheaders.{header}"
        );
        assert!(read(&text, &[]).is_ok(), "{header}");
    }
}
