//! What the user gets to see: answers on standard output, everything else on standard error.

pub(crate) mod human;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use thunder_api::ApiError;

use crate::repeat::commands_on_port;

pub(crate) use text::safe;

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call has failed, or its outcome is unknown.
    Api(ApiError),
    /// The same of some of several calls, of each of which standard output has the result.
    Shown(ApiError),
    /// Its answer could not be written.
    Write {
        /// Why.
        cause: io::Error,
        /// Whether the command has changed something.
        has_effect: bool,
    },
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Where answers go, and in which form.
pub(crate) struct Output {
    json: bool,
    port: u16,
}

impl Output {
    pub(crate) fn new(json: bool, port: u16) -> Self {
        Self { json, port }
    }

    /// Prints an answer; for people the commands in it name the node's port.
    pub(crate) fn answer_with_commands<T: Serialize>(
        &self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        self.answer(value, |value| commands_on_port(&human(value), self.port))
    }

    /// Prints an answer: as one JSON object, or as text for people.
    pub(crate) fn answer<T: Serialize>(&self, value: &T, human: impl FnOnce(&T) -> String) -> io::Result<()> {
        if self.json { print_json(value) } else { self.text(&human(value)) }
    }

    /// Whether the answer is for a program.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints text for people.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints a warning for people.
    pub(crate) fn warning(&self, message: &str) {
        self.remark("warning", AnsiColor::Yellow.on_default().bold(), message);
    }

    /// Prints a note for people.
    pub(crate) fn note(&self, message: &str) {
        self.remark("note", Style::new().bold(), message);
    }

    fn remark(&self, label: &str, style: Style, message: &str) {
        if !self.json {
            // The command's result does not depend on whether a remark could be printed.
            let _ = writeln!(anstream::stderr(), "{style}{label}:{style:#} {message}");
        }
    }

    /// Prints what went wrong and what to do. Returns the exit code.
    pub(crate) fn failure(&self, failure: Failure) -> ExitCode {
        let is_shown = matches!(failure, Failure::Shown(_));
        let error = match failure {
            Failure::Api(error) | Failure::Shown(error) => error,
            Failure::Write { cause, .. } if cause.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Failure::Write { cause, has_effect } => text::unwritten(&cause, has_effect),
        };
        if self.json && !is_shown {
            print_json_error(&error);
        }
        let style = AnsiColor::Red.on_default().bold();
        let mut text = format!("{style}error:{style:#} {}\n", safe(&error.message));
        if !error.hint.is_empty() {
            let style = AnsiColor::Cyan.on_default().bold();
            text.push_str(&format!("{style}hint:{style:#} {}\n", safe(&error.hint)));
        }
        let _ = anstream::stderr().write_all(text.as_bytes());
        ExitCode::from(error.code.exit_code() as u8)
    }
}

/// Prints one object on a line of its own, at once, for programs.
fn print_json<T: Serialize>(value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Prints an error's object, for programs. A failure to print it is ignored: the same error is printed to standard error
/// as text.
pub(crate) fn print_json_error(error: &ApiError) {
    #[derive(Serialize)]
    struct Refused<'a> {
        error: &'a ApiError,
    }
    let _ = print_json(&Refused { error });
}
