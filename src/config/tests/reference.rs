//! `docs/configuration.md`: made from the comments of `conf/embedgate.toml`, and held against the keys that are read.

use std::fmt::Write as _;

const FILE: &str = include_str!("../../../conf/embedgate.toml");
const REFERENCE: &str = "docs/configuration.md";

/// What the comments of a configuration say of one table.
#[derive(Debug)]
struct TableReference {
    /// `[edge]`, or `[[edge.tls]]` for one of several.
    header: String,
    about: Vec<String>,
    keys: Vec<KeyReference>,
}

#[derive(Debug)]
struct KeyReference {
    name: String,
    value: String,
    meaning: String,
}

impl TableReference {
    fn named(header: &str) -> Self {
        Self { header: header.to_owned(), about: Vec::new(), keys: Vec::new() }
    }
}

/// The tables of a configuration in which every key has a comment.
fn tables(file: &str) -> Vec<TableReference> {
    let mut tables = vec![TableReference::named("")];
    let mut routes = TableReference::named("[[routes]]");
    let mut of_next = Vec::new();
    let mut is_route = false;
    for line in file.lines() {
        let table = tables.last_mut().unwrap();
        let text = line.strip_prefix('#').unwrap_or(line).trim_start();
        let (setting, comment) =
            text.split_once(" # ").unwrap_or((text.strip_suffix(" #").unwrap_or(text), ""));
        let (setting, comment) = (setting.trim(), comment.trim());
        if text.starts_with("---- ") {
            is_route = text.contains("which paths exist");
            of_next.clear();
        } else if setting.starts_with('[') && setting.ends_with(']') {
            if setting == "[[routes]]" {
                break;
            }
            let about = of_next.drain(..).chain((!comment.is_empty()).then(|| comment.to_owned())).collect();
            tables.push(TableReference { about, ..TableReference::named(setting) });
        } else if let Some(more) =
            line.strip_prefix("#    ").filter(|_| line.starts_with("#     ")).or(line.strip_prefix("     "))
        {
            // A comment goes on in the next line.
            let more = more.trim_start().trim_start_matches("# ").trim();
            let key = if is_route { routes.keys.last_mut() } else { table.keys.last_mut() };
            write!(key.unwrap().meaning, " {more}").unwrap();
        } else if let Some((name, meaning)) = text.split_once("  ").filter(|_| is_route) {
            let meaning = meaning.trim().to_owned();
            routes.keys.push(KeyReference { name: name.to_owned(), value: String::new(), meaning });
        } else if let Some((name, value)) = setting.split_once(" = ").filter(|(name, _)| is_key(name)) {
            let [name, value, meaning] = [name, value.trim(), comment].map(str::to_owned);
            table.keys.push(KeyReference { name, value, meaning });
        } else if !text.is_empty() {
            of_next.push(text.to_owned());
        }
    }
    tables.remove(0);
    tables.push(routes);
    tables
}

