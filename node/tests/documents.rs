//! `docs/operations.md` says what each WARN and ERROR means, and `docs/limits.md` what the limits are: nothing is missing
//! there, and nothing is stale.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use thunder_node::limits;
use thunder_protocol::{codec, wire};

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

#[test]
fn the_page_of_limits_has_those_of_the_code_and_no_others() {
    let seconds = |duration: std::time::Duration| format!("{} s", duration.as_secs());
    let from_millis = |millis: u64| format!("{} s", millis / 1000);
    let expected = [
        ("MAX_CONNECTIONS", limits::MAX_CONNECTIONS.to_string()),
        ("MAX_PENDING_INCOMING", limits::MAX_PENDING_INCOMING.to_string()),
        ("MAX_PER_PEER", limits::MAX_PER_PEER.to_string()),
        ("MAX_STRANGERS", limits::MAX_STRANGERS.to_string()),
        ("PROVE_WITHIN", from_millis(limits::PROVE_WITHIN)),
        ("CONNECT_TIMEOUT", seconds(limits::CONNECT_TIMEOUT)),
        ("PING_INTERVAL", seconds(limits::PING_INTERVAL)),
        ("PING_TIMEOUT", seconds(limits::PING_TIMEOUT)),
        ("FIRST_RETRY", from_millis(limits::FIRST_RETRY)),
        ("LAST_RETRY", from_millis(limits::LAST_RETRY)),
        ("MAX_LEN", codec::MAX_LEN.to_string()),
        ("MAX_MESSAGES", wire::MAX_MESSAGES.to_string()),
        ("MAX_PAYMENTS", wire::MAX_PAYMENTS.to_string()),
        ("MAX_STREAMS", limits::MAX_STREAMS.to_string()),
        ("EXCHANGE_TIMEOUT", seconds(limits::EXCHANGE_TIMEOUT)),
        ("SMALL_MESSAGE", limits::SMALL_MESSAGE.to_string()),
        ("LARGE_PER_CONNECTION", limits::LARGE_PER_CONNECTION.to_string()),
        ("LARGE_IN_ALL", limits::LARGE_IN_ALL.to_string()),
        ("WAITING_PER_CONNECTION", limits::WAITING_PER_CONNECTION.to_string()),
        ("WAITING_IN_ALL", limits::WAITING_IN_ALL.to_string()),
        ("DECODED_IN_ALL", limits::DECODED_IN_ALL.to_string()),
        ("EXPANSION", codec::EXPANSION.to_string()),
        ("BUDGET", limits::BUDGET.to_string()),
        ("BUDGET_PER_SECOND", limits::BUDGET_PER_SECOND.to_string()),
        ("HANDSHAKE_COST", limits::HANDSHAKE_COST.to_string()),
        ("UNKNOWN_CHANNEL_COST", limits::UNKNOWN_CHANNEL_COST.to_string()),
        ("STRANGER_LINES", limits::STRANGER_LINES.to_string()),
        ("STRANGER_LINES_PER_SECOND", limits::STRANGER_LINES_PER_SECOND.to_string()),
        ("MAX_INBOUND_PENDING", limits::MAX_INBOUND_PENDING.to_string()),
        ("MAX_INBOUND_PENDING_IN_ALL", limits::MAX_INBOUND_PENDING_IN_ALL.to_string()),
        ("INBOUND_PENDING_FOR", from_millis(limits::INBOUND_PENDING_FOR)),
        ("OFFER_LASTS", from_millis(limits::OFFER_LASTS)),
        ("MAX_DISCOVERED", limits::MAX_DISCOVERED.to_string()),
        ("MAX_ADDRESSES", limits::MAX_ADDRESSES.to_string()),
        ("MAX_SHOWN", limits::MAX_SHOWN.to_string()),
        ("MAX_HISTORY", limits::MAX_HISTORY.to_string()),
        ("MAX_EVENTS", limits::MAX_EVENTS.to_string()),
        ("MAX_PASSING_EVENTS", limits::MAX_PASSING_EVENTS.to_string()),
        ("MAX_PAYMENTS_IN_CALL", limits::MAX_PAYMENTS_IN_CALL.to_string()),
    ];
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: Vec<_> =
        rows.filter_map(|(name, rest)| Some((name, rest.split_once(" |")?.0.to_owned()))).collect();
    assert_eq!(listed, expected);
}
