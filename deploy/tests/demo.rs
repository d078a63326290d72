//! `thunder-deploy demo`, with the real thunderd and thunder-cli: that it shows what it should, and
//! that nothing of it stays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thunder_deploy::process::Process;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

/// How long it may take, compiling thunderd included. Nothing is asserted about how long it does.
const TIMEOUT: Duration = Duration::from_secs(1_800);

/// How long it may take to tidy up, if a test fails and has to end it.
const GRACE: Duration = Duration::from_secs(60);

/// A demonstration and what it has shown so far.
struct Demo {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
    shown: Vec<String>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = std::process::Command::new(thunder_deploy::beside("thunder-deploy").unwrap());
        command.arg("demo").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command, GRACE).unwrap();
        let output = ChildStdout::from_std(process.child().stdout.take().unwrap()).unwrap();
        Self { process, lines: BufReader::new(output).lines(), shown: Vec::new() }
    }

    /// Reads until a line that begins so.
    async fn until(&mut self, beginning: &str) {
        while let Some(line) = self.next().await {
            if line.starts_with(beginning) {
                return;
            }
        }
        panic!("no line begins with {beginning:?} in:\n{}", self.shown.join("\n"));
    }

    async fn next(&mut self) -> Option<String> {
        let line = tokio::time::timeout(TIMEOUT, self.lines.next_line()).await.unwrap().unwrap()?;
        self.shown.push(line.clone());
        Some(line)
    }

    /// Reads to the end, and makes sure that nothing is left.
    async fn end(mut self) -> (ExitStatus, String) {
        while self.next().await.is_some() {}
        let status = tokio::time::timeout(TIMEOUT, self.process.wait()).await.unwrap().unwrap();
        let shown = self.shown.join("\n");
        for folder in self.words_after("--data-dir") {
            assert!(!Path::new(&folder).parent().unwrap().exists(), "{folder} is left:\n{shown}");
        }
        // Whoever listened there held the port as long as it lived.
        for port in self.words_after("--port") {
            TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
        }
        (status, shown)
    }

    fn words_after(&self, flag: &str) -> Vec<String> {
        let words = self.shown.iter().filter(|line| line.starts_with("$ ")).flat_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let values = words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].to_owned());
            values.collect::<Vec<_>>()
        });
        let mut words: Vec<_> = words.collect();
        words.sort();
        words.dedup();
        words
    }

    #[cfg(unix)]
    fn signal(&mut self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(self.process.child());
        rustix::process::kill_process(id, signal).unwrap();
    }
}

#[tokio::test]
async fn it_shows_everything_and_leaves_nothing() {
    let (status, shown) = Demo::start(&[]).end().await;
    assert!(status.success(), "{status}:\n{shown}");
    let commands = [
        "thunder-deploy testnet",
        "thunderd --port",
        "importwallet",
        "thunder-deploy thd --to",
        "connect 127.0.0.1:",
        "openchannel 10",
        "pay 1.5",
        "pay 0.25",
        "infos",
        "closechannel",
        "thunder-deploy mine 24",
        "withdraw",
        "balance",
    ];
    let mut rest = shown.as_str();
    for command in commands {
        let Some((_, after)) = rest.split_once(command) else {
            panic!("no {command} in its place:\n{shown}")
        };
        rest = after;
    }
    assert!(rest.contains("98.75") && rest.contains("101.25"), "{shown}");
    assert!(shown.trim_end().ends_with("All balances are right."), "{shown}");
}

#[cfg(unix)]
#[tokio::test]
async fn interrupted_it_leaves_nothing() {
    for at in ["2. Two nodes", "4. A channel"] {
        let mut demo = Demo::start(&[]);
        demo.until(at).await;
        demo.until("$ ").await;
        demo.signal(rustix::process::Signal::TERM);
        let (status, shown) = demo.end().await;
        assert_eq!(status.code(), Some(1), "{shown}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn kept_it_can_be_played_with_until_ctrl_c() {
    let mut demo = Demo::start(&["--keep"]);
    demo.until("8. ").await;
    for port in demo.words_after("--port") {
        if !demo.shown.iter().any(|line| line.starts_with(&format!("$ thunderd --port {port}"))) {
            continue;
        }
        let cli = thunder_deploy::beside("thunder-cli").unwrap();
        let asked = Command::new(cli).args(["--port", &port, "infos"]).output().await.unwrap();
        assert!(asked.status.success(), "{asked:?}");
    }
    demo.signal(rustix::process::Signal::INT);
    let (status, shown) = demo.end().await;
    assert!(status.success(), "{shown}");
    assert_eq!(shown.matches("$ thunderd --port").count(), 2);
}
