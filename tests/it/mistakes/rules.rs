//! Mistakes in the rules, as the first rules of a store and as a rules file.

use super::{Site, tell};

fn with(inner: &str) -> String {
    format!("{{\"widgets\": [\n  {{\"id\": \"w\", {inner}}}\n]}}\n")
}

fn from_file(site: &mut Site) {
    site.more("[rules]\nsource = \"file\"\n");
}

#[test]
fn in_the_syntax() {
    tell(&[
        (
            "a comma at the end",
            |site| site.rules(with("\"enabled\": true,")),
            "conf/widgets.json:2:31: ",
            "a comma before `}`",
        ),
        (
            "no comma",
            |site| site.rules(with("\"enabled\": true \"labels\": {}")),
            "conf/widgets.json:2:31: ",
            "no comma before this",
        ),
        (
            "single quotes",
            |site| site.rules(with("'enabled': true")),
            "conf/widgets.json:2:15: ",
            "double quotes",
        ),
        (
            "a comment",
            |site| site.rules(with("// on\n\"enabled\": true")),
            "conf/widgets.json:2:15: ",
            "a comment",
        ),
        (
            "no quotes",
            |site| site.rules(with("enabled: true")),
            "conf/widgets.json:2:15: ",
            "write \"enabled\"",
        ),
        (
            "another language",
            |site| site.rules(with("\"enabled\": True")),
            "conf/widgets.json:2:26: ",
            "write true",
        ),
        (
            "a brace",
            |site| site.rules("{\"widgets\": [\n  {\"id\": \"w\"\n]}\n"),
            "conf/widgets.json:3:1: ",
            "write `}` before it",
        ),
        (
            "the end",
            |site| site.rules("{\"widgets\": [\n  {\"id\": \"w\"}\n"),
            "conf/widgets.json:3:1: ",
            "before the `]` of what begins at 1:13",
        ),
        ("a quote", |site| site.rules(with("\"access: \"open\"")), "conf/widgets.json:2:25: ", "`:`"),
        (
            "an encoding",
            |site| site.rules(b"{\"widgets\": [\n  {\"id\": \"\xe4\"}]}"),
            "conf/widgets.json:2:11: ",
            "save the file as UTF-8",
        ),
        (
            "lines of documents",
            |site| site.rules("{\"id\": \"a\"}\n{\"id\": \"b\"}\n"),
            "conf/widgets.json:2:1: ",
            "several go into one array",
        ),
        ("nothing but white space", |site| site.rules("\n"), "conf/widgets.json:2:1: ", "it is empty"),
    ]);
}

