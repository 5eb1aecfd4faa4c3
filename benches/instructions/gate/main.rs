//! Holds the instruction counts that `make instructions` counted against those stored for this compiler, or
//! stores them: `gate check FILE`, `gate store FILE`. `make instructions` and `make instructions-baseline` run it.

#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods, reason = "a program of its own")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

mod compare;

use compare::{Comparison, Counts, TOLERANCE_PERCENT};

/// By compiler, then by name.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");

type Baseline = BTreeMap<String, Counts>;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [action, file] = &arguments[..] else { bail!("usage: gate check|store FILE") };
    let (counted, compiler) = (read_counts(Path::new(file))?, compiler()?);
    let mut baseline = read_baseline()?;
    match action.as_str() {
        "check" => Ok(check(baseline.get(&compiler), &counted, &compiler)),
        "store" => {
            println!("{} counts stored for {compiler}", counted.len());
            baseline.insert(compiler, counted);
            fs::write(BASELINE, serde_json::to_string_pretty(&baseline)? + "\n")?;
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("usage: gate check|store FILE"),
    }
}

fn check(stored: Option<&Counts>, counted: &Counts, compiler: &str) -> ExitCode {
    for (name, count) in counted {
        println!("{count:>9}  {name}");
    }
    let Some(stored) = stored else {
        println!("no counts are stored for {compiler}: `make instructions-baseline` stores these");
        return ExitCode::SUCCESS;
    };
    let comparison = Comparison::of(stored, counted);
    print!("{comparison}");
    match (comparison.passes(), comparison.is_stale()) {
        (true, false) => println!("all {} within {TOLERANCE_PERCENT} % of what is stored", counted.len()),
        (true, true) => println!("`make instructions-baseline` stores the new counts"),
        (false, _) => {
            println!(
                "dearer by more than {TOLERANCE_PERCENT} %, or no longer counted; if that is meant, \
                 `make instructions-baseline` accepts it"
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Reads gungraun's JSON, one summary a line, in version 7 of its schema.
fn read_counts(file: &Path) -> Result<Counts> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let summaries = text.lines().map(|line| -> Result<(String, u64)> {
        let summary: Value = serde_json::from_str(line)?;
        ensure!(summary["version"] == "7", "a summary of version {}, not 7", summary["version"]);
        let count = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new");
        let path = summary["module_path"].as_str().context("no module path")?;
        let name = path.split("::").skip(1).chain(summary["id"].as_str()).collect::<Vec<_>>().join(" ");
        Ok((name, count.and_then(Value::as_u64).with_context(|| format!("no count in {line}"))?))
    });
    let counts: Counts = summaries.collect::<Result<_>>()?;
    ensure!(!counts.is_empty(), "{}: nothing was counted", file.display());
    Ok(counts)
}

fn read_baseline() -> Result<Baseline> {
    serde_json::from_str(&fs::read_to_string(BASELINE)?).context(BASELINE)
}

/// Its version, and for what it compiles: each makes other instructions.
fn compiler() -> Result<String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into())).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).context("rustc -vV");
    Ok(format!("{}{}", line("rustc ")?, line("host:")?))
}
