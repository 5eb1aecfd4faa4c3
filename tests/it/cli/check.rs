//! `embedgate check` and `embedgate lint`: what is wrong, where, and what would be right.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Desk, config, on_free_ports};
use crate::support::certificates::Authority;
use crate::support::ports;

#[test]
fn the_shipped_configuration_is_fine() {
    let desk = Desk::shipped();
    let ran = desk.run(&["check"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "conf/embedgate.toml: fine, 3 widgets in conf/widgets.json\n", "")
    );
    let told = desk.run(&["check", "--json"]).json();
    assert_eq!(
        told,
        json!({ "config": "conf/embedgate.toml", "rules": "conf/widgets.json", "ok": true, "faults": [],
            "warnings": [], "widgets": 3 })
    );
    let started: Vec<_> = std::fs::read_dir(desk.path()).unwrap().collect();
    assert_eq!(started.len(), 1, "it only looks: {started:?}");
}

#[test]
fn every_fault_of_the_configuration_is_told_with_its_place() {
    let desk = Desk::with(
        &config("lisen = [\"127.0.0.1:8080\"]\ngrace_period = 30\n[rules]\nsource = \"consul\""),
        "{\"widgets\": []}",
    );
    let ran = desk.run(&["check"]);
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.out.lines().collect();
    let [listen, grace, source, last] = lines[..] else { panic!("{}", ran.out) };
    assert!(
        listen.starts_with("error: conf/embedgate.toml:3:1: ") && listen.contains("did you mean 'listen'?")
    );
    assert!(
        grace.starts_with("error: conf/embedgate.toml:4:16: ") && grace.contains("write \"30s\""),
        "{grace}"
    );
    assert!(
        source.starts_with("error: conf/embedgate.toml:6:10: ") && source.contains("write one of \"store\""),
        "{source}"
    );
    assert_eq!(last, "conf/embedgate.toml: 3 errors; the edge would not start");

    let told = desk.run(&["check", "--json"]);
    assert_eq!((told.code, &told.json()["ok"], &told.json()["rules"]), (1, &json!(false), &Value::Null));
    assert_eq!(told.json()["faults"][0], listen.strip_prefix("error: ").unwrap());
}

#[test]
fn every_fault_of_the_rules_is_told_with_its_place() {
    let rules = "{\"widgets\": [\n  {\"id\": \"a\", \"allowed_domains\": [\n    \"https://example.com/app\",\n    \
                 \"*foo.com\", \"*.co.uk\", \"*.vercel.app\", \"a.*.com\", \"*\", \"a.example;b.example\"]},\n  \
                 {\"id\": \"b\", \"enable\": false}\n]}";
    let desk = Desk::with(&config(""), rules);
    let ran = desk.run(&["check"]);
    assert_eq!(ran.code, 1);
    let expected = [
        ("3:5: /widgets/0/allowed_domains/0", "use `https://example.com`"),
        ("4:5: /widgets/0/allowed_domains/1", "`*.foo.com`"),
        ("4:17: /widgets/0/allowed_domains/2", "`co.uk`"),
        ("4:28: /widgets/0/allowed_domains/3", "`vercel.app`"),
        ("4:44: /widgets/0/allowed_domains/4", "*"),
        ("4:55: /widgets/0/allowed_domains/5", "*"),
        ("4:60: /widgets/0/allowed_domains/6", ";"),
        ("5:25: /widgets/1/enable", "did you mean `enabled`?"),
    ];
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), expected.len() + 1, "{}", ran.out);
    for ((place, says), line) in expected.into_iter().zip(&lines) {
        assert!(line.starts_with(&format!("error: conf/widgets.json:{place}: ")), "{place}: {line}");
        assert!(line.contains(says), "{says}: {line}");
    }
    assert_eq!(lines.last().unwrap(), &"conf/embedgate.toml: 8 errors; the edge would not start");
}

#[test]
fn files_that_are_not_there_are_named() {
    let desk = Desk::with(&config("[rules]\nsource = \"file\""), "{}");
    std::fs::remove_file(desk.path().join("conf/widgets.json")).unwrap();
    let ran = desk.run(&["check"]);
    assert!(ran.code == 1 && ran.out.starts_with("error: conf/widgets.json: "), "{ran:?}");

    let ran = desk.run(&["check", "--config", "nowhere.toml"]);
    assert!(ran.code == 1 && ran.out.starts_with("error: nowhere.toml: no such file"), "{ran:?}");
    assert!(ran.out.ends_with("nowhere.toml: 1 error; the edge would not start\n"), "{ran:?}");

    desk.write("other.toml", &config("[rules]\nsource = \"file\"\nfile = { path = \"other.json\" }"));
    desk.write("other.json", "{\"widgets\": [{\"id\": \"a\"}]}");
    let ran = desk.run(&["--config", "other.toml", "check"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "other.toml: fine, 1 widget in other.json\n"));
}

