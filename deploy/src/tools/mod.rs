//! The third-party programs: anvil for a testnet, and for the tests of the contracts forge and node.
//!
//! What is missing is installed with npm, in the versions of `contracts/package-lock.json`.
//!
//! npm's own launchers of anvil and forge are never used: they exit with 0 when what they started
//! has failed, and leave it running when they are killed. The programs themselves are in packages
//! of their own, one for each platform.

mod npm;
mod path_lookup;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use alloy_primitives::keccak256;

use crate::error::{ErrorInfo, Exit};
use npm::NpmFolder;

/// The environment variable that names the anvil to use.
const ANVIL_VARIABLE: &str = "THUNDER_ANVIL";

const PACKAGE_JSON: &str = include_str!("../../../contracts/package.json");
const PACKAGE_LOCK: &str = include_str!("../../../contracts/package-lock.json");

/// Why a third-party program can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Neither Node.js nor its npm is on the PATH.
    #[error("{program} is not on the PATH, and without it {tool} can't be installed")]
    NoNode {
        /// `node` or `npm`.
        program: &'static str,
        /// What it is wanted for.
        tool: &'static str,
    },
    /// Node.js is too old.
    #[error("Node.js {found} is too old to install {tool}")]
    OldNode {
        /// The version, as `node --version` prints it.
        found: String,
        /// What it is wanted for.
        tool: &'static str,
    },
    /// npm failed.
    #[error("can't install {tool}: {command} failed\n{output}")]
    Install {
        /// The program that was to be installed.
        tool: &'static str,
        /// The npm command.
        command: String,
        /// The end of npm's output.
        output: String,
    },
    /// npm has installed everything there is, and the program is not among it.
    #[error("npm has no {tool} for this platform (package {package})")]
    NotPublished {
        /// The program.
        tool: &'static str,
        /// The package that would hold it.
        package: String,
    },
    /// The environment variable names no program.
    #[error("{ANVIL_VARIABLE} is {path}, and there is no such program")]
    NoSuchProgram {
        /// The variable's value.
        path: PathBuf,
    },
    /// There are no contracts to test.
    #[error("this is not the source tree: there is no contracts folder")]
    NoSources,
    /// A file or a program can't be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or program, or what could not be done.
        what: String,
        /// The I/O error.
        source: io::Error,
    },
}

impl ToolError {
    pub(crate) fn info(&self) -> ErrorInfo {
        let hint = match self {
            Self::NoNode { tool, .. } | Self::OldNode { tool, .. } => {
                format!("install Node.js 20 or newer, or put {tool} on the PATH")
            }
            Self::Install { tool, .. } => {
                format!("make sure that npm reaches its registry and repeat, or put {tool} on the PATH")
            }
            Self::NotPublished { tool, .. } => {
                format!("install Foundry, which has it, and put {tool} on the PATH")
            }
            Self::NoSuchProgram { .. } => format!("name an anvil, or unset {ANVIL_VARIABLE}"),
            Self::NoSources => "run it with cargo, in the source tree".into(),
            Self::Io { .. } => "make sure that it is there and that you may use it".into(),
        };
        ErrorInfo { code: "tool_missing", exit: Exit::Refused, hint }
    }
}

/// Turns an I/O error into one that says what was done to what.
fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ToolError {
    let what = what.into();
    move |source| ToolError::Io { what, source }
}

/// anvil: the one that `THUNDER_ANVIL` names, the one of the source tree, one on the PATH, or one
/// that npm installs, in this order.
pub async fn anvil() -> Result<PathBuf, ToolError> {
    if let Some(path) = env::var_os(ANVIL_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from) {
        return if path.is_file() { Ok(path) } else { Err(ToolError::NoSuchProgram { path }) };
    }
    let sources = source_tree().map(|root| NpmFolder::sources(&root.join("contracts")));
    if let Some(path) = sources.as_ref().and_then(|folder| folder.program("anvil")) {
        return Ok(path);
    }
    if let Some(path) = path_lookup::on_path("anvil") {
        return Ok(path);
    }
    let folder = match sources {
        Some(folder) => folder,
        None => NpmFolder::installed(&cache_folder())?,
    };
    match folder.program("anvil") {
        Some(path) => Ok(path),
        None => folder.install("anvil").await,
    }
}

/// forge, of exactly the version that the contracts are tested with. In the source tree only.
pub async fn forge() -> Result<PathBuf, ToolError> {
    let folder = NpmFolder::sources(&contracts()?);
    match folder.program("forge") {
        Some(path) => Ok(path),
        None => folder.install("forge").await,
    }
}

/// Returns Node.js on the PATH, if it is new enough.
pub async fn node() -> Result<PathBuf, ToolError> {
    path_lookup::node("the contracts' tools").await
}

/// The folder of the contracts, in the source tree.
pub fn contracts() -> Result<PathBuf, ToolError> {
    source_tree().map(|root| root.join("contracts")).ok_or(ToolError::NoSources)
}

/// The root of the source tree, if this program runs in one: cargo says so, or the program is still
/// where cargo has built it.
pub fn source_tree() -> Option<PathBuf> {
    let by_cargo = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let by_cargo = by_cargo.as_deref().and_then(Path::parent).filter(|root| lock_of(root).is_some());
    by_cargo.map(Path::to_path_buf).or_else(built_in)
}

/// The source tree above the program, told from somebody else's by its lock.
fn built_in() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let target =
        program.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "target"))?;
    let root = target.parent()?;
    (lock_of(root)? == PACKAGE_LOCK).then(|| root.to_path_buf())
}

fn lock_of(root: &Path) -> Option<String> {
    fs::read_to_string(root.join("contracts").join("package-lock.json")).ok()
}

/// Where an installed program keeps what npm installs for it: one folder for each lock, so that a
/// newer version of this program does not run an older anvil.
fn cache_folder() -> PathBuf {
    let base =
        directories::ProjectDirs::from("", "", "thunder").map(|folders| folders.cache_dir().to_path_buf());
    let hash = keccak256(PACKAGE_LOCK).to_string();
    let name = format!("foundry-{}", hash.get(2..18).unwrap_or(&hash));
    base.unwrap_or_else(|| env::temp_dir().join("thunder")).join(name)
}
