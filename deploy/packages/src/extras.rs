//! Man pages and completions, from the programs' own definitions.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::Error;

/// The definitions of the programs' command lines.
pub(crate) fn definitions() -> [Command; 3] {
    [
        thunder_node::config::Config::command(),
        // Its version line has another name, which is none for a file.
        thunder_cli::definition().display_name("thunder-cli"),
        thunder_deploy::definition(),
    ]
}

/// Writes `man/*.1` and `completions/<shell>/*` into a directory.
pub fn extras(directory: &Path) -> Result<(), Error> {
    let man = directory.join("man");
    std::fs::create_dir_all(&man).map_err(Error::file(&man))?;
    for definition in definitions() {
        clap_mangen::generate_to(manual(definition), &man).map_err(Error::file(&man))?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        let folder = directory.join("completions").join(shell.to_string());
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        for mut definition in definitions() {
            let name = definition.get_name().to_owned();
            clap_complete::generate_to(shell, &mut definition, name, &folder)
                .map_err(Error::file(&folder))?;
        }
    }
    Ok(())
}

/// What a man page needs beside the definition: `thunder-cli help` is no command with a page of its own, and where
/// to read on.
fn manual(definition: Command) -> Command {
    definition.disable_help_subcommand(true).version(crate::VERSION)
}
