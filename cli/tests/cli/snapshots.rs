//! What each command prints, kept in `snapshots/`: in a pipe, with `--json`, on a terminal of 80 columns, and there
//! with `NO_COLOR`. Each file has a section for each command, under a heading. The pages of the JSON reference show
//! these, too. After a change on purpose: `cargo insta review`, or the tests again with `INSTA_UPDATE=always`.

use std::process::Command;

use thunder_api::Code;

use crate::common::{Ran, run, thunder_cli};
use crate::scripted::{Mood, Scripted, exported};
use crate::terminal::{Stream, on_terminal};

/// Every command with an answer, and what it is told.
const COMMANDS: &[(&str, &[&str])] = &[
    ("infos", &["infos"]),
    ("importwallet", &["importwallet", "test test test test test test test test test test test junk"]),
    ("newwallet", &["newwallet", "--yes"]),
    ("balance", &["balance"]),
    ("connect", &["connect", "127.0.0.1:2002"]),
    ("openchannel", &["openchannel"]),
    ("openchannel-deposit", &["openchannel", "8", "--deposit", "5"]),
    ("pay", &["pay", "1.25", "--memo", "coffee", "--id", "order-1"]),
    ("pay-file", &["pay", "--file", "payments.csv"]),
    ("closechannel", &["closechannel"]),
    ("closechannel-cooperative", &["closechannel", "--cooperative"]),
    ("withdraw", &["withdraw"]),
    ("challenge", &["challenge"]),
    ("fund", &["fund"]),
    ("cancel", &["cancel"]),
    ("history", &["history"]),
    ("receipts", &["receipts"]),
    ("receipts-import", &["receipts", "--import", "record.json"]),
    ("backup", &["backup", "/mnt/usb/alice.thunder"]),
    ("restore", &["restore", "/mnt/usb/alice.thunder"]),
    ("prune", &["prune", "--before", "2026-11-22"]),
    ("restore-unsigned", &["restore", "/mnt/usb/alice.thunder", "--unsigned"]),
    ("watch", &["watch"]),
];

/// The files in `snapshots/`.
const FILES: [&str; 3] = ["commands", "help", "refusals"];

/// Compares a file in `snapshots/` with these sections: all of them, in this order, and no others.
fn check(file: &str, sections: impl IntoIterator<Item = (String, String)>) {
    assert!(FILES.contains(&file), "{file}");
    let sections = sections.into_iter().map(|(name, text)| format!("===== {name} =====\n\n{text}"));
    let text = sections.collect::<Vec<_>>().join("\n");
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(file, text));
}

/// The command line with a stand-in's answers, in every way it can be looked at.
fn screens(node: &Scripted, arguments: &[&str], stream: Stream) -> String {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| if word.contains(' ') { format!("\"{word}\"") } else { (*word).to_owned() })
        .collect();
    let command = |extra: &[&str]| {
        let mut command = node.cli(&[extra, arguments].concat());
        command.env("TZ", "UTC").current_dir(node.directory());
        command
    };
    let of = |ran: Ran| match stream {
        Stream::Out => ran.out,
        Stream::Err => ran.err,
    };
    let piped = run(&mut command(&[]));
    let json = run(&mut command(&["--json"]));
    let (code, piped) = (piped.code, of(piped));
    assert!(!piped.contains('\u{1b}'), "colour in a pipe");
    let objects: Vec<_> = json.out.lines().map(pretty).collect();
    let coloured = on_terminal(&command(&[]), stream);
    let mut plain = command(&[]);
    plain.env("NO_COLOR", "1");
    let plain = on_terminal(&plain, stream);
    assert!(!plain.contains("\\e["), "colour in spite of NO_COLOR: {plain}");
    let (piped, coloured, plain) = (timeless(&piped), timeless(&coloured), timeless(&plain));
    let same = |text: &str| if text == piped { "as in a pipe\n".to_owned() } else { text.to_owned() };
    format!(
        "$ thunder-cli {}\nexit code {code}\n\n-- in a pipe --\n{piped}\n-- with --json --\n{}\n\n\
         -- on a terminal --\n{}\n-- on a terminal, NO_COLOR --\n{}",
        words.join(" "),
        objects.join("\n"),
        same(&coloured),
        same(&plain),
    )
}

