//! Makes what is shipped of what was built: archives, npm packages, man pages, completions; and the reference.
//!
//! Man pages and completions come from the programs' own definitions; the reference is the pages under
//! `docs/reference`.
//!
//! Nothing of it is shipped itself. `deploy/packages/build` compiles the programs and calls this; `docs/packaging.md`
//! tells the whole way.

mod archive;
mod extras;
mod npm;
pub mod reference;
mod target;
mod third_party;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

pub use archive::archive;
pub use extras::extras;
pub use npm::npm;
pub use target::Target;

/// The programs that are shipped, in the order in which a user meets them.
pub const PROGRAMS: [&str; 3] = ["thunderd", "thunder-cli", "thunder-deploy"];

/// The version of all of them.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why something could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A source or a generated file is not what it is expected to be.
    #[error("{}: {reason}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A target that nothing is shipped for.
    #[error("nothing is shipped for {0}; see deploy/packages/src/target.rs")]
    Target(String),
    /// Pages of the reference are not what the code says.
    #[error("the code says something else than {0:?}: run `cargo run -p thunder-packages -- reference`")]
    Stale(Vec<PathBuf>),
}

impl Error {
    /// For `map_err`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause }
    }

    pub(crate) fn content(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Content { path: path.into(), reason: reason.to_string() }
    }
}

#[derive(Parser)]
#[command(name = "thunder-packages", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the pages under docs/reference from the code
    Reference {
        /// Only say whether they are what the code says
        #[arg(long)]
        check: bool,
    },
    /// Write man pages and completions into a directory
    Extras {
        /// Where to
        directory: PathBuf,
    },
    /// Write the licences of everything that is linked for a platform to a file
    Licences {
        /// The platform, as Rust calls it
        #[arg(long)]
        target: String,
        /// Where to
        file: PathBuf,
    },
    /// Pack the executables of a platform into an archive, with its checksum beside it
    Archive {
        /// The platform, as Rust calls it
        #[arg(long)]
        target: String,
        /// Where its executables are
        #[arg(long)]
        binaries: PathBuf,
        /// A directory of bills of materials, to be packed too
        #[arg(long)]
        sbom: Option<PathBuf>,
        /// Where the archive goes
        #[arg(long)]
        out: PathBuf,
    },
    /// Make npm packages of the archives in a directory
    Npm {
        /// Where the archives are
        #[arg(long)]
        archives: PathBuf,
        /// Where the packages go
        #[arg(long)]
        out: PathBuf,
    },
}

/// Prints where something was put.
fn say(path: &Path) -> Result<(), Error> {
    writeln!(io::stdout(), "{}", path.display()).map_err(Error::file("standard output"))
}

/// Does what the command line says.
pub fn main() -> Result<(), Error> {
    match Cli::parse().command {
        Command::Reference { check: true } => reference::check(root()),
        Command::Reference { check: false } => reference::write(root()),
        Command::Extras { directory } => extras(&directory),
        Command::Licences { target, file } => write(&file, third_party::licences(root(), target.parse()?)?),
        Command::Archive { target, binaries, sbom, out } => {
            let made = archive(root(), target.parse()?, &binaries, sbom.as_deref(), &out)?;
            say(&made)
        }
        Command::Npm { archives, out } => {
            npm(root(), &archives, &out)?.iter().try_for_each(|package| say(package))
        }
    }
}

/// The source tree.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own)
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::file(path))
}

/// Writes a file, and the directories that it is in.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::file(parent))?;
    }
    std::fs::write(path, content).map_err(Error::file(path))
}
