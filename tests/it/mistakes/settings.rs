//! Mistakes in the configuration, the environment and the arguments.

use super::{Site, tell};
use crate::support::ports;

#[test]
fn in_the_syntax() {
    tell(&[
        (
            "a quote",
            |site| site.change("listen = [\"127", "listen = [127"),
            "conf/embedgate.toml:2:11: ",
            "has no opening quote",
        ),
        (
            "a closing quote",
            |site| site.change("/frame\"", "/frame"),
            "conf/embedgate.toml:13:8: ",
            "no closing \" on its line",
        ),
        (
            "no quotes",
            |site| site.change("\"app\"\n", "app\n"),
            "conf/embedgate.toml:15:12: ",
            "write \"app\"",
        ),
        (
            "a bracket",
            |site| site.change("[admin]", "[admin"),
            "conf/embedgate.toml:6:7: ",
            "no `]` at the end of this header",
        ),
        (
            "a list",
            |site| site.change("7001\"]", "7001\""),
            "conf/embedgate.toml:10:11: ",
            "write `]` at its end",
        ),
        (
            "no comma",
            |site| site.change("[\"127.0.0.1:7001\"]", "[\"127.0.0.1:7001\" \"127.0.0.1:7002\"]"),
            "conf/embedgate.toml:10:29: ",
            "no comma before this",
        ),
        (
            "no equals",
            |site| site.change("class =", "class"),
            "conf/embedgate.toml:14:7: ",
            "no `=` after the key `class`",
        ),
        ("a colon", |site| site.change("class =", "class:"), "conf/embedgate.toml:14:6: ", "`:` after a key"),
        (
            "a comma",
            |site| site.change("\"frame\"", "\"frame\","),
            "conf/embedgate.toml:14:16: ",
            "`,` after the value",
        ),
        (
            "a table twice",
            |site| site.more("[admin]\nhosts = [\"a\"]\n"),
            "conf/embedgate.toml:16:2: ",
            "[admin] is already in line 6",
        ),
        (
            "a key twice",
            |site| site.admin("listen = \"127.0.0.1:1\""),
            "conf/embedgate.toml:8:1: ",
            "`listen` is already in line 7",
        ),
        (
            "a word of another language",
            |site| site.edge("redirect_http = True"),
            "conf/embedgate.toml:4:17: ",
            "write true",
        ),
        (
            "a comment of another language",
            |site| site.config.insert_str(0, "// edge\n"),
            "conf/embedgate.toml:1:1: ",
            "begins with #",
        ),
        (
            "another language",
            |site| site.config = "{\"edge\": {}}\n".to_owned(),
            "conf/embedgate.toml:1:1: ",
            "this is JSON",
        ),
        (
            "a merge",
            |site| site.config.insert_str(0, "<<<<<<< HEAD\n"),
            "conf/embedgate.toml:1:1: ",
            "a merge conflict",
        ),
        (
            "a backslash",
            |site| site.more("[log]\naudit = \"C:\\data\"\n"),
            "conf/embedgate.toml:17:13: ",
            "write `\\\\`",
        ),
    ]);
}

