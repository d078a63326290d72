//! docs/operations.md says what each WARN and ERROR means: no text is missing there, none is stale.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The sources that end up in thunderd.
const SOURCES: [&str; 6] =
    ["src", "api/src", "engine/src", "../chain/src", "../chain/guard/src", "../protocol/src"];

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
}

/// The text between the parenthesis that has just been opened and the one that closes it, and the
/// string literals that are arguments by themselves in it.
fn literals(after: &str) -> Vec<String> {
    let (mut depth, mut literals, mut characters) = (1, Vec::new(), after.char_indices().peekable());
    let mut before = '(';
    while let Some((_, character)) = characters.next() {
        match character {
            '(' => depth += 1,
            ')' if depth == 1 => break,
            ')' => depth -= 1,
            '"' => {
                let mut text = String::new();
                while let Some((_, character)) = characters.next() {
                    match character {
                        '"' => break,
                        '\\' if characters.peek().is_some_and(|(_, next)| *next == '\n') => {
                            while characters.peek().is_some_and(|(_, next)| next.is_whitespace()) {
                                characters.next();
                            }
                        }
                        '\\' => text.extend(characters.next().map(|(_, next)| next)),
                        other => text.push(other),
                    }
                }
                if depth == 1 && matches!(before, '(' | ',') {
                    literals.push(text);
                }
            }
            _ => {}
        }
        if !character.is_whitespace() {
            before = character;
        }
    }
    literals
}

/// With `…` in place of what changes.
fn constant(text: &str) -> String {
    let mut constant = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        constant.push_str(before);
        constant.push('…');
        rest = after.split_once('}').unwrap().1;
    }
    constant + rest
}

/// Every text of a call like `marker"text")` in the sources.
fn texts_of(marker: &str) -> BTreeSet<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(source), &mut files);
    }
    let calls = files.iter().flat_map(|file| file.split(marker).skip(1));
    let first = calls.map(|after| {
        let text = literals(after).into_iter().next();
        text.unwrap_or_else(|| panic!("no constant text after {marker}: {after:.200}"))
    });
    first.map(|text| constant(&text)).collect()
}

/// The text of each risk that the core reports, which the log has behind "MONEY AT RISK: ".
fn risks() -> Vec<String> {
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/src/wording.rs");
    let texts = fs::read_to_string(texts).unwrap();
    let arms = texts.split("fn risk(").nth(1).unwrap().split("\n}\n").next().unwrap();
    let texts = arms.split("=>").skip(1).map(|arm| literals(arm.trim_start().trim_start_matches('{')));
    texts.map(|literals| literals.into_iter().next().unwrap()).collect()
}

fn documented(level: &str) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let table = page.split("\n### ").find(|part| part.starts_with(level)).unwrap();
    let rows =
        table.lines().filter_map(|line| line.strip_prefix("| ")).filter(|row| !row.starts_with("text |"));
    rows.map(|row| row.split(" | ").next().unwrap().to_owned()).collect()
}

#[test]
fn every_warning_is_explained_and_nothing_that_is_explained_is_gone() {
    assert_eq!(texts_of("warn!("), documented("WARN"));
}

#[test]
fn every_error_is_explained_and_nothing_that_is_explained_is_gone() {
    let mut errors = texts_of("error!(");
    errors.extend(risks());
    assert_eq!(errors, documented("ERROR"));
}

#[test]
fn a_text_is_found_behind_fields_and_over_several_lines() {
    let call = "%error, path = name(\"no\"),\n    \"one \\\n     two {three}\",\n    four)";
    assert_eq!(literals(call), ["one two {three}"]);
    assert_eq!(constant("one two {three} four {}"), "one two … four …");
}
