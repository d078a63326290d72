//! Output for programs: one object a line.

use std::io::{self, Write};

use serde::Serialize;
use thunder_api::ApiError;

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a ApiError,
}

/// Prints one object on a line of its own, at once.
pub(crate) fn print<T: Serialize>(value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Prints an error's object. A failure to print it is ignored: the same error is printed to standard error as text.
pub(crate) fn print_error(error: &ApiError) {
    let _ = print(&Refused { error });
}