#[test]
fn what_a_start_would_refuse_is_found_without_a_start() {
    let tls = format!(
        "[[edge.tls]]\nlisten = \"{}\"\ncertificates = [{{ cert = \"tls/site.pem\", key = \"tls/site.key\" }}]\n",
        ports::free()
    );
    let mutual = format!(
        "[admin]\nlisten = \"0.0.0.0:{}\"\nhosts = [\"edge\"]\n\
         tls = {{ cert = \"a.pem\", key = \"a.key\", client_ca = \"ca.pem\" }}\n",
        ports::free().port()
    );
    let suffixes = "[policy]\npublic_suffix_list = \"suffixes.dat\"\n".to_owned();
    for (more, says) in [(tls, "tls/site.pem"), (mutual, "a.pem: "), (suffixes, "suffixes.dat: ")] {
        let ran = Desk::with(&config(&more), "{\"widgets\": []}").run(&["check"]);
        assert_eq!(
            (ran.code, ran.out.lines().filter(|line| line.starts_with("error: ")).count()),
            (1, 1),
            "{ran:?}"
        );
        assert!(ran.out.starts_with("error: ") && ran.out.contains(says), "{ran:?}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let desk = Desk::with(&config("[policy]\nmax_staleness = \"1h\""), "{\"widgets\": []}");
    let ran = desk.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let says = "warning: policy.max_staleness has an effect only with rules.source = \"nats\": ";
    assert!(ran.out.starts_with(says), "{ran:?}");
    assert_eq!(desk.run(&["check", "--json"]).json()["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn a_route_for_a_widget_that_is_not_there_is_a_warning() {
    let route = |id: &str| {
        format!(
            "[[routes]]\npath = \"/{id}\"\nwidget = \"fixed:{id}\"\nclass = \"asset\"\nupstream = \"demo\"\n"
        )
    };
    let routes = [route("here"), route("gone")].concat();
    let shipped = std::fs::read_to_string("conf/embedgate.toml").unwrap();
    let rules = json!({ "widgets": [{ "id": "here", "allowed_domains": ["example.com"] }] });
    let desk = Desk::with(&[on_free_ports(&shipped), routes].concat(), &rules.to_string());
    let ran = desk.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("warning: routes.widget: there is no widget 'gone', for which alone /gone is\n"),
        "{ran:?}"
    );
    assert!(!ran.out.contains("'here'"), "{ran:?}");
}

#[test]
fn a_certificate_that_browsers_will_refuse_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Authority::new().issue(&["other.example"]);
    let (cert, key) = pair.write(folder.path(), "site");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let tls = format!(
        "[[edge.tls]]\nlisten = \"{}\"\ncertificates = [{{ cert = \"{}\", key = \"{}\" }}]\n[upstreams.x]\nservers = [\"a:1\"]\n",
        ports::free(),
        cert.display(),
        key.display()
    );
    let config = config("")
        .replace("http://edge", "https://edge")
        .replace("[upstreams.demo]", &format!("{tls}[upstreams.demo]"));
    let ran = Desk::with(&config, "{\"widgets\": []}").run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for text in ["others can read this key (mode 0644)", "is for https://edge.example, so browsers refuse it"]
    {
        assert!(ran.out.contains(text), "{text}: {ran:?}");
    }
}

#[test]
fn lint_tells_what_is_allowed_but_hardly_meant() {
    let rules = json!({ "widgets": [
        { "id": "fine", "allowed_domains": ["app.example.com"] },
        { "id": "open" },
        { "id": "previews", "environment": "staging", "allowed_domains": ["my-app-*.vercel.app"] },
    ] });
    let desk = Desk::on(&rules);
    let ran = desk.run(&["lint"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    assert!(ran.out.ends_with("2 findings in 3 widgets\n"), "{}", ran.out);
    let told = desk.run(&["lint", "--json"]);
    assert_eq!((told.code, &told.json()["widgets"]), (1, &json!(3)));
    let findings: Vec<_> = told.json()["findings"].as_array().unwrap().clone();
    let found: Vec<_> = findings.iter().map(|found| (&found["widget"], &found["code"])).collect();
    assert_eq!(
        found,
        [
            (&json!("open"), &json!("unrestricted_production")),
            (&json!("previews"), &json!("claimable_preview"))
        ]
    );

    let desk = Desk::on(&json!({ "widgets": [{ "id": "fine", "allowed_domains": ["app.example.com"] }] }));
    let ran = desk.run(&["lint"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "0 findings in 1 widget\n"));
}
