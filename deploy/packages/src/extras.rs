//! Man pages and completions, from the programs' own definitions.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Generator, Shell};

use crate::{Error, read, write};

/// The definitions of the programs' command lines.
pub(crate) fn definitions() -> [Command; 3] {
    [
        thunder_node::args::Config::command(),
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
        let page = man.join(format!("{}.1", definition.get_name()));
        clap_mangen::generate_to(manual(definition), &man).map_err(Error::file(&man))?;
        write(&page, format!("{}{MORE}", read(&page)?))?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        let folder = directory.join("completions").join(shell.to_string());
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        for definition in definitions() {
            let file = folder.join(shell.file_name(definition.get_name()));
            write(&file, thunder_cli::completions(shell, definition))?;
        }
    }
    Ok(())
}

/// What each program's own page ends with.
const MORE: &str = r#".SH "EXIT STATUS"
0 done; 1 refused or failed, and nothing is half done; 2 wrong usage. thunder\-cli and thunder\-deploy also have
4: the chain is not reachable, or a transaction failed. thunder\-cli also has 3: no thunderd on that port; 5: the
other node is not connected; 6: no answer in time, and the outcome is unknown.
.SH FILES
thunderd keeps its keys and channels in thunder/<port> in the data directory of its user, and its socket for
thunder\-cli in thunder/ in XDG_RUNTIME_DIR.
.SH "SEE ALSO"
.BR thunderd (1),
.BR thunder\-cli (1),
.BR thunder\-deploy (1)
"#;

/// A definition as its man pages take it: `help` is no command with a page of its own.
fn manual(definition: Command) -> Command {
    definition.disable_help_subcommand(true).version(crate::VERSION)
}
