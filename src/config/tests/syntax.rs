use super::read;

/// The fault of this text: one, however much is misread after it.
#[track_caller]
fn told(text: &str) -> String {
    let error = read(text, &[]).unwrap_err();
    assert_eq!(error.faults().len(), 1, "{error}");
    error.to_string()
}

/// Mistakes of a hand that edits: each with its place and what is to be done about it.
#[test]
fn every_mistake_is_told_in_words_to_act_on() {
    let rows = [
        ("[edge]\nlisten = [\"127.0.0.1:8080]\nworkers = 1\n", "2:11", "no closing \" on its line"),
        ("[log]\nlevel = \"info\naudit = \"x\"\n", "2:9", "no closing \" on its line"),
        ("[log]\nlevel = 'info\naudit = \"x\"\n", "2:9", "no closing ' on its line"),
        ("[log]\naudit = \"Bob's chat\n", "2:9", "no closing \" on its line"),
        ("[log]\naudit = 'say \"hi\n", "2:9", "no closing ' on its line"),
        ("[log]\naudit = \"say \\\"hi\n", "2:9", "no closing \" on its line"),
        ("[log]\naudit = \"\"\"x\nlevel = \"info\"\n", "2:9", "no closing \"\"\""),
        ("[log]\nlevel = info\"\n", "2:9", "no opening quote; write \"info\""),
        ("[log]\nlevel = info\n", "2:9", "`info` has no quotes; write \"info\""),
        ("[edge]\ngrace_period = 30s\n", "2:16", "`30s` has no quotes; write \"30s\""),
        ("[admin]\nlisten = 127.0.0.1:9090\n", "2:10", "write \"127.0.0.1:9090\""),
        ("[log]\naudit = /var/log/x\n", "2:9", "write \"/var/log/x\""),
        ("[edge]\nlisten = [127.0.0.1:8080]\n", "2:11", "write \"127.0.0.1:8080\""),
        ("[log]\nlevel = \u{201c}info\u{201d}\n", "2:9", "a typographic quote"),
        ("[log]\nlevel \"info\"\n", "2:7", "no `=` after the key `level`"),
        ("[log]\nlevel: \"info\"\n", "2:6", "`:` after a key"),
        ("log:\n  level: info\n", "1:4", "`:` after a key"),
        ("[log]\nlevel =\naudit = \"x\"\n", "2:8", "no value after `=`"),
        ("[log\nlevel = \"info\"\n", "1:5", "no `]` at the end of this header"),
        ("[[routes]\npath = \"x\"\n", "1:10", "no `]]` at the end of this header"),
        ("[edge]\nlisten = [\"a\", \"b\"\nworkers = 1\n", "2:10", "the list that begins here is not closed"),
        (
            "[edge]\nlisten = [\"a\",\n[log]\nlevel = \"info\"\n",
            "2:10",
            "the list that begins here is not closed",
        ),
        ("[edge]\nlisten = [\"a\" \"b\"]\n", "2:15", "no comma before this"),
        ("[edge]\nlisten = [\n  \"a\"\n  \"b\"\n]\nworkers = 1\n", "4:3", "no comma before this"),
        ("[edge]\nlisten = [\"a\",, \"b\"]\n", "2:15", "a comma with nothing before it"),
        ("[rules]\nstore = { path = \"x\" seed = \"y\" }\n", "2:22", "no comma before this"),
        (
            "[rules]\nstore = { path = \"x\"\n[log]\nlevel = \"info\"\n",
            "2:9",
            "the table that begins here is not closed",
        ),
        (
            "[log]\nlevel = \"info\"\n[log]\naudit = \"x\"\n",
            "3:2",
            "[log] is already in line 1; put these keys there",
        ),
        ("[log]\nlevel = \"info\"\nlevel = \"warn\"\n", "3:1", "`level` is already in line 2"),
        ("[routes]\npath = \"x\"\n[[routes]]\npath = \"y\"\n", "3:3", "write [[routes]] each time"),
        ("rules.store = { path = \"x\" }\nrules.store.seed = \"y\"\n", "2:7", "write them in there"),
        ("// no\n[log]\n", "1:1", "a comment begins with #"),
        ("; no\n[log]\n", "1:1", "a comment begins with #"),
        ("{\"log\": {\"level\": \"info\"}}\n", "1:1", "this is JSON"),
        ("[edge]\nredirect_http = True\n", "2:17", "write true"),
        ("[edge]\nredirect_http = yes\n", "2:17", "write true or false"),
        ("[log]\nlevel\u{a0}= \"info\"\n", "2:6", "a special white space"),
        ("[log]\naudit = \"C:\\data\\x\"\n", "2:13", "write `\\\\`"),
        ("[log] level = \"info\"\n", "1:7", "write it on the next line"),
        ("[log]\nlevel = \"info\" audit = \"x\"\n", "2:16", "each key has a line of its own"),
        ("[log]\nlevel = \"info\",\naudit = \"x\"\n", "2:15", "`,` after the value"),
        ("[log]\nlevel = \"info\";\n", "2:15", "`;` after the value"),
        ("[edge]\nworkers = 08\n", "2:11", "does not begin with 0"),
        ("[edge]\nheader timeout = \"1s\"\n", "2:8", "write header_timeout = "),
        ("[upstreams.a/b]\nbuiltin = true\n", "1:13", "`/` in a key"),
        ("[]\n", "1:2", "a name is missing here"),
        ("[log]\naudit = \"a\u{1}b\"\n", "2:11", "a control character"),
        ("[log]\rlevel = \"info\"\r", "1:7", "the line ends of Unix"),
        ("[log]\nlevel = ${LEVEL}\n", "2:9", "set EMBEDGATE__SECTION__KEY instead"),
        ("<<<<<<< HEAD\n[log]\n=======\n", "1:1", "a merge conflict"),
    ];
    for (text, place, says) in rows {
        let error = told(text);
        assert!(error.starts_with(&format!("edge.toml:{place}: not TOML: ")), "{text}: {error}");
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains("expected"), "{text}: {error}");
    }
}

/// A quote that is missing anywhere in the shipped file is told once, on its line.
#[test]
fn a_missing_quote_is_one_fault_on_its_line() {
    let shipped = include_str!("../../../conf/embedgate.toml");
    let mut tried = 0;
    let lines: Vec<&str> = shipped.lines().collect();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let Some(setting) = line.split('#').next().filter(|setting| setting.contains('"')) else { continue };
        let Some(last) = setting.rfind('"') else { continue };
        let broken = format!("{}{}", &line[..last], &line[last + 1..]);
        let mut text = lines.clone();
        text[index] = &broken;
        let error = told(&text.join("\n"));
        assert!(error.starts_with(&format!("edge.toml:{}:", index + 1)), "{broken}: {error}");
        assert!(error.contains("no closing \""), "{broken}: {error}");
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}

/// What only looks wrong.
#[test]
fn a_byte_order_mark_and_line_ends_of_windows_are_fine() {
    let text = format!("\u{feff}{}\t[log]\r\n\tlevel\t=\t'info'\r\n", super::ROUTE.replace('\n', "\r\n"));
    assert!(read(&text, &[]).is_ok());
}
