//! The contracts' own tests: the Foundry suite, the gas of every kind of transaction, and whether
//! the compiled contracts that everything is built with are what the sources compile to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use thunder_deploy::tools;
use tokio::process::Command;
use tokio::sync::Mutex;

/// They share forge's output folder.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Runs a program in the folder of the contracts; it has to end with 0. Returns what it printed.
async fn run(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(tools::contracts().unwrap()).stdin(Stdio::null()).kill_on_drop(true);
    // Somebody's settings must not make the tests easier.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["FOUNDRY_", "FORGE_", "DAPP_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{} {arguments:?}: {}\n{text}", program.display(), output.status);
    text
}

async fn forge() -> PathBuf {
    tools::forge().await.unwrap()
}

/// The counts of forge's last line: "… 348 tests passed, 0 failed, 0 skipped …".
fn counts(output: &str) -> Option<[usize; 3]> {
    let line = output.lines().rev().find(|line| line.starts_with("Ran ") && line.contains("test suite"))?;
    let (_, counts) = line.split_once(": ")?;
    let mut numbers = counts.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

async fn tests_pass(arguments: &[&str]) -> usize {
    let output = run(&forge().await, &[&["test", "--color", "never"], arguments].concat()).await;
    let Some([passed, failed, skipped]) = counts(&output) else { panic!("no summary in:\n{output}") };
    assert_eq!((failed, skipped), (0, 0), "{output}");
    passed
}

#[tokio::test]
async fn the_foundry_suite_passes() {
    let _guard = ONE_AT_A_TIME.lock().await;
    let passed = tests_pass(&["--no-match-path", "test/gas/*"]).await;
    assert!(passed >= 300, "only {passed} tests were found");
}

#[tokio::test]
async fn gas_is_what_the_snapshot_says() {
    let _guard = ONE_AT_A_TIME.lock().await;
    let snapshot = tools::contracts().unwrap().join("snapshots").join("Gas.json");
    let before = std::fs::read_to_string(&snapshot).unwrap();
    let passed = tests_pass(&["--match-path", "test/gas/*"]).await;
    assert!(passed >= 10, "only {passed} tests were found");
    assert_eq!(std::fs::read_to_string(&snapshot).unwrap(), before, "compared, not written");
}

#[tokio::test]
async fn the_compiled_contracts_are_those_of_the_sources() {
    let _guard = ONE_AT_A_TIME.lock().await;
    forge().await;
    let node = tools::node().await.unwrap();
    run(&node, &["tools/artifacts.mjs", "check"]).await;
}

#[test]
fn the_summary_is_read() {
    let line = "Ran 35 test suites in 21.47s (42.62s CPU time): 348 tests passed, 1 failed, 2 skipped (351 total tests)";
    assert_eq!(counts(line), Some([348, 1, 2]));
    assert_eq!(counts("Suite result: ok. 4 passed; 0 failed; 0 skipped"), None);
}
