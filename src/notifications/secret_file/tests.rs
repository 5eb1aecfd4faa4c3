#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

/// The example of the specification (Standard Webhooks).
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: i64 = 1_614_265_330;
const BODY: &str = r#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn signatures_are_those_of_the_specification() {
    let keys = parse(SECRET).unwrap();
    assert_eq!(signatures(&keys, ID, TIME, BODY), SIGNATURE);
    assert_ne!(signatures(&keys, ID, TIME + 1, BODY), SIGNATURE);
    assert_ne!(signatures(&keys, "msg_other", TIME, BODY), SIGNATURE);
}

#[test]
fn all_secrets_sign_in_their_order() {
    let other = format!("whsec_{}", STANDARD.encode([7; 32]));
    let keys = parse(&format!("# one\n{other}\n\n  {SECRET} \n")).unwrap();
    let signed = signatures(&keys, ID, TIME, BODY);
    let [first, second] = signed.split(' ').collect::<Vec<_>>()[..] else { panic!("{signed}") };
    assert!(first.starts_with("v1,") && first != SIGNATURE);
    assert_eq!(second, SIGNATURE);
}

#[test]
fn a_secret_has_its_prefix_and_enough_bytes() {
    let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    for bytes in [24, 32, 64] {
        assert_eq!(parse(&secret(bytes)).unwrap().len(), 1, "{bytes}");
    }
    for wrong in [
        secret(23),
        secret(65),
        "whsec_".to_owned(),
        "whsec_!".to_owned(),
        STANDARD.encode([7; 32]),
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        format!("{SECRET} name"),
    ] {
        assert_eq!(parse(&format!("# a comment\n{wrong}")).unwrap_err(), 2, "{wrong}");
    }
}

#[test]
fn one_is_made_once_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/notify.secret");
    assert!(SecretFile::open_or(&path, IfMissing::LeftOut).is_ok());
    assert!(!path.exists());
    let first = SecretFile::open(&path).unwrap().sign(ID, TIME, BODY);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(SecretFile::open(&path).unwrap().sign(ID, TIME, BODY), first);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let fault = SecretFile::open(&path).unwrap_err().to_string();
    assert!(fault.contains("chmod 600"), "{fault}");
}

#[test]
fn a_change_is_taken_and_a_fault_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify.secret");
    write(&path, SECRET);
    let file = SecretFile::open(&path).unwrap();
    assert_eq!(file.sign(ID, TIME, BODY), SIGNATURE);
    let other = format!("whsec_{}", STANDARD.encode([9; 24]));
    write(&path, &format!("{SECRET}\n{other}\n"));
    let both = file.sign(ID, TIME, BODY);
    assert!(both.starts_with(SIGNATURE) && both.split(' ').count() == 2, "{both}");
    for broken in ["", "# nothing", "secret!", &format!("{SECRET}\n").repeat(11)] {
        write(&path, broken);
        assert_eq!(file.sign(ID, TIME, BODY), both, "{broken}");
    }
    let fault = SecretFile::open(&path).unwrap_err().to_string();
    assert!(fault.contains("11 secrets"), "{fault}");
    write(&path, "# a\nsecret!");
    let fault = SecretFile::open(&path).unwrap_err().to_string();
    assert!(fault.contains("notify.secret:2: not a secret") && !fault.contains("secret!"), "{fault}");
}
