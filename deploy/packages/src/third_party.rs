//! The licences of everything that is linked into the programs: what they ask for is that their text goes along.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{Error, Target, read};

/// The crates whose programs are shipped.
const SHIPPED: [&str; 3] = ["thunder-node", "thunder-cli", "thunder-deploy"];
/// How files with licences begin, in small letters.
const NAMES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// The text of `THIRD-PARTY-LICENSES`: each package with its licence, and each text once.
pub(crate) fn licences(root: &Path, target: Target) -> Result<String, Error> {
    let metadata = metadata(root, target)?;
    let mut text = String::from(
        "Thunder's programs are linked with the packages below, under these licences. Their sources are in Rust's package registry \
         under these names and versions.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked(&metadata) {
        let name = format!("{} {}", word(&package["name"]), word(&package["version"]));
        // Writing to a string can't fail.
        let _ = writeln!(text, "- {name}: {}", package["license"].as_str().unwrap_or("see below"));
        for licence in files(Path::new(word(&package["manifest_path"])))? {
            texts.entry(licence).or_default().push(name.clone());
        }
    }
    for (licence, packages) in texts {
        let _ = write!(text, "\n{}\n{}\n\n{}\n", "-".repeat(80), packages.join(", "), licence.trim_end());
    }
    Ok(text)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn metadata(root: &Path, target: Target) -> Result<Value, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target.rust()])
        .current_dir(root)
        .output()
        .map_err(Error::file(root))?;
    if !output.status.success() {
        return Err(Error::content(root, String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Error::content(root, error))
}

/// The packages of others that the programs are linked with, by name and version: not what only builds or tests them.
fn linked(metadata: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<String, Vec<Value>> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (word(&node["id"]).to_owned(), list(&node["deps"])))
        .collect();
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut open: Vec<String> = packages
        .iter()
        .filter(|package| SHIPPED.contains(&word(&package["name"])))
        .map(|package| word(&package["id"]).to_owned())
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        for dependency in nodes.get(&id).into_iter().flatten() {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                open.push(word(&dependency["pkg"]).to_owned());
            }
        }
        reached.insert(id);
        open.retain(|other| !reached.contains(other));
    }
    let mut linked: Vec<_> = packages
        .iter()
        // Those of the workspace come from nowhere.
        .filter(|package| reached.contains(word(&package["id"])) && !package["source"].is_null())
        .collect();
    linked.sort_by_key(|package| (word(&package["name"]), word(&package["version"])));
    linked
}

/// The texts of the licences in a package.
fn files(manifest: &Path) -> Result<Vec<String>, Error> {
    let folder = manifest.parent().unwrap_or(manifest);
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = item.map_err(Error::file(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            found.push(read(&path)?.replace("\r\n", "\n"));
        }
    }
    Ok(found)
}
