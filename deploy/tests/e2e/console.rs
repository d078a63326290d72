//! Runs the commands of a document as its reader would, and compares what they print with what the document says.
//!
//! A block of kind `console` has commands after `$ `, and below each what it prints; nothing below it says that it
//! must succeed, and no more. A line `...` stands for any number of lines. Addresses, hashes, peer ids, ids and times
//! differ from run to run: each of the document's stands for one of the run's, the same everywhere. Numbers of blocks
//! are not compared. The ports are others, because no test has those; and the testnet's blocks come by themselves so
//! seldom that a slow machine has the same time to answer a challenge as a fast one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use regex::Regex;
use tempfile::TempDir;
use thunder_deploy::{beside, ports, process::Process};

use super::harness::{set_mode, short_tempdir, text, wait_for};

/// The user and the home directory that documents have.
const HOME: &str = "/home/alice";
const SOCKETS: &str = "/run/user/1000";
/// The ports that documents have: of the chain, of two nodes, and of one's metrics.
const PORTS: [&str; 4] = ["8545", "2001", "2002", "9100"];
/// What documents call other machines, which are this one.
const ELSEWHERE: &str = "192.168.1.20";
const ENTRY_POINT: &str = "https://sepolia.example";
/// How often documents' testnets make a block by themselves, and how often the run's do.
const PACE: [&str; 2] = ["one a second", "one every 3600 s"];
/// What thunderd and the testnet say when they can be used.
const READY: &str = "Ready. Ctrl-C stops the node.";
const NEXT: &str = "Next, in other terminals:";
/// In a document, unseen by its readers: what was started with this command is ended, as Ctrl-C does.
const CTRL_C: &str = "<!-- Ctrl-C: ";
/// What is the same in each run.
const FIXED: [&str; 6] = [
    "0x98e0f0338E9602707BE69874b0B430791514EdD9",
    "0xfD0273F7d210e590d57C3e307892fAcC4b9fe7B9",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
];

/// A block of a document.
pub struct Block {
    /// What stands behind its fence.
    pub kind: String,
    pub text: String,
    /// The line that it begins at.
    pub line: usize,
}

/// All blocks of a document.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in document.lines().enumerate() {
        if let Some(command) = line.strip_prefix(CTRL_C).and_then(|rest| rest.strip_suffix(" -->")) {
            blocks.push(Block { kind: "Ctrl-C".into(), text: command.into(), line: number + 1 });
        }
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                open = Some(Block { kind: kind.to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A command and what it should print.
struct Step {
    command: String,
    said: String,
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), said: String::new() }),
            (None, Some(step)) if step.command.ends_with('\\') => {
                step.command.pop();
                step.command.push_str(line.trim_start());
            }
            (None, Some(step)) => step.said.push_str(&format!("{line}\n")),
            (None, None) => panic!("line {}: no command before {line:?}", block.line),
        }
    }
    for step in &mut steps {
        step.said.truncate(step.said.trim_end().len());
    }
    steps
}

/// A reader's desk: a home directory, and what was started and goes on.
pub struct Desk {
    home: TempDir,
    sockets: TempDir,
    ports: Vec<(&'static str, String)>,
    running: Vec<(String, Process)>,
    stands_for: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    varying: Regex,
    blocks: Regex,
}

impl Desk {
    pub fn new() -> Self {
        let ports = PORTS.map(|port| (port, ports::free().unwrap().to_string())).to_vec();
        Self {
            home: TempDir::new().unwrap(),
            sockets: short_tempdir(),
            ports,
            running: Vec::new(),
            stands_for: FIXED.iter().map(|&fixed| (fixed.to_owned(), fixed.to_owned())).collect(),
            taken: FIXED.iter().map(|&fixed| fixed.to_owned()).collect(),
            varying: Regex::new(
                r"0x[0-9a-fA-F]{130}\b|0x[0-9a-fA-F]{64}\b|0x[0-9a-fA-F]{40}\b|\b12D3KooW\w{44}\b|\b[0-9a-f]{32}\b",
            )
            .unwrap(),
            blocks: Regex::new(
                r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|(block:? +)\d+|\d+( blocks)|(challenge within |newest is |mine )\d+",
            )
            .unwrap(),
        }
    }

