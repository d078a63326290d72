//! `thunder-packages`: makes what is shipped. See `docs/packaging.md`.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match thunder_packages::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
