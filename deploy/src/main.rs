//! `thunder-deploy`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    thunder_deploy::main(std::env::args_os().collect()).await
}
