//! The contracts' own tests: the Foundry suite, its coverage, the linter, the gas of every kind of
//! transaction; whether the compiled contracts that everything is built with are what the sources
//! compile to, and whether the pages on the contracts say what is so.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
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
    assert!(passed >= 400, "only {passed} tests were found");
}

#[tokio::test]
async fn gas_is_what_the_snapshot_says() {
    let _guard = ONE_AT_A_TIME.lock().await;
    let snapshot = tools::contracts().unwrap().join("snapshots").join("Gas.json");
    let before = fs::read_to_string(&snapshot).unwrap();
    let passed = tests_pass(&["--match-path", "test/gas/*"]).await;
    assert!(passed >= 10, "only {passed} tests were found");
    assert_eq!(fs::read_to_string(&snapshot).unwrap(), before, "compared, not written");
}

#[tokio::test]
async fn the_compiled_contracts_are_those_of_the_sources() {
    let _guard = ONE_AT_A_TIME.lock().await;
    forge().await;
    let node = tools::node().await.unwrap();
    run(&node, &["tools/artifacts.mjs", "check"]).await;
}

#[tokio::test]
async fn every_line_and_branch_is_covered() {
    let _guard = ONE_AT_A_TIME.lock().await;
    forge().await;
    let node = tools::node().await.unwrap();
    let output = run(&node, &["tools/coverage.mjs"]).await;
    assert!(output.contains(" lines, "), "no summary in:\n{output}");
}

#[tokio::test]
async fn the_linter_has_nothing_to_say() {
    let _guard = ONE_AT_A_TIME.lock().await;
    forge().await;
    let node = tools::node().await.unwrap();
    let options = ["node_modules/solhint/solhint.js", "--noPoster", "--disc", "--max-warnings", "0"];
    run(&node, &[options.as_slice(), &["src/**/*.sol"]].concat()).await;
}

/// A page under docs/.
fn page(name: &str) -> String {
    let contracts = tools::contracts().unwrap();
    fs::read_to_string(contracts.parent().unwrap().join("docs").join(name)).unwrap()
}

/// Everything between backticks that is one name.
fn names_in(page: &str) -> BTreeSet<&str> {
    let is_name =
        |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_name).collect()
}

/// The rows of a page's tables that begin with a name of the snapshot: that and the next cell.
fn gas_rows(page: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?;
        Some((name.to_owned(), cells.next()?.trim_end_matches(" |").replace(',', "")))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn the_page_on_gas_has_the_numbers_of_the_snapshot() {
    let snapshot = tools::contracts().unwrap().join("snapshots").join("Gas.json");
    let snapshot: BTreeMap<String, String> =
        serde_json::from_str(&fs::read_to_string(snapshot).unwrap()).unwrap();
    assert!(snapshot.len() >= 10, "only {} numbers", snapshot.len());
    assert_eq!(
        gas_rows(&page("gas.md")),
        snapshot,
        "docs/gas.md on the left, snapshots/Gas.json on the right"
    );
}

/// The names of all test functions under a folder.
fn tests_under(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_under(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "sol") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("function ").skip(1).filter_map(|rest| rest.split('(').next());
            names.extend(functions.map(str::to_owned));
        }
    }
}

#[test]
fn the_page_on_the_contract_names_only_tests_that_exist() {
    let page = page("contract.md");
    let is_test =
        |name: &&str| ["test_", "testFuzz_", "invariant_"].iter().any(|start| name.starts_with(start));
    let named: BTreeSet<&str> = names_in(&page).into_iter().filter(is_test).collect();
    assert!(named.len() >= 80, "only {} tests are named", named.len());
    let mut there = BTreeSet::new();
    tests_under(&tools::contracts().unwrap().join("test"), &mut there);
    let missing: Vec<&str> = named.into_iter().filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/contract.md names tests that do not exist: {missing:?}");
}

#[test]
fn the_page_on_the_contract_names_everything_in_the_abi() {
    let page = page("contract.md");
    let named = names_in(&page);
    let mut missing = BTreeSet::new();
    for contract in ["PaymentChannel", "ChannelFactory", "ChannelTemplate"] {
        let artifact = tools::contracts().unwrap().join("artifacts").join(format!("{contract}.json"));
        let artifact: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(artifact).unwrap()).unwrap();
        let names = artifact["abi"].as_array().unwrap().iter().filter_map(|item| item["name"].as_str());
        missing.extend(names.filter(|name| !named.contains(name)).map(str::to_owned));
    }
    assert!(missing.is_empty(), "docs/contract.md does not name {missing:?}");
}

#[test]
fn names_and_rows_are_read() {
    let page =
        "see `fund` and `fund(0)`\n| `FINAL` | 58,063 | 80,000 |\n| `closing, late` | 1 |\n| other | 2 |";
    assert_eq!(names_in(page), BTreeSet::from(["fund", "FINAL"]));
    let rows = [("FINAL", "58063"), ("closing, late", "1")].map(|(name, gas)| (name.into(), gas.into()));
    assert_eq!(gas_rows(page), BTreeMap::from(rows));
}

#[test]
fn the_summary_is_read() {
    let line = "Ran 35 test suites in 21.47s (42.62s CPU time): 348 tests passed, 1 failed, 2 skipped (351 total tests)";
    assert_eq!(counts(line), Some([348, 1, 2]));
    assert_eq!(counts("Suite result: ok. 4 passed; 0 failed; 0 skipped"), None);
}