#[test]
fn in_the_documents() {
    tell(&[
        (
            "a path",
            |site| site.rules(with("\"allowed_domains\": [\"example.com/app\"]")),
            "conf/widgets.json:2:35: /widgets/0/allowed_domains/0: ",
            "use `example.com`",
        ),
        (
            "a public suffix",
            |site| site.rules(with("\"allowed_domains\": [\"*.co.uk\"]")),
            "conf/widgets.json:2:35: /widgets/0/allowed_domains/0: ",
            "`co.uk`",
        ),
        (
            "two entries in one",
            |site| site.rules(with("\"allowed_domains\": [\"a.example, b.example\"]")),
            "conf/widgets.json:2:35: /widgets/0/allowed_domains/0: ",
            "",
        ),
        (
            "an entry twice",
            |site| site.rules(with("\"allowed_domains\": [\"a.example\", \"https://a.example\"]")),
            "conf/widgets.json:2:48: /widgets/0/allowed_domains/1: ",
            "leave one out",
        ),
        (
            "a date",
            |site| {
                site.rules(with(
                    "\"allowed_domains\": [{\"pattern\": \"a.example\", \"expires_at\": \"2027-01-31\"}]",
                ))
            },
            "conf/widgets.json:2:74: /widgets/0/allowed_domains/0/expires_at: ",
            "write it like `2027-01-31T00:00:00Z`",
        ),
        (
            "voice without https",
            |site| {
                site.rules(with("\"capabilities\": [\"voice\"], \"allowed_domains\": [\"http://a.example\"]"))
            },
            "conf/widgets.json:2:62: /widgets/0/allowed_domains/0: ",
            "list `a.example`",
        ),
        (
            "a field",
            |site| site.rules(with("\"acess\": \"open\"")),
            "conf/widgets.json:2:24: /widgets/0/acess: ",
            "did you mean `access`?",
        ),
        (
            "a word",
            |site| site.rules(with("\"access\": \"closed\"")),
            "conf/widgets.json:2:25: /widgets/0/access: ",
            "expected one of `open`, `monitor`, `enforce`",
        ),
        (
            "a number for a word",
            |site| site.rules(with("\"environment\": 1")),
            "conf/widgets.json:2:30: /widgets/0/environment: ",
            "expected \"production\" or \"staging\"",
        ),
        (
            "a text for a switch",
            |site| site.rules(with("\"enabled\": \"yes\"")),
            "conf/widgets.json:2:26: /widgets/0/enabled: ",
            "expected a boolean",
        ),
        (
            "a field twice",
            |site| site.rules(with("\"enabled\": true, \"enabled\": false")),
            "conf/widgets.json:2:43: /widgets/0/enabled: ",
            "duplicate field `enabled`",
        ),
        (
            "an id",
            |site| site.rules("{\"widgets\": [{\"id\": \"my widget\"}]}"),
            "conf/widgets.json:1:21: /widgets/0/id: ",
            "`A-Z a-z 0-9 _ -`",
        ),
        (
            "an id twice",
            |site| site.rules("{\"widgets\": [{\"id\": \"w\"},\n{\"id\": \"w\"}]}"),
            "conf/widgets.json:2:8: /widgets/1/id: ",
            "another document at conf/widgets.json:1:21; keep one of them",
        ),
        (
            "a part of the limits",
            |site| site.rules(with("\"limits\": {\"adress\": {\"sessions\": 5}}")),
            "conf/widgets.json:2:36: /widgets/0/limits/adress: ",
            "did you mean `address`?",
        ),
        (
            "a limit of nothing",
            |site| site.rules(with("\"limits\": {\"address\": {\"sessions\": 0}}")),
            "conf/widgets.json:2:50: /widgets/0/limits/address/sessions: ",
            "without a limit, leave it out",
        ),
        (
            "a limit as text",
            |site| site.rules(with("\"limits\": {\"address\": {\"sessions\": \"5\"}}")),
            "conf/widgets.json:2:50: /widgets/0/limits/address/sessions: ",
            "expected a whole number from 1 to 4294967295",
        ),
        (
            "another shape",
            |site| site.rules("{}"),
            "conf/widgets.json:1:1: ",
            "a rules file is {\"widgets\": [...]}",
        ),
    ]);
}

#[test]
fn in_the_source() {
    tell(&[
        (
            "a rules file that is not there",
            |site| {
                from_file(site);
                site.rules("");
            },
            "conf/widgets.json: ",
            "put a rules file there",
        ),
        (
            "a seed that is not there",
            |site| site.more("[rules.store]\nseed = \"conf/first.json\"\n"),
            "conf/embedgate.toml:17:8: rules.store.seed: ",
            "put it there",
        ),
        (
            "a folder without rules",
            |site| {
                site.more("[rules]\nsource = \"file\"\nfile = { path = \"rules\" }\n");
                site.write("rules/readme.md", "");
            },
            "rules: ",
            "put a file with {\"widgets\": []} in it",
        ),
        (
            "a folder with a fault",
            |site| {
                site.more("[rules]\nsource = \"file\"\nfile = { path = \"rules\" }\n");
                site.write("rules/a.json", "{\"id\": \"a\"}");
                site.write("rules/b.json", "{\"id\": \"b\",\n}");
            },
            "rules/b.json:2:1: ",
            "a comma before `}`",
        ),
        (
            "a suffix list that is not there",
            |site| site.more("[policy]\npublic_suffix_list = \"suffixes.dat\"\n"),
            "policy.public_suffix_list: suffixes.dat: ",
            "leave the key out for the one compiled in",
        ),
        (
            "a suffix list that is none",
            |site| {
                site.more("[policy]\npublic_suffix_list = \"suffixes.dat\"\n");
                site.write("suffixes.dat", "<html>");
            },
            "policy.public_suffix_list: suffixes.dat: ",
            "",
        ),
    ]);
}

#[test]
fn of_many_at_once_all_are_told() {
    let mut site = Site::new();
    site.rules(with(
        "\"acess\": 1, \"enabled\": 0, \"labels\": {\"a\": 1}, \"allowed_domains\": [\"*\", 5, {\"patern\": \"x\"}]",
    ));
    site.settle();
    let (checked, ran) = (site.run("check"), site.run("run"));
    let faults: Vec<&str> = checked.out.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(faults.len(), 7, "{checked:?}");
    for fault in faults {
        assert!(ran.err.contains(fault), "{fault}: {ran:?}");
    }
}
