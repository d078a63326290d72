//! `NpmFolder`: a folder with npm packages, its installation, and whether that is complete and current.

use std::env::consts;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::{PACKAGE_JSON, PACKAGE_LOCK, ToolError, failed, path_lookup};

/// The pause between two attempts at the lock while another process installs.
const POLL: Duration = Duration::from_millis(100);
/// How much of npm's output an error shows, in lines.
const SHOWN_LINES: usize = 20;
/// Options for every npm command: no scripts of packages are run, and nothing else is looked up or printed.
const OPTIONS: [&str; 4] = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];

/// A folder with `package.json`, `package-lock.json` and what npm makes of them.
pub(super) struct NpmFolder {
    path: PathBuf,
    lock_file: PathBuf,
    with_development: bool,
}

impl NpmFolder {
    /// `contracts/` of the source tree, with the packages for development.
    pub(super) fn sources(contracts: &Path) -> Self {
        let lock_file = contracts.join("cache").join("npm.lock");
        Self { path: contracts.to_path_buf(), lock_file, with_development: true }
    }

    /// The cache folder of an installed thunder-deploy, without the packages for development.
    pub(super) fn installed(path: &Path) -> Result<Self, ToolError> {
        fs::create_dir_all(path).map_err(failed(path.display().to_string()))?;
        for (name, content) in [("package.json", PACKAGE_JSON), ("package-lock.json", PACKAGE_LOCK)] {
            let file = path.join(name);
            if fs::read(&file).ok().as_deref() != Some(content.as_bytes()) {
                write_whole(path, &file, content).map_err(failed(file.display().to_string()))?;
            }
        }
        Ok(Self { path: path.to_path_buf(), lock_file: path.join("npm.lock"), with_development: false })
    }

    /// A program of the packages, if they are installed, and from the lock as it is now.
    pub(super) fn program(&self, tool: &str) -> Option<PathBuf> {
        let path = self.path_of(tool);
        (path.is_file() && self.is_current()).then_some(path)
    }

    fn path_of(&self, tool: &str) -> PathBuf {
        let file = format!("{tool}{}", consts::EXE_SUFFIX);
        self.modules().join(package(tool)).join("bin").join(file)
    }

    fn modules(&self) -> PathBuf {
        self.path.join("node_modules")
    }

    /// npm's own list of what it has installed. npm writes it last, so it also tells a finished
    /// installation from one that was cut off.
    fn record(&self) -> PathBuf {
        self.modules().join(".package-lock.json")
    }

    fn is_current(&self) -> bool {
        let wanted = read_packages(&self.path.join("package-lock.json"));
        let there = read_packages(&self.record());
        wanted.zip(there).is_some_and(|(wanted, there)| is_installed(&wanted, &there, self.with_development))
    }

    /// Installs everything, unless another process has just done so.
    pub(super) async fn install(&self, tool: &'static str) -> Result<PathBuf, ToolError> {
        let _guard = self.lock().await?;
        if let Some(path) = self.program(tool) {
            return Ok(path);
        }
        let npm = path_lookup::npm(tool)?;
        path_lookup::node(tool).await?;
        // Only a notice: nothing depends on its being read.
        let _ = writeln!(io::stderr(), "installing {tool} with npm, once ...");
        if let Err(error) = fs::remove_file(self.record())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(failed(self.record().display().to_string())(error));
        }
        if !self.run(&npm, &["ci"]).await?.status.success() {
            // `npm ci` refuses a lock without the packages of every platform, which is what npm
            // writes where its registry has only some. `install` adds what is missing, in the one
            // version that Foundry's package names, and leaves the lock alone.
            let output = self.run(&npm, &["install", "--no-save"]).await?;
            if !output.status.success() {
                return Err(ToolError::Install {
                    tool,
                    command: "npm install".into(),
                    output: end_of(&output),
                });
            }
        }
        let path = self.path_of(tool);
        if path.is_file() { Ok(path) } else { Err(ToolError::NotPublished { tool, package: package(tool) }) }
    }

    async fn run(&self, npm: &Path, command: &[&str]) -> Result<Output, ToolError> {
        let omit = if self.with_development { None } else { Some("--omit=dev") };
        Command::new(npm)
            .args(command)
            .args(OPTIONS)
            .args(omit)
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(failed("can't run npm"))
    }

    /// Keeps other processes from installing at the same time, until the file is closed.
    async fn lock(&self) -> Result<File, ToolError> {
        let open = || {
            if let Some(parent) = self.lock_file.parent() {
                fs::create_dir_all(parent)?;
            }
            File::create(&self.lock_file)
        };
        let what = || self.lock_file.display().to_string();
        let file = open().map_err(failed(what()))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
                Err(TryLockError::Error(error)) => return Err(failed(what())(error)),
            }
        }
    }
}

