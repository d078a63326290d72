//! `thunder-cli`.

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(thunder_cli::main(std::env::args_os().collect()));
    // A question that was interrupted still waits for its line.
    runtime.shutdown_background();
    Ok(code)
}
