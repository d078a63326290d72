//! `thunder-cli`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    thunder_cli::main(std::env::args_os().collect()).await
}
