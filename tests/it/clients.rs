//! Clients that generators of others make of the running edge's description (`tests/clients`): each does a day's work.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN, write_tokens};

/// How long a program may take, on a machine that does much else.
const LONGEST: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_python_client_does_a_days_work() {
    let edge = edge().await;
    let work = tempfile::tempdir().unwrap();
    describe(&edge, work.path()).await;
    let (tools, data) = (installed("python"), data("python"));
    let bin = tools.join("bin");

    let valid =
        run(Command::new(bin.join("python")).args(["-m", "openapi_spec_validator"]), work.path(), |valid| {
            valid.arg("openapi.json");
        })
        .await;
    assert!(valid.contains("OK"), "{valid}");
    let said = run(&mut Command::new(bin.join("openapi-python-client")), work.path(), |generate| {
        generate.args([
            "generate",
            "--path",
            "openapi.json",
            "--meta",
            "none",
            "--output-path",
            "embedgate_admin",
        ]);
        generate.arg("--config").arg(data.join("generator.json"));
    })
    .await;
    assert!(!said.contains("WARNING") && !said.contains("Warning"), "{said}");
    let did = run(&mut Command::new(bin.join("python")), work.path(), |program| {
        program.arg(data.join("days_work.py")).env("PYTHONPATH", ".").envs(addresses(&edge));
    })
    .await;
    assert_eq!(did.trim(), "done");
}

#[tokio::test]
async fn a_typescript_client_does_a_days_work() {
    let edge = edge().await;
    let work = tempfile::tempdir().unwrap();
    describe(&edge, work.path()).await;
    let modules = installed("typescript").join("node_modules");
    std::os::unix::fs::symlink(&modules, work.path().join("node_modules")).unwrap();
    for name in ["package.json", "tsconfig.json", "days-work.ts"] {
        std::fs::copy(data("typescript").join(name), work.path().join(name)).unwrap();
    }

    let bin = modules.join(".bin");
    run(&mut Command::new(bin.join("openapi-typescript")), work.path(), |generate| {
        generate.args(["openapi.json", "--output", "embedgate-admin.ts"]);
    })
    .await;
    run(&mut Command::new(bin.join("tsc")), work.path(), |_| {}).await;
    let did = run(&mut Command::new("node"), work.path(), |program| {
        program.arg("out/days-work.js").envs(addresses(&edge));
    })
    .await;
    assert_eq!(did.trim(), "done");
}

async fn edge() -> Edge {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    write_tokens(&edge.tokens(), &format!("write {WRITE_TOKEN} control-plane\n"));
    edge
}

/// Where the programs find the edge.
fn addresses(edge: &Edge) -> [(&'static str, String); 3] {
    let (edge_url, admin) = (format!("http://{}", edge.http), format!("http://{}", edge.admin));
    [("EDGE", edge_url), ("ADMIN", admin), ("TOKEN", WRITE_TOKEN.to_owned())]
}

/// Fetches the description as a generator does, without a token.
async fn describe(edge: &Edge, folder: &Path) {
    let answer = reqwest::get(format!("http://{}/v1/openapi.json", edge.admin)).await.unwrap();
    assert_eq!(answer.status(), 200);
    std::fs::write(folder.join("openapi.json"), answer.bytes().await.unwrap()).unwrap();
}

/// Runs a program in this folder, and returns what it has said. One that does not end is ended, and what it has said is
/// shown.
pub async fn run(program: &mut Command, folder: &Path, with: impl FnOnce(&mut Command)) -> String {
    program.current_dir(folder);
    with(program);
    let name = format!("{:?}", program.get_program());
    // Files, which also keep what a program says that is ended.
    let (out, errors) = (folder.join("stdout"), folder.join("stderr"));
    let file = |path: &Path| Stdio::from(std::fs::File::create(path).unwrap());
    program.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&errors));
    let program = std::mem::replace(program, Command::new(""));
    let mut program = tokio::process::Command::from(program);
    let mut child = program
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}: see `make setup-tests`"));
    let ended = tokio::time::timeout(LONGEST, child.wait()).await;
    if ended.is_err() {
        child.kill().await.unwrap();
    }
    let said = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let (out, errors) = (said(&out), said(&errors));
    let Ok(status) = ended else { panic!("{name}: no end after {LONGEST:?}:\n{out}\n{errors}") };
    assert!(status.unwrap().success(), "{name}:\n{out}\n{errors}");
    format!("{out}{errors}")
}

fn data(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(language)
}

/// The folder that `make setup-tests` installs the generator into, or one of this target folder's own.
pub fn installed(language: &str) -> PathBuf {
    if let Some(installed) = std::env::var_os("EMBEDGATE_CLIENTS") {
        return Path::new(&installed).join(language);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(language);
    let lock =
        data(language).join(if language == "python" { "requirements.txt" } else { "package-lock.json" });
    let (wanted, made) = (std::fs::read(&lock).unwrap(), folder.join("installed.lock"));
    if std::fs::read(&made).is_ok_and(|made| made == wanted) {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let run = |command: &mut Command| {
        let ran = command.output();
        let ran = ran.unwrap_or_else(|error| panic!("{command:?}: {error}: see `make setup-tests`"));
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    if language == "python" {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(&lock));
    } else {
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(data(language).join(name), folder.join(name)).unwrap();
        }
        let quietly = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").arg("ci").args(quietly).current_dir(&folder));
    }
    std::fs::write(made, wanted).unwrap();
    folder
}