fn is_key(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn markdown(file: &str) -> String {
    let mut page = "# Configuration\n\n\
        Every key of embedgate's configuration file, one TOML file, by default `conf/embedgate.toml`. This page is made \
        from the comments of that file; a test holds it against the keys that are read.\n\n\
        - Unknown keys are errors. `embedgate check --config FILE` reports every error with its line.\n\
        - Every time and size has its unit: `\"500ms\"`, `\"60s\"`, `\"12h\"`; `\"64KiB\"`, `\"256MiB\"`.\n\
        - Relative paths start at the working directory.\n\
        - A variable overrides a key: `EMBEDGATE__LOG__LEVEL=debug`, `EMBEDGATE__EDGE__LISTEN='[\"0.0.0.0:8080\"]'`. \
        Keys in lists of tables (`[[edge.tls]]`, `[[routes]]`) have no variable.\n\
        - SIGHUP reads the file again. What changes at once and what waits is in [operations](operations.md).\n"
        .to_owned();
    for TableReference { header, about, keys } in tables(file) {
        write!(page, "\n## `{header}`\n\n").unwrap();
        if !about.is_empty() {
            write!(page, "{}\n\n", sentence(&about.join(" "))).unwrap();
        }
        let is_route = keys.iter().all(|key| key.value.is_empty());
        page.push_str(if is_route {
            "| key | meaning |\n|---|---|\n"
        } else {
            "| key | default or example | meaning |\n|---|---|---|\n"
        });
        for KeyReference { name, value, meaning } in keys {
            let meaning = meaning.replace('|', "\\|");
            match is_route {
                true => writeln!(page, "| `{name}` | {meaning} |"),
                false => writeln!(page, "| `{name}` | `{}` | {meaning} |", value.replace('|', "\\|")),
            }
            .unwrap();
        }
    }
    page
}

/// A comment as a sentence of a table.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[test]
fn the_reference_is_made_of_the_shipped_file() {
    let now = markdown(FILE);
    if std::env::vars_os().any(|(name, _)| name == "EMBEDGATE_UPDATE_SNAPSHOTS") {
        std::fs::write(REFERENCE, &now).unwrap();
    }
    let kept = std::fs::read_to_string(REFERENCE).unwrap_or_default();
    assert!(
        now == kept,
        "{REFERENCE} is not what conf/embedgate.toml says: take it with EMBEDGATE_UPDATE_SNAPSHOTS=1"
    );
}

/// The keys that the code knows are told by the error for one that it doesn't.
#[test]
fn the_reference_has_every_key_that_is_read() {
    let tables = tables(FILE);
    let mut compared = 0;
    for (header, text) in [
        ("[edge]", "[edge]\nzzzzzzzzzzzz = 1"),
        ("[edge.bounds]", "[edge.bounds]\nzzzzzzzzzzzz = 1"),
        ("[[edge.tls]]", "[[edge.tls]]\nlisten = \"0.0.0.0:1\"\ncertificates = []\nzzzzzzzzzzzz = 1"),
        ("[admin]", "[admin]\nzzzzzzzzzzzz = 1"),
        ("[admin.probe]", "[admin.probe]\nlisten = \"0.0.0.0:9091\"\nzzzzzzzzzzzz = 1"),
        ("[rules]", "[rules]\nzzzzzzzzzzzz = 1"),
        ("[policy]", "[policy]\nzzzzzzzzzzzz = 1"),
        ("[tickets]", "[tickets]\nzzzzzzzzzzzz = 1"),
        ("[reports]", "[reports]\nzzzzzzzzzzzz = 1"),
        ("[log]", "[log]\nzzzzzzzzzzzz = 1"),
        ("[cache]", "[cache]\nzzzzzzzzzzzz = 1"),
        ("[upstreams.app]", "[upstreams.app]\nservers = [\"a:1\"]\nzzzzzzzzzzzz = 1"),
        (
            "[upstreams.app.health_check]",
            "[upstreams.app]\nservers = [\"a:1\"]\n[upstreams.app.health_check]\nzzzzzzzzzzzz = 1",
        ),
        (
            "[[routes]]",
            "[[routes]]\npath = \"/w/{widget}/x\"\nclass = \"asset\"\nupstream = \"demo\"\nzzzzzzzzzzzz = 1",
        ),
    ] {
        let error = super::read(&format!("[upstreams.demo]\nbuiltin = true\n{text}"), &[]).expect_err(text);
        let faults: Vec<String> = error.faults().iter().map(ToString::to_string).collect();
        let known = faults
            .iter()
            .find_map(|fault| fault.split_once("; known keys: "))
            .unwrap_or_else(|| panic!("{faults:?}"));
        let table =
            tables.iter().find(|table| table.header == header).unwrap_or_else(|| panic!("no {header}"));
        for key in known.1.split(", ") {
            let is_told = table.keys.iter().any(|told| told.name == key && !told.meaning.is_empty());
            // Told as a table of its own, or of the built-in demo.
            let is_table = tables
                .iter()
                .any(|table| table.header.trim_matches(['[', ']']).ends_with(&format!(".{key}")));
            assert!(
                is_told || is_table || key == "builtin",
                "{header}: {key} has no comment in conf/embedgate.toml"
            );
            compared += 1;
        }
    }
    assert!(compared > 50, "only {compared} keys were compared");
}
