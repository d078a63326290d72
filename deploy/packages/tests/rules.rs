//! Rules are cited by number: each citation, in whatever file, leads to a heading under `docs/`. And the map of the
//! sources names the files that there are.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use support::sources;
use thunder_packages::root;

/// Where the rules are, and how their headings begin. A rule of the guard has a G in its number.
const PAGES: [(&str, &str); 2] = [("docs/protocol.md", "### Rule "), ("docs/guard.md", "## ")];

/// A page, by its path from the root.
fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The numbers that have a heading: `9`, `G3`.
fn rules() -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for (path, start) in PAGES {
        let page = page(path);
        let headings = page.lines().filter_map(|line| line.strip_prefix(start)?.split_once(": "));
        rules.extend(headings.map(|(number, _)| number.to_owned()));
    }
    rules
}

/// How rules are cited: `rule 9`, `rules 1, 2 and 3`, a test's `rule_9_…`; `G3`; a test's `g3_…`; and whatever else stands
/// before a comment as if it were such a number, as in `/// X1: …`.
static CITATIONS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    [
        r"(?i)\brules?[\s/!_]+(G?\d+(?:(?:,| and| to|,\s+and)\s+G?\d+)*)",
        r"\b(G\d+)\b",
        r"\bfn ((?:g\d+_)+)",
        r"(?m)^\s*//[/!]? ([A-Z]\d+): ",
    ]
    .map(|pattern| Regex::new(pattern).unwrap())
});
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z]?\d+").unwrap());

/// The numbers of rules that a text cites.
fn cited(text: &str) -> BTreeSet<String> {
    let citations = CITATIONS.iter().flat_map(|pattern| pattern.captures_iter(text));
    let numbers = citations.flat_map(|cited| NUMBER.find_iter(cited.get(1).unwrap().as_str()));
    numbers.map(|number| number.as_str().to_uppercase()).collect()
}

#[test]
fn each_rule_that_is_cited_has_a_heading() {
    let rules = rules();
    assert_eq!(rules.len(), 12 + 8, "{rules:?}");
    let mut wrong = Vec::new();
    let mut right = BTreeSet::new();
    for (path, text) in sources() {
        let (known, unknown): (BTreeSet<_>, BTreeSet<_>) =
            cited(&text).into_iter().partition(|number| rules.contains(number));
        right.extend(known);
        wrong.extend(unknown.into_iter().map(|number| format!("{}: {number}", path.display())));
    }
    assert!(wrong.is_empty(), "cited, and no heading of {PAGES:?}: {wrong:#?}");
    assert_eq!(right, rules, "each is cited somewhere, or the citations are not found");
}

#[test]
fn the_rules_have_the_name_by_which_the_sources_call_them() {
    let page = page("docs/protocol.md");
    assert!(page.lines().any(|line| line == "## Rules of an update"));
}

#[test]
fn a_number_without_a_heading_is_found() {
    let rules = rules();
    // With a # in place of the number, so that this file itself cites nothing that is not there.
    for (text, letter, number) in [
        ("signs nothing (rule #).", "", "13"),
        ("rules 1, 2 and #", "", "14"),
        ("/// signs nothing (rule\n    /// #)", "", "15"),
        ("fn rule_#_signs_nothing() {", "", "16"),
        ("guard rule G#", "G", "9"),
        ("(G1 to G#)", "G", "17"),
        ("fn g6_g#_reads() {", "G", "18"),
        ("/// L#: the key is not in it.", "L", "9"),
    ] {
        let text = text.replace('#', number);
        let unknown: Vec<_> = cited(&text).into_iter().filter(|number| !rules.contains(number)).collect();
        assert_eq!(unknown, [format!("{letter}{number}")], "{text}");
    }
}

/// What each source file holds: a heading is a directory, and below it the first column of a table names its files.
const MAP: &str = "docs/map.md";

/// The directories of the map, and the files that it names, by their paths from the root.
fn mapped() -> (Vec<String>, Vec<String>) {
    let (mut directories, mut files) = (Vec::<String>::new(), Vec::new());
    for line in page(MAP).lines() {
        if let Some(directory) = line.strip_prefix("## `").and_then(|rest| rest.strip_suffix('`')) {
            directories.push(directory.to_owned());
        } else if let Some((names, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) {
            let directory = directories.last().unwrap();
            files.extend(names.split("`, `").map(|name| format!("{directory}/{name}")));
        }
    }
    (directories, files)
}

#[test]
fn the_map_names_each_source_file_of_its_directories_and_no_other() {
    let (directories, files) = mapped();
    assert!(directories.len() >= 13, "only {directories:?}");
    let named: BTreeSet<_> = files.iter().cloned().collect();
    assert_eq!(named.len(), files.len(), "a file is named twice");
    let mut there = BTreeSet::new();
    for (path, _) in sources() {
        let path = path.strip_prefix(root()).unwrap();
        let is_source = path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs");
        if is_source && directories.iter().any(|directory| path.starts_with(directory)) {
            there.insert(path.to_string_lossy().replace('\\', "/"));
        }
    }
    let (new, gone): (Vec<_>, Vec<_>) =
        (there.difference(&named).collect(), named.difference(&there).collect());
    assert!(new.is_empty() && gone.is_empty(), "{MAP} lacks {new:#?}, and has {gone:#?}");
}
