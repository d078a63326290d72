//! `Binaries`: finds the built thunderd and thunder-cli, and builds them first in the source tree.

use std::env::{self, consts};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{ErrorInfo, Exit};
use crate::tools;

/// The paths of the two programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The path of thunderd.
    pub thunderd: PathBuf,
    /// The path of thunder-cli.
    pub thunder_cli: PathBuf,
}

/// Why the programs can't be had.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// A program is not in the folder of this one.
    #[error("there is no {name} in {folder}")]
    Missing {
        /// The program's file name.
        name: String,
        /// The folder where it should be.
        folder: PathBuf,
    },
    /// The programs don't compile.
    #[error("can't build thunderd and thunder-cli:\n{output}")]
    Build {
        /// cargo's output.
        output: String,
    },
    /// cargo can't be run, or this program does not know where it is.
    #[error("can't find thunderd and thunder-cli: {0}")]
    Io(#[from] io::Error),
}

impl BinariesError {
    pub(crate) fn info(&self) -> ErrorInfo {
        let hint = match self {
            Self::Missing { .. } => {
                "install all three programs into one folder; in the source tree: cargo build"
            }
            Self::Build { .. } => "mend what the compiler complains of",
            Self::Io(_) => "in the source tree, run it with cargo",
        };
        ErrorInfo { code: "program_missing", exit: Exit::Refused, hint: hint.into() }
    }
}

impl Binaries {
    /// The programs beside this one. Run by cargo in the source tree, they are built first, with
    /// the same profile.
    pub async fn find() -> Result<Self, BinariesError> {
        if env::var_os("CARGO_MANIFEST_DIR").is_some()
            && let Some(root) = tools::source_tree()
        {
            build(&root, &own_folder()?).await?;
        }
        Ok(Self { thunderd: beside("thunderd")?, thunder_cli: beside("thunder-cli")? })
    }
}

/// Returns the path of the program with this name in the folder of the running one.
pub fn beside(name: &str) -> Result<PathBuf, BinariesError> {
    let folder = own_folder()?;
    let name = format!("{name}{}", consts::EXE_SUFFIX);
    let path = folder.join(&name);
    if path.is_file() { Ok(path) } else { Err(BinariesError::Missing { name, folder }) }
}

/// The folder of the running program. cargo puts tests into `deps`, one folder below the programs.
fn own_folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.to_path_buf())
}

async fn build(root: &Path, folder: &Path) -> Result<(), BinariesError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    // cargo names the folder after the profile, but for `dev`.
    let profile = match folder.file_name() {
        Some(name) if name != "debug" => name.to_os_string(),
        _ => OsString::from("dev"),
    };
    let output = Command::new(cargo)
        .args(["build", "--quiet", "-p", "thunder-node", "-p", "thunder-cli", "--bins", "--profile"])
        .arg(profile)
        .current_dir(root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    if output.status.success() {
        return Ok(());
    }
    Err(BinariesError::Build { output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned() })
}
