//! The platforms that something is shipped for.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A platform, by the name that Rust has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(&'static Names);

#[derive(Debug, PartialEq, Eq)]
struct Names {
    rust: &'static str,
    /// `process.platform` and `process.arch` of Node.js.
    node: (&'static str, &'static str),
    is_windows: bool,
}

const fn names(rust: &'static str, node: (&'static str, &'static str), is_windows: bool) -> Names {
    Names { rust, node, is_windows }
}

static TARGETS: [Names; 6] = [
    names("x86_64-unknown-linux-gnu", ("linux", "x64"), false),
    names("aarch64-unknown-linux-gnu", ("linux", "arm64"), false),
    names("aarch64-apple-darwin", ("darwin", "arm64"), false),
    names("x86_64-apple-darwin", ("darwin", "x64"), false),
    names("x86_64-pc-windows-msvc", ("win32", "x64"), true),
    // The same for whoever builds on something else than Windows.
    names("x86_64-pc-windows-gnu", ("win32", "x64"), true),
];

impl Target {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TARGETS.iter().map(Self)
    }

    /// As Rust calls it.
    pub fn rust(self) -> &'static str {
        self.0.rust
    }

    /// What Node.js says of itself there: `process.platform` and `process.arch`.
    pub fn node(self) -> (&'static str, &'static str) {
        self.0.node
    }

    /// Whether it is Windows.
    pub fn is_windows(self) -> bool {
        self.0.is_windows
    }

    /// The name of a program's file there.
    pub fn executable(self, program: &str) -> String {
        if self.is_windows() { format!("{program}.exe") } else { program.to_owned() }
    }

    /// The name of the archive, and of the directory in it.
    pub fn name(self) -> String {
        format!("thunder-{}-{}", crate::VERSION, self.rust())
    }

    /// The name of the archive's file.
    pub fn archive(self) -> String {
        format!("{}.{}", self.name(), if self.is_windows() { "zip" } else { "tar.gz" })
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::all().find(|target| target.rust() == text).ok_or_else(|| Error::Target(text.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rust())
    }
}
