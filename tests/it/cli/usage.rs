//! How commands are called: help, errors of usage, completions, variables.

use std::process::Command;

use serde_json::json;

use super::{Desk, finished};

/// What is done with widgets of a running edge.
const EVERYDAY: [&str; 10] =
    ["list", "get", "put", "allow", "disallow", "disable", "delete", "history", "revert", "propose"];

#[test]
fn errors_of_usage_end_with_two_and_say_how() {
    let desk = Desk::shipped();
    for (arguments, says) in [
        (["explain"].as_slice(), "--widget <ID>"),
        (&["explain", "--widget", "w", "--class", "script"], "`asset`, `frame`, `session` or `public`"),
        (&["explain", "--widget", "w", "--origin", "a", "--origin", "b"], "--origin"),
        (&["nonsense"], "nonsense"),
        (&["check", "--nonsense"], "--nonsense"),
        (&["check", "--config"], "--config <FILE>"),
        (&["completions"], "<SHELL>"),
        (&["completions", "tcsh"], "bash"),
        (&["--json"], "no effect"),
        (&["run", "--json"], "no effect"),
        (&["--new-store", "check"], "--new-store belongs to `embedgate run`"),
        (&["check", "--new-store"], "--new-store"),
        (&["widgets"], "Usage: embedgate widgets"),
        (&["widgets", "allow"], "<ID> <ENTRY>..."),
        (&["widgets", "allow", "w"], "<ENTRY>..."),
        (&["widgets", "alow", "w", "a.example"], "'allow'"),
        (&["widgets", "allow", "no id", "a.example"], "1 to 64"),
        (&["widgets", "allow", "w", "a.example", "--expires-at", "2027-01-31"], "2027-01-31T00:00:00Z"),
        (&["widgets", "allow", "w", "a.example", "--confirm", "open"], "restrict"),
        (&["widgets", "revert", "w"], "<REVISION>"),
        (&["widgets", "revert", "w", "latest"], "latest"),
        (&["widgets", "revert", "w", "1", "--confirm", "7"], "open"),
        (&["widgets", "list", "--access", "closed"], "open, monitor, enforce"),
        (&["widgets", "list", "--environment", "test"], "production, staging"),
        (&["widgets", "get", "w", "--admin", "localhost"], "write http://localhost"),
        (&["widgets", "get", "w", "--client-key", "a.key"], "--client-cert"),
        (&["apply", "--confirm", "all"], "all"),
        (&["widgets", "allow", "w", "a.example", "--timeout", "2s"], "--wait"),
        (&["widgets", "delete", "w", "--wait", "--timeout", "61s"], "from 1ms to 60s"),
        (&["widgets", "put", "-", "--wait", "--timeout", "2"], "500ms or 10s"),
        (&["activity", "--stale-days", "0"], "1..=3650"),
        (&["activity", "--widget", "w", "--host", "a.example"], "cannot be used with"),
        (&["activity", "--widget", "no id"], "1 to 64"),
        (&["widgets", "propose"], "<ID>"),
        (&["fleet", "forget"], "<NAME>"),
        (&["fleet", "accept", "--confirm", "all"], "all"),
        (&["fleet", "status", "--timeout", "0s"], "from 1ms to 60s"),
    ] {
        let ran = desk.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        // Without a subcommand it is the help that is said.
        let is_told = ran.err.starts_with("error: ") || arguments == ["widgets"];
        assert!(is_told && ran.err.contains(says), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn help_names_every_command() {
    let desk = Desk::shipped();
    let ran = desk.run(&["--help"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for command in [
        "run",
        "check",
        "explain",
        "lint",
        "activity",
        "widgets",
        "fleet",
        "apply",
        "reload",
        "upgrade",
        "completions",
    ] {
        assert!(ran.out.contains(&format!("\n  {command} ")), "{command}: {}", ran.out);
        assert_eq!(desk.run(&[command, "--help"]).code, 0, "{command}");
    }
    let widgets = desk.run(&["widgets", "--help"]).out;
    for command in EVERYDAY.into_iter().chain(["export", "import"]) {
        assert!(widgets.contains(&format!("\n  {command} ")), "{command}: {widgets}");
        let help = desk.run(&["widgets", command, "--help"]).out;
        assert!(help.contains(&format!("Usage: embedgate widgets {command}")), "{help}");
    }
    let fleet = desk.run(&["fleet", "--help"]).out;
    for command in ["status", "restore", "accept", "forget"] {
        assert!(fleet.contains(&format!("\n  {command} ")), "{command}: {fleet}");
        let help = desk.run(&["fleet", command, "--help"]).out;
        assert!(help.contains(&format!("Usage: embedgate fleet {command}")), "{help}");
    }
    for command in
        [&["explain"][..], &["apply"], &["widgets", "allow"], &["widgets", "get"], &["widgets", "put"]]
    {
        let help = desk.run(&[command, &["--help"]].concat()).out;
        assert!(help.contains(&format!("\n  embedgate {} ", command.join(" "))), "an example: {help}");
    }
    assert_eq!(desk.run(&["--version"]).out, format!("embedgate {}\n", env!("CARGO_PKG_VERSION")));
}

/// What is said of an import is what it does.
#[test]
fn an_import_takes_the_place_of_what_is_there() {
    let desk = Desk::shipped();
    let help = desk.run(&["widgets", "import", "--help"]).out;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("replaces the widget's stored document"), "{help}");
    assert!(help.contains("Other widgets stay") && !help.contains("left alone"), "{help}");
    let import = |lines: &str| -> Vec<u64> {
        desk.write("lines", lines);
        let ran = desk.run(&["widgets", "import", "--json", "lines"]);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        ["created", "updated", "unchanged"].map(|name| report[name].as_u64().unwrap()).into()
    };
    let widget = |site: &str| json!({ "id": "w", "allowed_domains": [site] }).to_string();
    assert_eq!(import(&format!("{}\n{{\"id\":\"stays\"}}\n", widget("a.example"))), [2, 0, 0]);
    assert_eq!(import(&widget("a.example")), [0, 0, 1]);
    assert_eq!(import(&widget("b.example")), [0, 1, 0]);
    desk.run(&["widgets", "export", "out"]);
    let out = std::fs::read_to_string(desk.path().join("out")).unwrap();
    assert!(out.contains("b.example") && !out.contains("a.example") && out.contains("stays"), "{out}");
}

#[test]
fn completions_are_what_shells_understand() {
    let desk = Desk::shipped();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = desk.run(&["completions", shell]);
        assert!(ran.code == 0 && ran.err.is_empty() && ran.out.contains("explain"), "{shell}: {ran:?}");
    }
    desk.write("completions.bash", &desk.run(&["completions", "bash"]).out);
    let bash = |script: &str| finished(Command::new("bash").current_dir(desk.path()).args(["-c", script]));
    assert_eq!(bash("bash -n completions.bash").code, 0);
    let asked = bash(
        "source completions.bash; COMP_WORDS=(embedgate ch); COMP_CWORD=1; _embedgate embedgate ch embedgate; \
         echo \"${COMPREPLY[@]}\"",
    );
    assert_eq!((asked.out.as_str(), asked.err.as_str()), ("check checklist\n", ""));
    let asked = bash(
        "source completions.bash; COMP_WORDS=(embedgate widgets dis); COMP_CWORD=2; \
         _embedgate embedgate dis widgets; echo \"${COMPREPLY[@]}\"",
    );
    assert_eq!((asked.out.as_str(), asked.err.as_str()), ("disallow disable\n", ""));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let desk = Desk::shipped();
    let binary = env!("CARGO_BIN_EXE_embedgate");
    for arguments in ["completions bash", "explain --widget wgt_demo --json", "lint"] {
        // The reader is gone before anything is written.
        let script = format!("(sleep 0.1; {binary} {arguments}; echo $? >&2) | true");
        let ran = finished(Command::new("bash").current_dir(desk.path()).args(["-c", &script]));
        let code = if arguments == "lint" { "1\n" } else { "0\n" };
        assert_eq!(ran.err, code, "{arguments}");
    }
}

#[test]
fn variables_override_the_file() {
    let desk = Desk::shipped();
    let ask = ["explain", "--json", "--widget", "wgt_demo", "--origin", "https://dash.example"];
    assert_eq!(desk.run(&ask).json()["reason"], "not_listed");
    let system = ("EMBEDGATE__POLICY__SYSTEM_ORIGINS", "[\"https://dash.example\"]");
    let ran = desk.run_with(&[system], &ask);
    assert_eq!((ran.code, &ran.json()["reason"]), (0, &json!("system_origin")));

    desk.write("other.json", "{\"widgets\": []}");
    let ran = desk.run_with(&[("EMBEDGATE__RULES__STORE__SEED", "other.json")], &["check"]);
    assert_eq!(ran.out, "conf/embedgate.toml: fine, 0 widgets in other.json\n");

    let wrong =
        [("EMBEDGATE__LOG__LEVEL", "loud"), ("EMBEDGATE__EDGE__LISTN", "x"), ("EMBEDGATE__EDGE", "x")];
    let ran = desk.run_with(&wrong, &["check"]);
    assert_eq!(ran.code, 1);
    for (name, says) in
        [("LOG__LEVEL", "'loud'"), ("EDGE__LISTN", "did you mean 'listen'?"), ("EDGE", "[edge]")]
    {
        let line = ran.out.lines().find(|line| line.starts_with(&format!("error: EMBEDGATE__{name}: ")));
        assert!(line.is_some_and(|line| line.contains(says)), "{name}: {}", ran.out);
    }
}