    /// Puts a file, which the document takes for granted, where the reader is. Only they can read it.
    pub fn put(&self, name: &str, content: &str) {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
    }

    /// A desk where the documents' endpoints are this one.
    pub fn at_chain(rpc: &str) -> Self {
        let mut desk = Self::new();
        desk.ports[0].1 = rpc.rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
        desk
    }

    /// Does what a document says, from its beginning to its end.
    pub fn follow(&mut self, document: &str) {
        for block in blocks(document) {
            match block.kind.as_str() {
                "console" => steps(&block).iter().for_each(|step| self.take(step, block.line)),
                "Ctrl-C" => self.end(&block.text),
                _ => {}
            }
        }
    }

    fn take(&mut self, step: &Step, line: usize) {
        let words: Vec<_> = step.command.split_whitespace().collect();
        let goes_on = words[0] == "thunderd" && !words.contains(&"--help") && !words.contains(&"--version")
            || words.starts_with(&["thunder-deploy", "testnet"]);
        if goes_on {
            return self.start(step, line);
        }
        // What only looks may have to look again: the other side takes a moment.
        let only_looks = words[0] == "thunder-cli"
            && (words.iter().any(|word| ["infos", "balance", "history"].contains(word)) || words.len() == 1);
        if only_looks {
            let mut last = String::new();
            let mut is_so = false;
            let end = std::time::Instant::now() + Duration::from_secs(60);
            while !is_so && std::time::Instant::now() < end {
                last = self.said(&self.run(&step.command));
                is_so = self.compare(&step.said, &last).is_ok();
            }
            if is_so {
                return;
            }
            panic!("line {line}: {}\n{}", step.command, self.compare(&step.said, &last).unwrap_err());
        }
        let output = self.run(&step.command);
        let said = self.said(&output);
        let fails = step.said.lines().any(|line| line.starts_with("error:"));
        assert_eq!(output.status.success(), !fails, "line {line}: {}:\n{said}", step.command);
        if !step.said.is_empty()
            && let Err(difference) = self.compare(&step.said, &said)
        {
            panic!("line {line}: {}\n{difference}", step.command);
        }
    }

    fn run(&self, command: &str) -> Output {
        self.shell(&format!("{} 2>&1", self.translated(command))).output().unwrap()
    }

    /// A command with this run's ports.
    fn translated(&self, command: &str) -> String {
        let mut command = command.to_owned();
        for (documented, own) in &self.ports {
            command = word(documented).replace_all(&command, own.as_str()).into_owned();
        }
        if command.starts_with("thunder-deploy testnet") {
            command.push_str(" --block-time 3600");
            if !command.contains("--port") {
                command.push_str(&format!(" --port {}", self.ports[0].1));
            }
        }
        command = command.replace(ENTRY_POINT, &format!("http://127.0.0.1:{}", self.ports[0].1));
        command = command.replace(ELSEWHERE, "127.0.0.1");
        // In the source tree `cargo demo` is this.
        if command.starts_with("cargo demo") {
            command = command.replacen("cargo demo", "thunder-deploy demo", 1);
        }
        command
    }

