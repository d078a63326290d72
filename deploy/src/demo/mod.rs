//! `thunder-deploy demo`: a testnet, two nodes, a channel, payments and a closing, with the real programs.

mod node;
mod screen;
mod story;

use std::cell::Cell;
use std::io;

use crate::error::{Error, ErrorInfo, Exit};
use crate::process;

/// Why the demonstration stopped.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A command failed.
    #[error("`{command}` ended with {status}{logs}")]
    Command {
        /// The command line, as typed.
        command: String,
        /// The exit status.
        status: String,
        /// The end of what the nodes have logged, with a heading; may be empty.
        logs: String,
    },
    /// A condition did not come true in time.
    #[error("{what} did not happen in {seconds} s{logs}")]
    TooLate {
        /// The condition.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// The end of what the nodes have logged, with a heading; may be empty.
        logs: String,
    },
    /// A node ended although nobody told it to.
    #[error("{name}'s thunderd ended with {status}{logs}")]
    NodeEnded {
        /// The node's user.
        name: &'static str,
        /// The exit status.
        status: String,
        /// The end of its log, with a heading.
        logs: String,
    },
    /// A program's output is not what it should be.
    #[error("`{command}` answers what makes no sense: {answer}")]
    InvalidOutput {
        /// The command line, as typed.
        command: String,
        /// The output.
        answer: String,
    },
    /// The balances in the end are not what the payments say.
    #[error("the balances are wrong: {0}")]
    WrongBalances(String),
    /// The user has interrupted the demonstration.
    #[error("interrupted; everything was ended and removed")]
    Interrupted,
    /// A file, a port or a program can't be used.
    #[error("{what}: {source}")]
    Io {
        /// The file, port or program, or what could not be done.
        what: String,
        /// The I/O error.
        source: io::Error,
    },
}

impl DemoError {
    pub(crate) fn info(&self) -> ErrorInfo {
        let (code, hint) = match self {
            Self::Interrupted => ("interrupted", "start it again to see the rest"),
            Self::Io { .. } => ("file", "make sure that it is there and that you may use it"),
            Self::Command { .. }
            | Self::TooLate { .. }
            | Self::NodeEnded { .. }
            | Self::InvalidOutput { .. }
            | Self::WrongBalances(_) => {
                ("demo_failed", "start it again; if it fails again, this is a bug, and its output the report")
            }
        };
        ErrorInfo { code, exit: Exit::Refused, hint: hint.into() }
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| DemoError::Io { what, source }.into()
}

/// Runs the demonstration. Whatever happens, nothing is left behind: programs and folders end with the
/// story that owns them.
pub(crate) async fn run(keep: bool) -> Result<(), Error> {
    let is_told = Cell::new(false);
    let story = async {
        let environment = story::tell().await?;
        is_told.set(true);
        if keep {
            story::stay(&environment).await?;
        }
        Ok(())
    };
    tokio::select! {
        // First, so that an interruption counts even if a node has noticed it, too.
        biased;
        interrupted = process::interrupted() => {
            interrupted?;
            if is_told.get() { Ok(()) } else { Err(DemoError::Interrupted.into()) }
        }
        outcome = story => outcome,
    }
}
