//! Runs the real `thunder-cli`, far away from every real thunderd.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A port on which nothing of the tests' own directories listens.
pub(crate) const PORT: &str = "61999";

/// The command, with an environment in which only `directory` can hold a thunderd's socket.
pub(crate) fn thunder_cli(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thunder-cli"));
    command
        .args(arguments)
        .env_clear()
        .env("XDG_RUNTIME_DIR", directory)
        .env("TMPDIR", directory)
        .env("THUNDER_PORT", PORT)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Named pipes are found by the user's name, and Windows programs need their system's folder.
    for name in ["SystemRoot", "USERNAME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    /// The one JSON object on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.out.lines().count(), 1, "one line: {self:?}");
        assert!(self.out.ends_with('\n'), "{self:?}");
        serde_json::from_str(&self.out).expect("one JSON object")
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code().expect("an exit code"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    command.output().expect("thunder-cli starts").into()
}

/// Runs it to its end with something on standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("thunder-cli starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").into()
}
