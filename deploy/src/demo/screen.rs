//! Shows commands as the user would type them, runs them, and prints headings and text between them.

use std::env;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;

use super::failed;
use crate::error::Error;
use crate::output::{self, BOLD, DIM};

/// A command line that is shown as typed, and run.
pub(super) struct TypedCommand {
    name: String,
    words: Vec<String>,
}

impl TypedCommand {
    pub(super) fn new(name: &str, words: &[&str]) -> Self {
        Self { name: name.to_owned(), words: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    /// Shows it, as after a prompt.
    pub(super) fn show(&self) -> Result<(), Error> {
        Ok(output::text(&format!("\n{DIM}${DIM:#} {BOLD}{self}{BOLD:#}\n"))?)
    }

    /// The command. Variables that the user may have set for their own nodes are not for these.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(&self.words).stdin(Stdio::null()).kill_on_drop(true);
        for name in own_variables() {
            command.env_remove(name);
        }
        command
    }

    /// Shows it and runs it, with what it prints for all to see.
    pub(super) async fn run(&self, program: &Path) -> Result<ExitStatus, Error> {
        self.show()?;
        self.command(program).status().await.map_err(failed(format!("can't run {}", program.display())))
    }
}

impl std::fmt::Display for TypedCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        for word in &self.words {
            if word.contains(' ') { write!(f, " \"{word}\"")? } else { write!(f, " {word}")? }
        }
        Ok(())
    }
}

/// Thunder's variables in the environment.
pub(super) fn own_variables() -> impl Iterator<Item = std::ffi::OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("THUNDER_"))
}

/// Prints the heading of a part.
pub(super) fn heading(number: u32, text: &str) -> Result<(), Error> {
    Ok(output::text(&format!("\n{BOLD}{number}. {text}{BOLD:#}\n"))?)
}

/// Prints text between the commands.
pub(super) fn say(text: &str) -> Result<(), Error> {
    Ok(output::text(&format!("{text}\n"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let typed = TypedCommand::new("thunder-cli", &["--port", "2001", "pay", "1.5", "--memo", "a coffee"]);
        assert_eq!(typed.to_string(), "thunder-cli --port 2001 pay 1.5 --memo \"a coffee\"");
    }
}
