//! Printing: answers on standard output (text or JSON), errors on standard error.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Exit};

/// Emphasised text.
pub(crate) const BOLD: Style = Style::new().bold();
/// Secondary text: labels and remarks.
pub(crate) const DIM: Style = Style::new().dimmed();
/// A result that is right.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();

/// Prints text for people.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints an answer: as one JSON object, or as text for people.
pub(crate) fn answer<T: Serialize>(
    value: &T,
    json: bool,
    human: impl FnOnce(&T) -> String,
) -> io::Result<()> {
    if json { object(value) } else { text(&human(value)) }
}

/// Prints an answer without waiting for it, for a program that runs on: in a thread of its own, so that a reader that is
/// gone or does not read neither ends nor blocks the program.
pub(crate) fn answer_and_go_on<T: Serialize + Send + 'static>(
    value: T,
    json: bool,
    human: impl FnOnce(&T) -> String + Send + 'static,
) {
    std::thread::spawn(move || {
        if let Err(error) = answer(&value, json, human) {
            // If nobody reads it there is nobody to tell.
            let _ = writeln!(anstream::stderr(), "warning: can't write the answer: {error}");
        }
    });
}

fn object<T: Serialize>(value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Labels and values, one a line, the values below each other.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (label, value) in fields {
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {DIM}{label:width$}{DIM:#}  {value}");
    }
    text
}

/// Prints an error with its hint, and returns its exit code.
pub(crate) fn failure(error: &Error, json: bool) -> ExitCode {
    let info = error.info();
    report(info.code, error, &info.hint, json);
    ExitCode::from(info.exit as u8)
}

/// Prints what is wrong with a command line, and returns the exit code for wrong usage.
pub(crate) fn usage(code: &str, message: &str, json: bool) -> ExitCode {
    report(code, message, "see `thunder-deploy help`", json);
    ExitCode::from(Exit::Usage as u8)
}

fn report(code: &str, message: impl Display, hint: &str, json: bool) {
    if json {
        json_error(code, &message.to_string(), hint);
    }
    let red = AnsiColor::Red.on_default().bold();
    let cyan = AnsiColor::Cyan.on_default().bold();
    // If nobody reads it there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{red}error:{red:#} {message}\n{cyan}hint:{cyan:#} {hint}");
}

/// An error as an object on standard output, for programs.
pub(crate) fn json_error(code: &str, message: &str, hint: &str) {
    let _ = object(&json!({ "error": { "code": code, "message": message, "hint": hint } }));
}
