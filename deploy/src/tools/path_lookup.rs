//! Looks programs up on the PATH: anvil, npm, and a Node.js that is new enough.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, io};

use tokio::process::Command;

use super::{ToolError, failed};

/// The oldest Node.js that Foundry's packages work with.
const OLDEST_NODE: u32 = 20;

/// A native program on the PATH; scripts, as npm's launchers are, don't count.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    find(&file, |path| !is_script(path).unwrap_or(true))
}

/// npm, which is a script everywhere.
pub(super) fn npm(tool: &'static str) -> Result<PathBuf, ToolError> {
    let file = if cfg!(windows) { "npm.cmd" } else { "npm" };
    find(file, |_| true).ok_or(ToolError::NoNode { program: "npm", tool })
}

/// Node.js, if it is new enough.
pub(super) async fn node(tool: &'static str) -> Result<PathBuf, ToolError> {
    let file = format!("node{}", env::consts::EXE_SUFFIX);
    let path = find(&file, |_| true).ok_or(ToolError::NoNode { program: "node", tool })?;
    let asked = Command::new(&path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let answer = asked.await.map_err(failed("can't run node"))?;
    let found = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    match major(&found) {
        Some(version) if version >= OLDEST_NODE => Ok(path),
        _ => Err(ToolError::OldNode { found, tool }),
    }
}

fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

fn find(file: impl AsRef<OsStr>, fits: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(file.as_ref()))
        .find(|path| is_program(path) && fits(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn is_script(path: &Path) -> io::Result<bool> {
    let mut start = [0; 2];
    File::open(path)?.read_exact(&mut start)?;
    Ok(&start == b"#!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("v9.0.0"), Some(9));
        assert_eq!(major("command not found"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_launcher_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let launcher = folder.path().join("anvil");
        fs::write(&launcher, "#!/usr/bin/env node\n").unwrap();
        assert!(is_script(&launcher).unwrap());
        assert!(!is_program(&launcher), "it can't even be executed");
        assert!(!is_script(&env::current_exe().unwrap()).unwrap());
    }
}
