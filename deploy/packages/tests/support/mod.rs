//! What the tests of the documentation share.

use std::path::{Path, PathBuf};

use thunder_packages::root;

/// What is no source: built, downloaded, or git's own.
const LEFT_OUT: [&str; 6] = ["target", "node_modules", ".git", "out", "cache", "corpus"];

fn add(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !LEFT_OUT.contains(&name.as_str()) {
                add(&path, found);
            }
        } else if !name.ends_with(".lock")
            && !name.ends_with(".json")
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            found.push((path, text));
        }
    }
}

/// All text files of the project's own.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    add(root(), &mut found);
    found
}
