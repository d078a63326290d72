//! `thunder-packages`: makes what is shipped. See `docs/packaging.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match thunder_packages::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