    fn shell(&self, script: &str) -> Command {
        let programs = beside("thunderd").unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).env_clear().current_dir(self.home.path());
        command.env("PATH", format!("{}:{path}", programs.parent().unwrap().display()));
        command.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.sockets.path());
        command.env("TMPDIR", self.sockets.path()).env("TZ", "UTC");
        command.env("THUNDER_PORT", &self.ports[1].1).env("THUNDER_LISTEN", "127.0.0.1");
        command.env("THUNDER_RPC", format!("localhost:{}", self.ports[0].1));
        // The testnet's node may have been found already.
        for name in ["THUNDER_ANVIL", "npm_config_cache"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts what goes on until it is ended, and waits until it has said all that the document says.
    fn start(&mut self, step: &Step, line: usize) {
        let mut command = self.shell(&format!("exec {}", self.translated(&step.command)));
        let mut process = Process::spawn(&mut command, Duration::from_secs(30)).unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(process.child().stdout.take().unwrap()),
            Box::new(process.child().stderr.take().unwrap()),
        ];
        for (stream, kept) in streams.into_iter().zip([Some(Arc::clone(&said)), None]) {
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some(kept) = &kept {
                        kept.lock().unwrap().push_str(&format!("{line}\n"));
                    }
                }
            });
        }
        let of_itself = if step.command.starts_with("thunderd") { READY } else { NEXT };
        let last = step.said.lines().rfind(|line| line.trim() != "...").unwrap_or(of_itself).to_owned();
        wait_for(&format!("line {line}: {} says {last:?}", step.command), || {
            let said = self.back(&said.lock().unwrap());
            said.lines().any(|line| self.without_varying(line) == self.without_varying(&last))
        });
        let so_far = said.lock().unwrap().clone();
        if !step.said.is_empty()
            && let Err(difference) = self.compare(&step.said, &self.back(&so_far))
        {
            panic!("line {line}: {}\n{difference}", step.command);
        }
        self.running.push((step.command.clone(), process));
    }

    /// Ends what was started with a command: what Ctrl-C does in its terminal.
    fn end(&mut self, command: &str) {
        let at = self.running.iter().position(|(other, _)| other == command);
        drop(self.running.remove(at.unwrap_or_else(|| panic!("{command:?} is not running"))));
    }

    fn said(&self, output: &Output) -> String {
        self.back(&text(&output.stdout))
    }

    /// What was said, with the document's ports and directories.
    fn back(&self, said: &str) -> String {
        let mut said = said.to_owned();
        for (documented, own) in &self.ports {
            said = word(own).replace_all(&said, *documented).into_owned();
        }
        // The default port is not repeated in hints.
        let said = said.replace(PACE[1], PACE[0]).replace("thunder-cli --port 2001 ", "thunder-cli ");
        let own = |directory: &TempDir| directory.path().to_string_lossy().into_owned();
        said.replace(&own(&self.home), HOME).replace(&own(&self.sockets), SOCKETS)
    }

    fn without_varying(&self, line: &str) -> String {
        let line = self.varying.replace_all(line, "<varying>");
        self.blocks.replace_all(&line, "$1<n>$2$3").into_owned()
    }

    /// Whether what was said is what is documented; then what varies stands for each other from now on.
    fn compare(&mut self, documented: &str, said: &str) -> Result<(), String> {
        let (mut stands_for, mut taken) = (self.stands_for.clone(), self.taken.clone());
        let wanted: Vec<_> = documented.trim_end().lines().collect();
        let lines: Vec<_> = said.trim_end().lines().collect();
        if self.fits(&wanted, &lines, &mut stands_for, &mut taken) {
            (self.stands_for, self.taken) = (stands_for, taken);
            return Ok(());
        }
        Err(format!("the document says:\n{documented}\n\nand it is:\n{said}"))
    }

    fn fits(
        &self,
        wanted: &[&str],
        lines: &[&str],
        stands_for: &mut BTreeMap<String, String>,
        taken: &mut BTreeSet<String>,
    ) -> bool {
        let Some((first, rest)) = wanted.split_first() else { return lines.is_empty() };
        if first.trim() == "..." {
            return (0..=lines.len()).any(|skipped| {
                let (mut others, mut known) = (stands_for.clone(), taken.clone());
                let is_so = self.fits(rest, &lines[skipped..], &mut others, &mut known);
                if is_so {
                    (*stands_for, *taken) = (others, known);
                }
                is_so
            });
        }
        let Some((line, left)) = lines.split_first() else { return false };
        if self.without_varying(first) != self.without_varying(line.trim_end()) {
            return false;
        }
        for (theirs, own) in self.varying.find_iter(first).zip(self.varying.find_iter(line)) {
            let (theirs, own) = (theirs.as_str().to_owned(), own.as_str().to_owned());
            match stands_for.get(&theirs) {
                Some(known) if *known == own => {}
                Some(_) => return false,
                // Two of the document's are two of the run's.
                None if !taken.insert(own.clone()) => return false,
                None => {
                    stands_for.insert(theirs, own);
                }
            }
        }
        self.fits(rest, left, stands_for, taken)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // The nodes before their chain.
        while self.running.pop().is_some() {}
    }
}

fn word(text: &str) -> Regex {
    Regex::new(&format!(r"\b{}\b", regex::escape(text))).unwrap()
}
