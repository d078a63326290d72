//! A local Ethereum testnet with THD and the channel factory, THD for whoever wants some, and a demonstration.
//!
//! The command line is `thunder-deploy`. As a library it is the harness of the end-to-end tests:
//! [`Testnet`] is a real anvil that ends with its owner, [`Binaries`] are the real programs.

mod args;
mod binaries;
mod demo;
mod deployment;
mod error;
mod keys;
mod output;
pub mod ports;
pub mod process;
mod run;
mod testnet;
mod testnet_summary;
pub mod tools;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

pub use binaries::{Binaries, BinariesError, beside};
pub use demo::DemoError;
pub use deployment::{DeployError, Deployed, Operator};
pub use error::{Error, Exit};
pub use keys::{DEVELOPMENT_PHRASE, DevelopmentAccount, OperatorKeyError, SecretKey};
pub use testnet::{Testnet, TestnetError, TestnetOptions};

/// The command line as clap knows it, for completions and man pages.
pub fn definition() -> clap::Command {
    <args::Cli as clap::CommandFactory>::command()
}

/// Does what the command line says and tells how it went.
pub async fn main(arguments: Vec<OsString>) -> ExitCode {
    let cli = match args::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => return args::refuse(&error, &arguments),
    };
    let json = cli.json;
    match Box::pin(run::run(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read has read enough.
        Err(Error::Output(cause)) if cause.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => output::failure(&error, json),
    }
}
