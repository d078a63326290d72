//! thunder-deploy as a user runs it.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use thunder_deploy::{Testnet, TestnetOptions};

/// How long anything may take. Nothing is asserted about how long it does.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// The command, without the variables of whoever runs the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(thunder_deploy::beside("thunder-deploy").unwrap());
    command.args(arguments).stdin(Stdio::null());
    for variable in ["THUNDER_RPC", "THUNDER_DEPLOY_KEY"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command beside the test's own work, and returns what it printed.
pub(crate) async fn run(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    tokio::time::timeout(TIMEOUT, command.kill_on_drop(true).output()).await.unwrap().unwrap()
}

/// Runs it on a testnet with `--json`; it has to succeed.
pub(crate) async fn json(testnet: &Testnet, arguments: &[&str]) -> Value {
    let rpc = rpc(testnet);
    succeed(command(&[arguments, &["--json", "--RPC", &rpc]].concat())).await
}

/// Runs a command with `--json` that has to succeed.
pub(crate) async fn succeed(command: Command) -> Value {
    let output = run(command).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command that has to fail with this exit code, and returns what it says on standard error.
pub(crate) async fn fail(command: Command, code: i32) -> String {
    let output = run(command).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// What `--RPC` takes.
pub(crate) fn rpc(testnet: &Testnet) -> String {
    format!("127.0.0.1:{}", testnet.port())
}

/// A testnet with a block for each transaction, and nothing deployed.
pub(crate) async fn testnet() -> Testnet {
    Testnet::start(TestnetOptions::default()).await.unwrap()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < TIMEOUT, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
