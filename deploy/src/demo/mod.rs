//! Everything, as a user would do it, with the real programs.

mod node;
mod screen;
mod story;

use std::cell::Cell;
use std::io;

use crate::error::{Advice, Error, Exit};
use crate::signals;

/// Why the demonstration stopped.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A command failed.
    #[error("`{command}` ended with {status}{logs}")]
    Command {
        /// As typed.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what the nodes have logged, with a heading; may be empty.
        logs: String,
    },
    /// Something that was to come did not.
    #[error("{what} did not happen in {seconds} s{logs}")]
    TooLate {
        /// What.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// The end of what the nodes have logged, with a heading; may be empty.
        logs: String,
    },
    /// A node ended although nobody told it to.
    #[error("{name}'s thunderd ended with {status}{logs}")]
    NodeEnded {
        /// Whose.
        name: &'static str,
        /// How.
        status: String,
        /// The end of what it has logged, with a heading.
        logs: String,
    },
    /// A program says something that makes no sense.
    #[error("`{command}` answers what makes no sense: {answer}")]
    InvalidOutput {
        /// As typed.
        command: String,
        /// What it answers.
        answer: String,
    },
    /// The money is not where it should be.
    #[error("the balances are wrong: {0}")]
    WrongBalances(String),
    /// The user does not want to see the rest.
    #[error("interrupted; everything was ended and removed")]
    Interrupted,
    /// A file, a port or a program can't be used.
    #[error("{what}: {source}")]
    Io {
        /// Which, and what for.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl DemoError {
    pub(crate) fn advice(&self) -> Advice {
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
        Advice { code, exit: Exit::Refused, hint: hint.into() }
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| DemoError::Io { what, source }.into()
}

/// Shows everything. Whatever happens, nothing is left behind: programs and folders end with the
/// story that owns them.
pub(crate) async fn run(keep: bool) -> Result<(), Error> {
    let is_told = Cell::new(false);
    let story = async {
        let stage = story::tell().await?;
        is_told.set(true);
        if keep {
            story::stay(&stage).await?;
        }
        Ok(())
    };
    tokio::select! {
        // First, so that an interruption counts even if a node has noticed it, too.
        biased;
        interrupted = signals::interrupted() => {
            interrupted?;
            if is_told.get() { Ok(()) } else { Err(DemoError::Interrupted.into()) }
        }
        outcome = story => outcome,
    }
}
