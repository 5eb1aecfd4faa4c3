use super::read;
use crate::config::WidgetPlace;

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
            "'staging' is missing in [routes.upstream]; write staging = \"demo\"",
        ),
        (
            format!("{path}{class}upstream = {{ staging = \"demo\" }}"),
            "6:12",
            "'production' is missing in [routes.upstream]; write production = \"demo\"",
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
            format!("{path}{demo}class = \"asset\"\nopens = true"),
            "7:9",
            "does not apply to class asset, only to session",
        ),
        (format!("{path}{class}{demo}opens = 1"), "7:9", "must be"),
        (format!("{path}{class}{demo}max_body = 10"), "7:12", "has no unit"),
        (format!("{path}{class}{demo}max_body = \"10\""), "7:12", "'10' has no unit; write \"10MiB\""),
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
    refused(&cases);
}

#[test]
fn places_of_the_id() {
    let path = "path = \"/{widget}/x\"\n";
    let plain = "path = \"/x\"\n";
    let rest = "path = \"/x/{*rest}\"\n";
    let class = "class = \"asset\"\n";
    let demo = "upstream = \"demo\"\n";
    let fixed = "widget = \"fixed:w\"\n";
    refused(&[
        (format!("{plain}{class}{demo}"), "4:8", "or say with routes.widget or routes.host where the id is"),
        (
            format!("{path}{class}{demo}host = \"{{widget}}.b.example\""),
            "4:8",
            "{widget} is also in routes.host",
        ),
        (
            format!("{path}{class}{demo}host = \"B.example\""),
            "7:8",
            "'B.example' is not a host in lower case",
        ),
        (format!("{path}{class}{demo}host = \"b.example:80\""), "7:8", "a route holds for every port"),
        (
            format!("{path}{class}{demo}widget = \"cookie\""),
            "7:10",
            "write \"path\", \"host\", \"query:NAME\" or",
        ),
        (format!("{path}{class}{demo}widget = \"host\""), "7:10", "routes.host has no {widget}"),
        (format!("{plain}{class}{demo}widget = \"path\""), "7:10", "'/x' has no {widget}"),
        (format!("{path}{class}{demo}widget = \"fixed:w\""), "7:10", "a second place of the id"),
        (format!("{plain}{class}{demo}widget = \"fixed:a b\""), "7:10", "'a b' is not a widget's id"),
        (
            format!("{plain}{class}{demo}widget = \"query:a b\""),
            "7:10",
            "'a b' is not the name of a query parameter",
        ),
        (
            format!("{plain}{class}{demo}widget = \"query:\""),
            "7:10",
            "'' is not the name of a query parameter",
        ),
        (format!("{plain}{class}{demo}widget = \"query:ticket\""), "7:10", "the parameter of tickets"),
        (
            format!("{plain}{class}{demo}{fixed}[[routes]]\n{plain}{class}{demo}widget = \"query:id\""),
            "9:8",
            "'/x' already has a route; leave one out",
        ),
        (
            format!(
                "{path}{class}{demo}[[routes]]\n{rest}{class}{demo}{fixed}[[routes]]\npath = \"/{{*rest}}\"\n{class}{demo}{fixed}"
            ),
            "13:8",
            "'/{*rest}' and '/{widget}/x' could both match",
        ),
        (
            format!("path = \"/w/{{*rest}}\"\n{class}{demo}{fixed}"),
            "4:8",
            "'/w/{*rest}' and '/w/{widget}/embed-ticket' could",
        ),
        (
            format!("path = \"/w/{{widget}}/embed-report\"\n{class}{demo}"),
            "4:8",
            "'/w/{widget}/embed-report' is reports.path, which the edge answers itself",
        ),
        (
            format!("path = \"/w/x/embed-report\"\n{class}{demo}{fixed}"),
            "4:8",
            "'/w/x/embed-report' is reports.path, which the edge answers itself",
        ),
        (format!("{plain}{class}{demo}{fixed}rewrite = \"x\""), "8:11", "must begin with a slash"),
        (format!("{plain}{class}{demo}{fixed}rewrite = \"/{{rest}}\""), "8:11", "does not end in {*rest}"),
        (format!("{rest}{class}{demo}{fixed}rewrite = \"/y\""), "8:11", "must end in {rest}"),
        (format!("{rest}{class}{demo}{fixed}encoded_slashes = true"), "8:19", "must be a string"),
        (
            format!("{plain}{class}{demo}{fixed}encoded_slashes = \"pass\""),
            "8:19",
            "only {*rest} can have any",
        ),
    ]);
    let read = |text: &str| read(&format!("[upstreams.demo]\nbuiltin = true\n{text}"), &[]).unwrap().routes;
    let routes = read(&format!(
        "[[routes]]\n{path}{class}{demo}[[routes]]\n{path}{class}{demo}host = \"a.example\"\n[[routes]]\n{plain}{class}{demo}\
         host = \"{{widget}}.b.example\"\n[[routes]]\n{rest}{class}{demo}widget = \"query:website_token\"\nrewrite = \"/{{rest}}\"\n\
         encoded_slashes = \"pass\""
    ));
    let places: Vec<_> = routes.iter().map(|route| (route.host.to_string(), &route.widget)).collect();
    assert_eq!(
        places,
        [
            ("any host".to_owned(), &WidgetPlace::Path),
            ("a.example".to_owned(), &WidgetPlace::Path),
            ("{widget}.b.example".to_owned(), &WidgetPlace::Host),
            ("any host".to_owned(), &WidgetPlace::Query("website_token".into())),
        ]
    );
    assert!(
        routes[3].encoded_slashes
            && routes[3].rewrite.as_ref().is_some_and(|rewrite| rewrite.prefix() == "/")
    );
}

#[test]
fn a_host_that_is_no_public_origin_s_is_told() {
    for (origins, is_told) in [
        ("[\"http://localhost:8080\"]", true),
        ("[\"https://b.example:8443\"]", false),
        ("[\"https://{widget}.example\"]", false),
        ("[\"https://xb.example\"]", true),
        ("[\"https://b.example.evil.example\"]", true),
    ] {
        let text = format!(
            "[edge]\npublic_origins = {origins}\ntrusted_proxies = [\"10.0.0.0/8\"]\n[upstreams.demo]\nbuiltin = true\n\
             [[routes]]\nhost = \"b.example\"\npath = \"/x\"\nwidget = \"fixed:w\"\nclass = \"asset\"\nupstream = \"demo\""
        );
        let warnings = read(&text, &[]).unwrap().warnings;
        let told = warnings.iter().any(|warning| warning.to_string().contains("routes.host: no origin of"));
        assert_eq!(told, is_told, "{origins}: {warnings:?}");
    }
}

/// Reads each route, and expects this one fault.
fn refused(cases: &[(String, &str, &str)]) {
    for (fields, place, detail) in cases {
        let found = route(fields);
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
