#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn role(tokens: &Tokens, token: &str) -> Option<Role> {
    tokens.find(token).map(|caller| caller.role)
}

#[test]
fn one_is_made_for_its_owner_alone_and_can_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/admin.tokens");
    let tokens = Tokens::open(path.clone()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let token = text.lines().find_map(|line| line.strip_prefix("write ")).unwrap();
    assert_eq!((token.len(), role(&tokens, token)), (64, Some(Role::Write)));

    Tokens::open(path.clone()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "one that is there stays");
}

#[test]
fn several_are_good_until_they_are_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    write(&path, "# old and new\nwrite old-old-old-old-old-old\n\n  read  new-new-new-new-new-new  \n");
    let tokens = Tokens::open(path.clone()).unwrap();
    assert_eq!(role(&tokens, "old-old-old-old-old-old"), Some(Role::Write));
    assert_eq!(role(&tokens, "new-new-new-new-new-new"), Some(Role::Read));
    for unknown in ["", "old", "old-old-old-old-old-olD", "write", "#"] {
        assert_eq!(role(&tokens, unknown), None, "{unknown}");
    }
    write(&path, "write new-new-new-new-new-new\n");
    assert_eq!(role(&tokens, "old-old-old-old-old-old"), None);
    assert_eq!(role(&tokens, "new-new-new-new-new-new"), Some(Role::Write));
}

#[test]
fn a_file_that_others_can_read_or_that_is_no_token_file_is_refused_without_repeating_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    write(&path, "write good-good-good-good-good\n");
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Tokens::open(path.clone()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
    let long = format!("write secretsecretsecret {}", "n".repeat(65));
    for (line, fault) in [
        ("admin secretsecretsecret", TokenLineFault::Role),
        ("secretsecretsecret", TokenLineFault::Role),
        ("Write secretsecretsecret", TokenLineFault::Role),
        ("write", TokenLineFault::NoToken),
        ("read sécretsecretsecret", TokenLineFault::Token),
        ("write secretsecretsecret #comment", TokenLineFault::Name),
        ("write secretsecretsecret a\u{200b}b", TokenLineFault::Name),
        ("write secretsecretsecret a\u{a0}b", TokenLineFault::Name),
        (&long, TokenLineFault::Name),
        ("write secretsecretsecret two secretsecret", TokenLineFault::TooManyWords),
    ] {
        write(&path, &format!("# comment\n{line}\n"));
        let error = Tokens::open(path.clone()).unwrap_err().to_string();
        assert!(error.contains("tokens:2: not `read TOKEN` or `write TOKEN`"), "{error}");
        assert!(error.contains(&fault.to_string()) && !error.contains("secretsecret"), "{error}");
    }
}

#[test]
fn a_name_says_whose_changes_are_whose() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let names = ["ci", "ci", "ops@example.com", "Zoë", "deploy/eu-1", &"n".repeat(64)];
    let token = |number: usize| format!("token-token-token-token-{number}");
    let lines = names.iter().enumerate();
    let lines: String = lines.map(|(number, name)| format!("write {}\t {name}\n", token(number))).collect();
    write(&path, &format!("{lines}read {}\n", token(names.len())));
    let tokens = Tokens::open(path).unwrap();
    let actor = |number| tokens.find(&token(number)).unwrap().actor().to_string();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(actor(number), format!("token:{name}"));
    }
    let unnamed = tokens.find(&token(names.len())).unwrap();
    assert_eq!(unnamed.actor().to_string(), format!("token:read:{}", unnamed.fingerprint));
}

#[test]
fn a_token_has_one_role_and_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let token = "good-good-good-good-good";
    for other in ["write TOKEN", "read TOKEN ops"] {
        let text = format!("read TOKEN\nread other-other-other-other\n{other}\n").replace("TOKEN", token);
        write(&path, &text);
        let error = Tokens::open(path.clone()).unwrap_err().to_string();
        assert!(error.contains("tokens:3: ") && error.contains("line 1 has the same token"), "{error}");
        assert!(!error.contains(token), "{error}");
    }
    // Said twice, it is the same.
    write(&path, &"read TOKEN\n# again\nread TOKEN\n".replace("TOKEN", token));
    assert_eq!(role(&Tokens::open(path).unwrap(), token), Some(Role::Read));
}

#[test]
fn a_bad_change_leaves_the_last_good_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    write(&path, "write good-good-good-good-good\n");
    let tokens = Tokens::open(path.clone()).unwrap();
    write(&path, "nonsense\n");
    assert_eq!(role(&tokens, "good-good-good-good-good"), Some(Role::Write));
    fs::remove_file(&path).unwrap();
    assert_eq!(role(&tokens, "good-good-good-good-good"), Some(Role::Write));
    write(&path, "read good-good-good-good-good\n");
    assert_eq!(role(&tokens, "good-good-good-good-good"), Some(Role::Read));
}

#[test]
fn a_fingerprint_tells_tokens_apart_and_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    write(&path, "write aaaaaaaaaaaaaaaaaaaaaaaa\nread bbbbbbbbbbbbbbbbbbbbbbbb\n");
    let tokens = Tokens::open(path).unwrap();
    let [a, b] = ["a", "b"].map(|letter| tokens.find(&letter.repeat(24)).unwrap().fingerprint);
    assert!(a != b && a.len() == 8 && tokens.find(&a).is_none(), "{a} {b}");
    assert!(!format!("{tokens:?}").contains("aaaa"));
}
