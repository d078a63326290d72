//! The documentation hangs together: each page is in the book, and each link leads somewhere.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;
use support::sources;
use thunder_packages::root;

/// All Markdown files of the project's own.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/how-to", "docs/reference", "docs/adr", "contracts"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// A page without its blocks of code.
fn prose(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("```").step_by(2).collect()
}

/// Where the links of a page lead, those to other sites left out.
fn links(page: &str) -> Vec<String> {
    let ends = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(link, _)| link.to_owned()).filter(|link| !link.contains("://")).collect()
}

/// A heading's name in links, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// Whether there is a file, and in it the heading, if one is meant.
fn leads_somewhere(file: &Path, heading: &str) -> bool {
    let is_it = |line: &str| line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading;
    file.exists() && (heading.is_empty() || prose(file).lines().any(is_it))
}

#[test]
fn each_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        for link in links(&prose(&page)) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            if !leads_somewhere(&target, heading) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn each_page_is_in_the_book() {
    let docs = root().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<_> = links(&summary).iter().map(|link| docs.join(link)).collect();
    for page in pages().into_iter().filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md")) {
        assert!(listed.contains(&page), "{} is not in SUMMARY.md", page.display());
    }
}

#[test]
fn the_oldest_rust_is_the_same_everywhere() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("rust-version = \"").unwrap();
    let (version, _) = rest.split_once('"').unwrap();
    for (file, said) in [
        ("README.md", format!("Rust {version} or newer")),
        ("CONTRIBUTING.md", format!("Rust {version} or newer")),
        ("deploy/docker/Dockerfile", format!("FROM rust:{version}-")),
    ] {
        assert!(read(file).contains(&said), "{file} does not say {said:?}");
    }
}

#[test]
fn each_page_that_is_named_by_its_path_is_there() {
    let paths = Regex::new(r"\bdocs/[\w/.-]+\.md(?:#[\w-]+)?").unwrap();
    let mut wrong = BTreeSet::new();
    let mut found = 0;
    for (path, text) in sources() {
        for named in paths.find_iter(&text).map(|named| named.as_str()) {
            found += 1;
            let (file, heading) = named.split_once('#').unwrap_or((named, ""));
            if !leads_somewhere(&root().join(file), heading) {
                wrong.insert(format!("{}: {named}", path.display()));
            }
        }
    }
    assert!(found >= 30, "only {found} were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_the_glossary_names_in_the_code_is_there() {
    let page = std::fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let last = rows.filter_map(|row| row.rsplit(" | ").next()).filter(|cell| cell.starts_with('`'));
    let named: BTreeSet<_> =
        last.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect();
    assert!(named.len() >= 20, "only {named:?}");
    let defined = Regex::new(r"\b(?:struct|enum|trait|contract|constant|const) (\w+)").unwrap();
    let sources = sources();
    let code =
        sources.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "rs" || end == "sol"));
    let there: BTreeSet<_> =
        code.flat_map(|(_, text)| defined.captures_iter(text)).map(|name| name[1].to_owned()).collect();
    let missing: Vec<_> = named.difference(&there).collect();
    assert!(missing.is_empty(), "the glossary names what is not defined: {missing:?}");
}
