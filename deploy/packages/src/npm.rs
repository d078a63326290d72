//! npm packages: one for each platform with its executables, and one that starts those of the platform.
//!
//! The latter has no executable, and depends on all others as `optionalDependencies`. npm installs only the one whose
//! `os` and `cpu` are the machine's; nothing is downloaded by a script.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::archive::{THIRD_PARTY, executables, licences};
use crate::{Error, PROGRAMS, Target, VERSION, write};

/// The package that users install.
const NAME: &str = "@thunder-channels/thunder";
/// What the names of the packages with executables begin with. The scope is one owner's, so that nobody else can
/// give out a package that this one asks for.
const PLATFORM: &str = "@thunder-channels/";
const DESCRIPTION: &str = "Payment channels on Ethereum: thunderd, thunder-cli and thunder-deploy";
const LAUNCHER: &str = include_str!("../npm/launch.js");
const README: &str = include_str!("../npm/README.md");

/// Makes the packages of the archives that are there, as directories for `npm pack`; gives their paths, the one that
/// users install last.
pub fn npm(root: &Path, archives: &Path, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut made = Vec::new();
    let mut optional = Map::new();
    for target in Target::all() {
        let archive = archives.join(target.archive());
        let (os, cpu) = target.node();
        let name = format!("{PLATFORM}{os}-{cpu}");
        // Windows has two archives that do the same; one is enough.
        if !archive.is_file() || optional.contains_key(&name) {
            continue;
        }
        let directory = out.join(format!("{os}-{cpu}"));
        for (file, content) in executables(&archive, target)? {
            if file == THIRD_PARTY {
                write(&directory.join(file), content)?;
                continue;
            }
            let path = directory.join("bin").join(file);
            write(&path, content)?;
            make_executable(&path)?;
        }
        let mut manifest = common(&name);
        // Debian's and most others' C library; with musl the executables don't start.
        if os == "linux" {
            manifest["libc"] = json!(["glibc"]);
        }
        manifest["description"] = json!(format!("{DESCRIPTION}: the executables for {os} {cpu}"));
        manifest["os"] = json!([os]);
        manifest["cpu"] = json!([cpu]);
        let readme = format!("# {name}\n\nThe executables of `{NAME}` for {os} {cpu}. Install `{NAME}`.\n");
        finish(root, &directory, &manifest, &readme)?;
        optional.insert(name, json!(VERSION));
        made.push(directory);
    }
    if made.is_empty() {
        return Err(Error::content(archives, "there is no archive in it"));
    }
    let directory = out.join("thunder");
    let mut manifest = common(NAME);
    manifest["bin"] =
        PROGRAMS.iter().map(|program| ((*program).to_owned(), json!(format!("bin/{program}.js")))).collect();
    manifest["engines"] = json!({"node": ">=18"});
    manifest["optionalDependencies"] = Value::Object(optional);
    write(&directory.join("launch.js"), LAUNCHER)?;
    for program in PROGRAMS {
        let path = directory.join("bin").join(format!("{program}.js"));
        write(&path, format!("#!/usr/bin/env node\nrequire(\"../launch.js\")(\"{program}\");\n"))?;
        make_executable(&path)?;
    }
    finish(root, &directory, &manifest, README)?;
    made.push(directory);
    Ok(made)
}

fn common(name: &str) -> Value {
    json!({
        "name": name,
        "version": VERSION,
        "description": DESCRIPTION,
        "license": "MIT OR Apache-2.0",
        "keywords": ["ethereum", "payment-channel", "erc20", "libp2p"],
    })
}

fn finish(root: &Path, directory: &Path, manifest: &Value, readme: &str) -> Result<(), Error> {
    write(&directory.join("package.json"), format!("{manifest:#}\n"))?;
    write(&directory.join("README.md"), readme)?;
    for (name, text) in licences(root)? {
        write(&directory.join(name), text)?;
    }
    Ok(())
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(Error::file(path))
}

/// On Windows npm makes scripts of `bin` itself, and packs what it packs as executable.
#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<(), Error> {
    Ok(())
}