#[test]
fn in_the_values() {
    tell(&[
        (
            "a port of the system's choice",
            |site| {
                let first = site.config.lines().nth(1).unwrap().to_owned();
                site.change(&first, "listen = [\"127.0.0.1:0\"]");
            },
            "conf/embedgate.toml:2:11: ",
            "write \"127.0.0.1:8080\"",
        ),
        ("a key", |site| site.edge("lisen = []"), "conf/embedgate.toml:4:1: ", "did you mean 'listen'?"),
        (
            "a section",
            |site| site.more("[logs]\nlevel = \"info\"\n"),
            "conf/embedgate.toml:16:2: ",
            "did you mean 'log'?",
        ),
        (
            "a name for an address",
            |site| site.admin("probe = { listen = \"localhost:1\" }"),
            "conf/embedgate.toml:8:20: ",
            "\"127.0.0.1:1\" or \"[::1]:1\"",
        ),
        ("a time", |site| site.edge("grace_period = 30"), "conf/embedgate.toml:4:16: ", "write \"30s\""),
        (
            "a size",
            |site| site.more("[cache]\nbytes = 64\n"),
            "conf/embedgate.toml:17:9: ",
            "write \"64MiB\"",
        ),
        (
            "a type",
            |site| site.edge("workers = \"2\""),
            "conf/embedgate.toml:4:11: ",
            "must be a whole number",
        ),
        (
            "a network",
            |site| site.change("10.0.0.0/8", "10.0.0.1"),
            "conf/embedgate.toml:4:20: ",
            "write \"10.0.0.1/32\"",
        ),
        (
            "an origin",
            |site| site.change("edge.example\"", "edge.example/\""),
            "conf/embedgate.toml:3:19: ",
            "write \"https://edge.example\"",
        ),
        (
            "a class",
            |site| site.change("class = \"frame\"", "class = \"iframe\""),
            "conf/embedgate.toml:14:9: ",
            "write one of \"asset\"",
        ),
        (
            "an upstream",
            |site| site.change("upstream = \"app\"", "upstream = \"ap\""),
            "conf/embedgate.toml:15:12: ",
            "did you mean 'app'?",
        ),
        (
            "an environment",
            |site| site.change("upstream = \"app\"", "upstream = { production = \"app\" }"),
            "conf/embedgate.toml:15:12: ",
            "write staging = \"app\"",
        ),
        (
            "no upstream",
            |site| site.change("upstream = \"app\"\n", ""),
            "conf/embedgate.toml:12:1: ",
            "write upstream = \"app\"",
        ),
        (
            "a path",
            |site| site.change("/{widget}", ""),
            "conf/embedgate.toml:13:8: ",
            "write it like \"/w/{widget}/loader.js\"",
        ),
        (
            "a route twice",
            |site| {
                site.more("[[routes]]\npath = \"/w/{widget}/frame\"\nclass = \"frame\"\nupstream = \"app\"\n")
            },
            "conf/embedgate.toml:17:8: ",
            "leave one out",
        ),
        (
            "a URL for a server",
            |site| site.change("127.0.0.1:7001", "http://app"),
            "conf/embedgate.toml:10:12: ",
            "write \"app:80\"",
        ),
        (
            "no servers",
            |site| site.change("servers = [\"127.0.0.1:7001\"]", ""),
            "conf/embedgate.toml:9:1: ",
            "write servers = ",
        ),
        (
            "TLS without a name",
            |site| site.upstream("tls = true"),
            "conf/embedgate.toml:11:1: ",
            "add sni = ",
        ),
        (
            "a check",
            |site| site.upstream("health_check = { timeout = \"9s\" }"),
            "conf/embedgate.toml:11:16: ",
            "must be shorter than interval",
        ),
        (
            "the admin side for all",
            |site| {
                let listen = format!("0.0.0.0:{}", ports::free().port());
                let from = site.config.split("[admin]\n").nth(1).unwrap().lines().next().unwrap().to_owned();
                site.change(&from, &format!("listen = \"{listen}\""));
            },
            "conf/embedgate.toml:7:10: ",
            "needs mutual TLS",
        ),
        (
            "one address twice",
            |site| {
                let addr = ports::free();
                site.admin(&format!("probe = {{ listen = \"{addr}\" }}"));
                let first = site.config.lines().nth(1).unwrap().to_owned();
                site.change(&first, &format!("listen = [\"{addr}\"]"));
            },
            "conf/embedgate.toml:8:20: ",
            "give each its own",
        ),
        (
            "a redirect to nowhere",
            |site| site.edge("redirect_http = true"),
            "conf/embedgate.toml:4:17: ",
            "add an [[edge.tls]] listener",
        ),
        (
            "a level",
            |site| site.more("[log]\nlevel = \"verbose\"\n"),
            "conf/embedgate.toml:17:9: ",
            "write one of \"off\"",
        ),
        (
            "a source",
            |site| site.more("[rules]\nsource = \"consul\"\n"),
            "conf/embedgate.toml:17:10: ",
            "write one of \"store\", \"file\", \"nats\"",
        ),
        (
            "a header",
            |site| site.more("[routes.headers]\nReferrer-Policy = \"no-referrer\"\n"),
            "conf/embedgate.toml:17:",
            "no-referrer",
        ),
        (
            "a lifetime",
            |site| site.more("[tickets]\nlifetime = \"2h\"\n"),
            "conf/embedgate.toml:17:12: ",
            "longer than 1h",
        ),
        (
            "a dashboard",
            |site| site.more("[policy]\nsystem_origins = [\"https://edge.example\"]\n"),
            "conf/embedgate.toml:17:19: ",
            "serve the dashboard from another origin",
        ),
    ]);
}

#[test]
fn in_the_environment() {
    tell(&[
        (
            "one underscore",
            |site| site.variable("EMBEDGATE_LOG_LEVEL", "debug"),
            "EMBEDGATE_LOG_LEVEL: ",
            "write EMBEDGATE__LOG__LEVEL",
        ),
        (
            "one of two",
            |site| site.variable("EMBEDGATE__LOG_LEVEL", "debug"),
            "EMBEDGATE__LOG_LEVEL: ",
            "write EMBEDGATE__LOG__LEVEL",
        ),
        (
            "lower case",
            |site| site.variable("embedgate__log__level", "debug"),
            "embedgate__log__level: ",
            "write EMBEDGATE__LOG__LEVEL",
        ),
        (
            "a value",
            |site| site.variable("EMBEDGATE__LOG__LEVEL", "loud"),
            "EMBEDGATE__LOG__LEVEL: ",
            "write one of \"off\"",
        ),
        (
            "a key",
            |site| site.variable("EMBEDGATE__LOG__LEVELS", "info"),
            "EMBEDGATE__LOG__LEVELS: ",
            "did you mean 'level'?",
        ),
        (
            "a list of tables",
            |site| site.variable("EMBEDGATE__ROUTES", "[]"),
            "EMBEDGATE__ROUTES: ",
            "write them in the file",
        ),
        (
            "a text for a list",
            |site| site.variable("EMBEDGATE__EDGE__LISTEN", "0.0.0.0:1"),
            "EMBEDGATE__EDGE__LISTEN: ",
            "such as [\"127.0.0.1:8080\"]",
        ),
    ]);
}

#[test]
fn in_the_arguments() {
    tell(&[
        (
            "no such file",
            |site| site.arguments = vec!["--config".into(), "none.toml".into()],
            "none.toml: ",
            "name the configuration with --config FILE",
        ),
        (
            "a folder",
            |site| site.arguments = vec!["--config".into(), "conf".into()],
            "conf: ",
            "can't be read",
        ),
    ]);
    // Wrong usage, for which the parser says the same of both.
    for (arguments, says) in [
        (&["--confg", "x"][..], "--config"),
        (&["--config"], "a value is required"),
        (&["--json=yes"], "unexpected value 'yes'"),
        (&["now"], "unexpected argument 'now'"),
    ] {
        let mut said = Vec::new();
        for command in ["check", "run"] {
            let site = Site::new();
            site.settle();
            let ran = crate::cli::finished(site.command(command).args(arguments));
            assert!(ran.code == 2 && ran.err.contains(says), "{command} {arguments:?}: {ran:?}");
            said.push(ran.err.lines().next().unwrap_or_default().to_owned());
        }
        assert_eq!(said[0], said[1]);
    }
}
