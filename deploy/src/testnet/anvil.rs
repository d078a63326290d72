//! Starts anvil, waits until it listens, and keeps the end of its output for errors.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use alloy_primitives::U64;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{CHAIN_ID, TestnetError, TestnetOptions};
use crate::keys::DEVELOPMENT_PHRASE;
use crate::process::Process;

/// How long anvil may take to listen, on a machine that has much else to do.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long anvil may take to write its state when it is told to end.
const STATE_GRACE: Duration = Duration::from_secs(30);
/// How many lines of anvil's output are kept for an error message.
const KEPT_LINES: usize = 15;

/// The last lines of anvil's output, for error messages.
type OutputTail = Arc<Mutex<VecDeque<String>>>;

/// Starts anvil on this port (0: any) and waits until it listens. Returns the process and its address.
pub(super) async fn start(
    program: &Path,
    options: &TestnetOptions,
    genesis_time: Option<u64>,
    port: u16,
) -> Result<(Process, SocketAddr), TestnetError> {
    let grace = if options.state.is_some() { STATE_GRACE } else { Duration::ZERO };
    let mut process = Process::spawn(&mut command(program, options, genesis_time, port), grace)
        .map_err(|source| TestnetError::Spawn { program: program.into(), source })?;
    let tail = OutputTail::default();
    let (found, listening) = oneshot::channel();
    let mut found = Some(found);
    let child = process.child();
    if let Some(errors) = child.stderr.take() {
        capture_output(errors, Arc::clone(&tail), |_| {});
    }
    if let Some(output) = child.stdout.take() {
        capture_output(output, Arc::clone(&tail), move |line| {
            if let Some(address) = address_in(line)
                && let Some(found) = found.take()
            {
                // Whoever has waited for it may have given up.
                let _ = found.send(address);
            }
        });
    }
    match tokio::time::timeout(START_TIMEOUT, listening).await {
        Ok(Ok(address)) => Ok((process, address)),
        // The output has ended without it, and so has anvil, or is about to.
        Ok(Err(_)) => {
            let _ = process.wait().await;
            Err(TestnetError::Ended { output: tail_text(&tail) })
        }
        Err(_) => Err(TestnetError::Silent { seconds: START_TIMEOUT.as_secs() }),
    }
}

fn command(program: &Path, options: &TestnetOptions, genesis_time: Option<u64>, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--chain-id", &CHAIN_ID.to_string(), "--mnemonic", DEVELOPMENT_PHRASE, "--color", "never"])
        .args(["--host", &options.listen.to_string(), "--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(interval) = options.block_time {
        // Alone, the block time would make transactions wait for the next block.
        command.args(["--mixed-mining", "--block-time", &interval.as_secs_f64().to_string()]);
    }
    if let Some(state) = &options.state {
        command.arg("--state").arg(state);
        if let Some(time) = genesis_time {
            // anvil makes a block 0 before it reads the state, and keeps both. Alike, they are one.
            command.args(["--timestamp", &time.to_string()]);
        }
        if cfg!(windows) {
            // There it can't be asked to end, so it has to be written all the time.
            command.args(["--state-interval", "1"]);
        }
    }
    command
}

/// Returns the time of block 0 of the chain in a state file, in seconds since 1970; `None` if there is no chain yet.
pub(super) fn genesis_time(state: &Path) -> Option<u64> {
    #[derive(Deserialize)]
    struct State {
        blocks: Vec<Block>,
    }
    #[derive(Deserialize)]
    struct Block {
        header: Header,
    }
    #[derive(Deserialize)]
    struct Header {
        number: U64,
        timestamp: U64,
    }
    let file = BufReader::new(File::open(state).ok()?);
    let state: State = serde_json::from_reader(file).ok()?;
    let headers = state.blocks.into_iter().map(|block| block.header);
    headers.filter(|header| header.number == U64::ZERO).map(|header| header.timestamp.to()).min()
}

/// Reads an output stream of anvil to its end and keeps the last lines. In a thread of its own, so that anvil never waits
/// for a reader, whatever this program does.
fn capture_output(
    source: impl Read + Send + 'static,
    tail: OutputTail,
    mut on_line: impl FnMut(&str) + Send + 'static,
) {
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            on_line(&line);
            if let Ok(mut tail) = tail.lock()
                && !line.trim().is_empty()
            {
                tail.push_back(line.into_owned());
                if tail.len() > KEPT_LINES {
                    tail.pop_front();
                }
            }
        }
    });
}

fn tail_text(tail: &OutputTail) -> String {
    tail.lock()
        .map(|lines| lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n"))
        .unwrap_or_default()
}

fn address_in(line: &str) -> Option<SocketAddr> {
    line.trim().strip_prefix("Listening on ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_output() {
        assert_eq!(address_in("Listening on 127.0.0.1:8545"), Some(([127, 0, 0, 1], 8545).into()));
        assert_eq!(address_in("Listening on [::1]:8545\r").map(|address| address.port()), Some(8545));
        assert_eq!(address_in("Genesis Number"), None);
    }
}
