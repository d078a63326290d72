//! The command line of Thunder: its definition, and what it does.
//!
//! It knows thunderd's local socket ([`thunder_api`]) and nothing else of the daemon.

pub mod args;
mod client;
mod close;
mod files;
mod history;
mod menu;
mod output;
mod parse_error;
mod pay_file;
mod payments;
mod repeat;
mod run;
mod secrets;
mod values;
mod wallet;
mod watch;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
pub use clap_complete::Shell;

use crate::args::Cli;
use crate::output::Output;

/// The command line as clap knows it, with the main help page; for completions and man pages too.
///
/// ```
/// let definition = thunder_cli::definition();
/// assert!(definition.get_subcommands().any(|command| command.get_name() == "closechannel"));
/// ```
pub fn definition() -> clap::Command {
    definition_for(false)
}

fn definition_for(terminal: bool) -> clap::Command {
    let definition = Cli::command();
    let page = menu::page(&definition, terminal);
    definition.override_help(page)
}

/// The completion script of a program for a shell.
pub fn completions(shell: Shell, mut definition: clap::Command) -> String {
    let name = definition.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, &name, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if shell != Shell::Bash {
        return script;
    }
    // clap_complete takes the hyphen in a program's name for the end of a command's at one of two places that must
    // agree, so that nothing is completed after a command.
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

/// Carries out the command line. Returns the exit code.
pub async fn main(arguments: Vec<OsString>) -> ExitCode {
    let cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &arguments),
    };
    let port = cli.global.port;
    let output = Output::new(cli.global.json, port);
    match run::run(cli, &output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(repeat::with_commands(repeat::with_port(failure, port), &arguments)),
    }
}

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = definition_for(std::io::stdout().is_terminal())
        .try_get_matches_from(arguments)
        .map_err(parse_error::name_owner)?;
    Cli::from_arg_matches(&matches)
}

/// Prints clap's own text, and with `--json` the error as an object too.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // A failure to print (a closed pipe) has no place left to be reported at.
    let _ = error.print();
    if parse_error::is_answer(error) {
        return ExitCode::SUCCESS;
    }
    let error = parse_error::to_api_error(error);
    if parse_error::wants_json(arguments, std::env::var_os("THUNDER_JSON")) {
        output::print_json_error(&error);
    }
    ExitCode::from(error.code.exit_code() as u8)
}
