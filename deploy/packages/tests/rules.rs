//! Rules are cited by number, and pages by path: each citation, in whatever file, leads to a heading under `docs/`.
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
