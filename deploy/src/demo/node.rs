//! `DemoNode`: a thunderd of the demonstration, and thunder-cli as its user types it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::screen::{TypedCommand, own_variables};
use super::{DemoError, failed};
use crate::binaries::Binaries;
use crate::error::Error;
use crate::output;
use crate::ports;
use crate::process::Process;

/// How long a condition may take to come true, on a machine that has much else to do.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
/// The pause between two looks at a node's `infos`.
const POLL: Duration = Duration::from_millis(200);
/// How long a node may take to end.
const GRACE: Duration = Duration::from_secs(15);
/// How much of a log an error shows, in lines.
const SHOWN_LINES: usize = 15;

/// A node of the demonstration. It ends when this is dropped.
pub(super) struct DemoNode {
    /// The name of its user.
    pub(super) name: &'static str,
    /// The node's port.
    pub(super) port: u16,
    thunder_cli: PathBuf,
    log: PathBuf,
    process: Process,
}

impl DemoNode {
    /// Starts thunderd on a free port and waits until it answers.
    pub(super) async fn start(
        name: &'static str,
        binaries: &Binaries,
        folder: &Path,
        rpc: &str,
    ) -> Result<Self, Error> {
        let port = ports::free().map_err(failed("can't find a free port"))?;
        let data = folder.join(name.to_lowercase());
        let data = data.to_string_lossy();
        let port_word = port.to_string();
        let words = ["--port", &port_word, "--RPC", rpc, "--listen", "127.0.0.1", "--data-dir", &data];
        let typed = TypedCommand::new("thunderd", &words);
        typed.show()?;
        let log = folder.join(format!("{}.log", name.to_lowercase()));
        let output = File::create(&log).map_err(failed(log.display().to_string()))?;
        let errors = output.try_clone().map_err(failed(log.display().to_string()))?;
        let mut command = Command::new(&binaries.thunderd);
        command.args(words).stdin(Stdio::null()).stdout(output).stderr(errors);
        for variable in own_variables() {
            command.env_remove(variable);
        }
        let process = Process::spawn(&mut command, GRACE)
            .map_err(failed(format!("can't start {}", binaries.thunderd.display())))?;
        let mut node = Self { name, port, thunder_cli: binaries.thunder_cli.clone(), log, process };
        node.until("that thunderd is connected to the chain", |infos| infos["chain"]["connected"] == true)
            .await?;
        let said = fs::read_to_string(&node.log).unwrap_or_default();
        output::text(&said)?;
        Ok(node)
    }

    /// Runs thunder-cli as the user would, and shows it.
    pub(super) async fn cli(&mut self, words: &[&str]) -> Result<(), Error> {
        let typed = self.typed(words);
        let status = typed.run(&self.thunder_cli).await?;
        if status.success() { Ok(()) } else { Err(self.command_failed(&typed, status)) }
    }

    /// Asks thunder-cli without showing it.
    pub(super) async fn ask(&mut self, command: &str) -> Result<Value, Error> {
        let typed = self.typed(&["--json", command]);
        let run = typed.command(&self.thunder_cli).output().await;
        let output = run.map_err(failed(format!("can't run {}", self.thunder_cli.display())))?;
        if !output.status.success() {
            return Err(self.command_failed(&typed, output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            DemoError::InvalidOutput { command: typed.to_string(), answer }.into()
        })
    }

    /// Waits until the node's `infos` fulfil a condition.
    pub(super) async fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value, Error> {
        let started = Instant::now();
        loop {
            // Before the socket is open there is no answer yet.
            if let Ok(infos) = self.ask("infos").await
                && is_so(&infos)
            {
                return Ok(infos);
            }
            if let Ok(Some(status)) = self.process.ended() {
                let status = status.to_string();
                return Err(DemoError::NodeEnded { name: self.name, status, logs: self.log_end() }.into());
            }
            if started.elapsed() > STEP_TIMEOUT {
                let what = format!("{} ({})", what, self.name);
                return Err(DemoError::TooLate {
                    what,
                    seconds: STEP_TIMEOUT.as_secs(),
                    logs: self.log_end(),
                }
                .into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn typed(&self, words: &[&str]) -> TypedCommand {
        let port = self.port.to_string();
        TypedCommand::new("thunder-cli", &[&["--port", &port], words].concat())
    }

    fn command_failed(&self, typed: &TypedCommand, status: ExitStatus) -> Error {
        DemoError::Command { command: typed.to_string(), status: status.to_string(), logs: self.log_end() }
            .into()
    }

    fn log_end(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let end = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
        format!("\n{}'s thunderd has logged:\n{}", self.name, end.join("\n"))
    }
}
