//! What thunderd and thunder-deploy print, kept in `snapshots/`: in a pipe, on a terminal of 80 columns, and there with
//! `NO_COLOR`, in a section for each command. `cli/tests/cli/snapshots.rs` does the same for thunder-cli. After a change
//! on purpose: `cargo insta review`, or the tests again with `INSTA_UPDATE=always`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../cli/tests/cli/terminal.rs"]
mod terminal;

use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use thunder_deploy::{Testnet, TestnetOptions, beside, ports};

use terminal::{Stream, on_terminal};

/// A program with nothing of this environment.
fn program(name: &str, home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(beside(name).unwrap());
    command.args(arguments).env_clear().env("HOME", home.path()).env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// The files in `snapshots/`.
const FILES: [&str; 3] = ["commands", "failures", "help"];

/// Compares a file in `snapshots/` with these sections: all of them, in this order, and no others.
fn check(file: &str, sections: Vec<(String, String)>) {
    assert!(FILES.contains(&file), "{file}");
    let sections = sections.into_iter().map(|(name, text)| format!("===== {name} =====\n\n{text}"));
    let text = sections.collect::<Vec<_>>().join("\n");
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(file, text));
}

/// What it prints in a pipe, on a terminal, and on one without colours, and its exit code.
fn screens(command: impl Fn() -> Command, stream: Stream) -> (i32, [String; 3]) {
    let output = command().output().unwrap();
    let bytes = match stream {
        Stream::Out => output.stdout,
        Stream::Err => output.stderr,
    };
    let mut plain = command();
    plain.env("NO_COLOR", "1");
    let texts =
        [String::from_utf8(bytes).unwrap(), on_terminal(&command(), stream), on_terminal(&plain, stream)];
    assert!(!texts[0].contains('\u{1b}'), "colour in a pipe");
    assert!(!texts[2].contains("\\e["), "colour in spite of NO_COLOR: {}", texts[2]);
    (output.status.code().unwrap(), texts)
}

fn shown([piped, coloured, plain]: [String; 3]) -> String {
    let plain = if plain == piped { "as in a pipe\n".to_owned() } else { plain };
    format!(
        "-- in a pipe --\n{piped}\n-- on a terminal --\n{coloured}\n-- on a terminal, NO_COLOR --\n{plain}"
    )
}

#[test]
fn every_help_page_is_what_is_kept() {
    let home = TempDir::new().unwrap();
    let mut pages = vec![("thunderd", vec!["--help".to_owned()])];
    pages.push(("thunder-deploy", vec!["--help".to_owned()]));
    for command in thunder_deploy::definition().get_subcommands() {
        pages.push(("thunder-deploy", vec!["help".into(), command.get_name().to_owned()]));
    }
    let section = |(of, arguments): (&str, Vec<String>)| {
        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
        let name = format!("{of} {}", arguments.join(" "));
        let (code, texts) = screens(|| program(of, &home, &words), Stream::Out);
        assert_eq!(code, 0, "{name}");
        (name, shown(texts))
    };
    check("help", pages.into_iter().map(section).collect());
}

#[test]
fn nothing_is_kept_that_is_printed_no_more() {
    let kept = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots")).unwrap();
    let kept = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut kept: Vec<_> = kept.filter_map(|name| name.strip_suffix(".snap").map(str::to_owned)).collect();
    kept.sort();
    assert_eq!(kept, FILES);
}

#[tokio::test]
async fn what_thunder_deploy_says_is_what_is_kept() {
    let home = TempDir::new().unwrap();
    let testnet = Testnet::start(TestnetOptions::default()).await.unwrap();
    testnet.deploy().await.unwrap();
    let rpc = testnet.rpc_url();
    let alice = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let mut sections = Vec::new();
    for (name, words) in [("thd", &["thd", "--to", alice, "--amount", "0.5"][..]), ("mine", &["mine", "24"])]
    {
        let command =
            |extra: &[&str]| program("thunder-deploy", &home, &[words, &["--RPC", &rpc], extra].concat());
        let (code, texts) = screens(|| command(&[]), Stream::Out);
        let json = command(&["--json"]).output().unwrap();
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        let text = format!("exit code {code}\n\n{}\n-- with --json --\n{json:#}\n", shown(texts));
        sections.push((name.to_owned(), without_varying(&text)));
    }
    check("commands", sections);
}

#[test]
fn what_a_failure_looks_like_is_what_is_kept() {
    let home = TempDir::new().unwrap();
    let port = ports::free().unwrap().to_string();
    let rpc = format!("127.0.0.1:{port}");
    let (code, texts) =
        screens(|| program("thunder-deploy", &home, &["mine", "1", "--RPC", &rpc]), Stream::Err);
    let no_chain = without_varying(&format!("exit code {code}\n\n{}", shown(texts)));
    let (code, texts) = screens(|| program("thunderd", &home, &["--port", "many"]), Stream::Err);
    let wrong_usage = format!("exit code {code}\n\n{}", shown(texts));
    check("failures", vec![("no-chain".to_owned(), no_chain), ("wrong-usage".to_owned(), wrong_usage)]);
}

/// Transactions, and how much and how many there are after several runs, differ.
fn without_varying(text: &str) -> String {
    let hash = regex::Regex::new("0x[0-9a-f]{64}").unwrap();
    let text = hash.replace_all(text, "<transaction>");
    let number = r#"(balance(?: |\\e\[\dm)*|newest is (?:\\e\[1m)?|"(?:thd|block)": "?)[0-9.]+"#;
    let text = regex::Regex::new(number).unwrap().replace_all(&text, "$1<n>").into_owned();
    let text = regex::Regex::new(r"os error \d+").unwrap().replace_all(&text, "os error <n>");
    text.into_owned()
}