/// The package that holds Foundry's program for this platform.
fn package(tool: &str) -> String {
    let system = match consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let processor = match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("@foundry-rs/{tool}-{system}-{processor}")
}

/// The packages of a lock file, by their folder.
fn read_packages(path: &Path) -> Option<serde_json::Map<String, Value>> {
    let mut lock: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    match lock.get_mut("packages")?.take() {
        Value::Object(packages) => Some(packages),
        _ => None,
    }
}

/// Whether all that the lock asks for is there, in the version and with the content that it names.
/// Packages for other platforms may be missing.
fn is_installed(
    wanted: &serde_json::Map<String, Value>,
    there: &serde_json::Map<String, Value>,
    with_development: bool,
) -> bool {
    let is_set = |package: &Value, key: &str| package[key].as_bool().unwrap_or_default();
    let packages = wanted.iter().filter(|(folder, _)| !folder.is_empty());
    packages.filter(|(_, package)| with_development || !is_set(package, "dev")).all(|(folder, package)| {
        match there.get(folder) {
            Some(found) => ["version", "integrity"]
                .iter()
                .all(|key| package[*key].is_null() || package[*key] == found[*key]),
            None => is_set(package, "optional"),
        }
    })
}

/// Replaces a file in one step, so that other processes see the old content or the new.
fn write_whole(folder: &Path, file: &Path, content: &str) -> io::Result<()> {
    let temporary = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(temporary.path(), content)?;
    temporary.persist(file)?;
    Ok(())
}

fn end_of(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn packages(value: Value) -> serde_json::Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_installation_is_current_if_nothing_of_the_lock_is_missing_or_another() {
        let lock = packages(json!({
            "": {"name": "root"},
            "node_modules/a": {"version": "1.0.0", "integrity": "x"},
            "node_modules/b": {"version": "2.0.0", "dev": true},
            "node_modules/other-platform": {"version": "3.0.0", "optional": true},
        }));
        let all = packages(json!({
            "node_modules/a": {"version": "1.0.0", "integrity": "x"},
            "node_modules/b": {"version": "2.0.0", "integrity": "y"},
        }));
        assert!(is_installed(&lock, &all, true));
        let mut without_development = all.clone();
        without_development.remove("node_modules/b");
        assert!(is_installed(&lock, &without_development, false));
        assert!(!is_installed(&lock, &without_development, true));
        for (key, value) in [("version", "1.0.1"), ("integrity", "z")] {
            let mut other = all.clone();
            other["node_modules/a"][key] = value.into();
            assert!(!is_installed(&lock, &other, true), "{key}");
        }
        let mut other = all;
        other.insert("node_modules/other-platform".into(), json!({"version": "2.9.0"}));
        assert!(!is_installed(&lock, &other, true));
    }

    #[test]
    fn an_installed_program_brings_its_own_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foundry");
        for _ in 0..2 {
            let installed = NpmFolder::installed(&path).unwrap();
            assert_eq!(installed.program("anvil"), None);
        }
        assert_eq!(fs::read_to_string(path.join("package-lock.json")).unwrap(), PACKAGE_LOCK);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "no temporary files");
    }
}
