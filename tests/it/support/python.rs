//! Programs from Python's registry that tests need.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that `make setup-tests` installs and names in this variable, or one of this target folder's own.
/// `tests/data/NAME.txt` says what it is made of.
pub fn installed(variable: &str, name: &str, program: &str) -> PathBuf {
    if let Some(installed) = std::env::var_os(variable) {
        let installed = PathBuf::from(installed);
        assert!(
            installed.exists(),
            "{variable}={}: no such file: run `make setup-tests`",
            installed.display()
        );
        return installed;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let program = folder.join("bin").join(program);
    let requirements = format!("tests/data/{name}.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let made = folder.join("requirements.txt");
    if std::fs::read_to_string(&made).is_ok_and(|made| made == wanted) {
        return program;
    }
    let run = |program: &Path, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).output();
        let ran =
            ran.unwrap_or_else(|error| panic!("{}: {error}: see `make setup-tests`", program.display()));
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    run(Path::new("python3"), &["-m", "venv", "--clear", folder.to_str().unwrap()]);
    run(&folder.join("bin/pip"), &["install", "--quiet", "--requirement", &requirements]);
    std::fs::write(made, wanted).unwrap();
    program
}
