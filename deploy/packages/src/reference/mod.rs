//! The pages under `docs/reference`: what the code says of itself, as Markdown.

mod abi;
mod errors;
mod help;
mod json;
mod metrics;
mod source;
mod wire;

use std::path::{Path, PathBuf};

use crate::{Error, read};

/// What stands above each page.
const HEAD: &str =
    "<!-- Made from the code by `cargo run -p thunder-packages -- reference`: change that instead. -->\n\n";

/// The pages, by their paths.
pub fn pages(root: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut pages = help::pages();
    pages.push(("json.md", json::page(root)?));
    pages.push(("errors.md", errors::page()));
    pages.push(("metrics.md", metrics::page()));
    pages.push(("wire.md", wire::page(root)?));
    pages.push(("abi.md", abi::page(root)?));
    let folder = root.join("docs").join("reference");
    Ok(pages.into_iter().map(|(name, text)| (folder.join(name), format!("{HEAD}{text}"))).collect())
}

/// Writes them.
pub fn write(root: &Path) -> Result<(), Error> {
    pages(root)?.into_iter().try_for_each(|(path, text)| crate::write(&path, text))
}

/// An error that names those which are not what the code says.
pub fn check(root: &Path) -> Result<(), Error> {
    let is_stale = |(path, text): &(PathBuf, String)| {
        // Who has git change the ends of lines has the same pages.
        read(path).map_or(true, |found| found.replace("\r\n", "\n") != *text)
    };
    let stale: Vec<_> = pages(root)?.into_iter().filter(is_stale).map(|(path, _)| path).collect();
    if stale.is_empty() { Ok(()) } else { Err(Error::Stale(stale)) }
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
