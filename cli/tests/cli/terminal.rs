//! What a program prints when it is looked at: on a terminal of 80 columns.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// Which of its streams the terminal is; the other one goes nowhere.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Runs a program, with the environment that `command` sets and no other, and gives what it writes to the
/// terminal. Escape sequences are written out (`\e[1m`), so that they can be read.
pub(crate) fn on_terminal(command: &Command, stream: Stream) -> String {
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let terminal = native_pty_system().openpty(size).unwrap();
    let script = match stream {
        Stream::Out => r#"exec "$0" "$@" 2>/dev/null"#,
        Stream::Err => r#"exec "$0" "$@" >/dev/null"#,
    };
    let mut shell = CommandBuilder::new("/bin/sh");
    shell.args(["-c", script]);
    shell.arg(command.get_program());
    shell.args(command.get_args());
    shell.env_clear();
    shell.cwd(command.get_current_dir().unwrap_or(Path::new(".")));
    shell.env("TERM", "xterm-256color");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    let mut child = terminal.slave.spawn_command(shell).unwrap();
    drop(terminal.slave);
    let mut reader = terminal.master.try_clone_reader().unwrap();
    let mut bytes = Vec::new();
    // Linux says EIO, not the end, when the last process has gone from the terminal.
    let _ = reader.read_to_end(&mut bytes);
    child.wait().unwrap();
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n").replace('\u{1b}', "\\e")
}