/// Without the time at which it ran; that of the stand-in's payment stays.
fn timeless(text: &str) -> String {
    const PAID: &str = "2026-11-22 18:25:03";
    let is_time =
        |text: &str| text.len() == PAID.len() && text.is_ascii() && text.starts_with("20") && text != PAID;
    let line = |line: &str| match line.split_at_checked(PAID.len()) {
        Some((time, rest)) if is_time(time) && rest.starts_with("  ") => format!("<now>{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn pretty(line: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn what_each_command_prints_is_what_is_kept() {
    let node = Scripted::start(Mood::Full);
    let defined = thunder_cli::definition();
    for command in
        defined.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "completions")
    {
        assert!(COMMANDS.iter().any(|(name, _)| *name == command), "{command} has no snapshot");
    }
    let record = serde_json::to_string(&exported().watchtower).unwrap();
    std::fs::write(node.directory().join("record.json"), record).unwrap();
    let payments = "to,amount,memo,id\n0xdd,1.25,coffee,order-1\n,0.000000000000000001,,\n";
    std::fs::write(node.directory().join("payments.csv"), payments).unwrap();
    let section =
        |(name, arguments): &(&str, &[&str])| ((*name).to_owned(), screens(&node, arguments, Stream::Out));
    check("commands", COMMANDS.iter().map(section));
}

#[test]
fn what_a_refusal_looks_like_is_what_is_kept() {
    let nobody = Scripted::start(Mood::Refusing(Code::InsufficientBalance));
    let refusals = [("refused", ["pay", "20"]), ("wrong-usage", ["pay", "1.5e3"])];
    let section =
        |(name, arguments): (&str, [&str; 2])| (name.to_owned(), screens(&nobody, &arguments, Stream::Err));
    check("refusals", refusals.map(section));
}

#[test]
fn every_help_page_is_what_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut pages = vec![vec!["--help".to_owned()]];
    for command in thunder_cli::definition().get_subcommands() {
        pages.push(vec!["help".into(), command.get_name().into()]);
    }
    let section = |arguments: Vec<String>| {
        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
        (arguments.join(" "), help(|| thunder_cli(directory.path(), &words)))
    };
    check("help", pages.into_iter().map(section));
}

/// Lines without colours that a terminal of 80 columns breaks: all that is printed for people, but for what stays in
/// one piece.
fn too_wide(file: &str) -> Vec<String> {
    let path = format!("{}/tests/cli/snapshots/{file}.snap", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut wide = Vec::new();
    let mut is_checked = false;
    for line in text.lines() {
        if line.starts_with("-- ") {
            // The menu keeps its lines in a pipe.
            is_checked =
                line == "-- on a terminal, NO_COLOR --" || (line == "-- in a pipe --" && file != "help");
        } else if line.starts_with("=====") {
            is_checked = false;
        }
        // JSON, a line of an event, and a message that goes on as long as it is.
        let is_message = line.starts_with("error: ") || line.starts_with("hint: ");
        let is_free =
            is_message || line.contains('"') || line.starts_with("<now>") || line.starts_with("2026-");
        if is_checked && !is_free && line.chars().count() > 80 {
            wide.push(line.to_owned());
        }
    }
    wide
}

#[test]
fn what_people_read_fits_80_columns() {
    for file in FILES {
        let wide = too_wide(file);
        assert!(wide.is_empty(), "{file}: {wide:#?}");
    }
}

#[test]
fn every_command_that_is_named_parses() {
    let mut count = 0;
    for file in FILES {
        let path = format!("{}/tests/cli/snapshots/{file}.snap", env!("CARGO_MANIFEST_DIR"));
        for line in std::fs::read_to_string(path).unwrap().lines() {
            for named in line.split("thunder-cli ").skip(1) {
                let end = named.find(['`', ';', ',', '"', '\\', '(']).unwrap_or(named.len());
                let words: Vec<_> =
                    named[..end].split_whitespace().take_while(|word| !word.starts_with('[')).collect();
                let is_command = words.first().is_some_and(|word| {
                    word.starts_with("--port")
                        || thunder_cli::definition().get_subcommands().any(|it| it.get_name() == *word)
                });
                if !is_command || line.starts_with("Usage:") || line.starts_with('$') || file == "help" {
                    continue;
                }
                // A place for a value is filled in as a user would.
                let words = words.iter().map(|word| match *word {
                    "<amount>" => "1",
                    "<ip:port>" => "127.0.0.1:2002",
                    word => word,
                });
                let command: Vec<_> = ["thunder-cli"].into_iter().chain(words).collect();
                let parsed = thunder_cli::definition().try_get_matches_from(&command);
                assert!(parsed.is_ok(), "{command:?} in {line:?}: {}", parsed.unwrap_err());
                count += 1;
            }
        }
    }
    assert!(count > 5, "{count} commands were found");
}

#[test]
fn nothing_is_kept_that_is_printed_no_more() {
    let kept = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/snapshots")).unwrap();
    let kept = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut kept: Vec<_> = kept.filter_map(|name| name.strip_suffix(".snap").map(str::to_owned)).collect();
    kept.sort();
    assert_eq!(kept, FILES);
}

/// A help page, in a pipe and on a terminal.
fn help(command: impl Fn() -> Command) -> String {
    let piped = run(&mut command());
    assert_eq!((piped.code, piped.err.as_str()), (0, ""));
    assert!(!piped.out.contains('\u{1b}'), "colour in a pipe");
    let coloured = on_terminal(&command(), Stream::Out);
    let mut plain = command();
    plain.env("NO_COLOR", "1");
    let plain = on_terminal(&plain, Stream::Out);
    assert!(!plain.contains("\\e["), "colour in spite of NO_COLOR: {plain}");
    let plain = if plain == piped.out { "as in a pipe\n".to_owned() } else { plain };
    format!(
        "-- in a pipe --\n{}\n-- on a terminal --\n{coloured}\n-- on a terminal, NO_COLOR --\n{plain}",
        piped.out
    )
}
