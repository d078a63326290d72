//! What thunderd and thunder-deploy print, kept in `snapshots/`: in a pipe, on a terminal of 80 columns, and there with
//! `NO_COLOR`. `cli/tests/cli/snapshots.rs` does the same for thunder-cli.
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

fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
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
    let mut pages = vec![("help-thunderd".to_owned(), "thunderd", vec!["--help".to_owned()])];
    pages.push(("help-thunder-deploy".to_owned(), "thunder-deploy", vec!["--help".to_owned()]));
    for command in thunder_deploy::definition().get_subcommands() {
        let name = command.get_name().to_owned();
        pages.push((format!("help-thunder-deploy-{name}"), "thunder-deploy", vec!["help".into(), name]));
    }
    for (name, of, arguments) in pages {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (code, texts) = screens(|| program(of, &home, &arguments), Stream::Out);
        assert_eq!(code, 0, "{name}");
        check(&name, &shown(texts));
    }
}

#[tokio::test]
async fn what_thunder_deploy_says_is_what_is_kept() {
    let home = TempDir::new().unwrap();
    let testnet = Testnet::start(TestnetOptions::default()).await.unwrap();
    testnet.deploy().await.unwrap();
    let rpc = testnet.rpc_url();
    let alice = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    for (name, words) in [("thd", &["thd", "--to", alice, "--amount", "0.5"][..]), ("mine", &["mine", "24"])]
    {
        let command =
            |extra: &[&str]| program("thunder-deploy", &home, &[words, &["--RPC", &rpc], extra].concat());
        let (code, texts) = screens(|| command(&[]), Stream::Out);
        let json = command(&["--json"]).output().unwrap();
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        let text = format!("exit code {code}\n\n{}\n-- with --json --\n{json:#}\n", shown(texts));
        check(name, &without_varying(&text));
    }
}

#[test]
fn what_a_failure_looks_like_is_what_is_kept() {
    let home = TempDir::new().unwrap();
    let port = ports::free().unwrap().to_string();
    let rpc = format!("127.0.0.1:{port}");
    let (code, texts) =
        screens(|| program("thunder-deploy", &home, &["mine", "1", "--RPC", &rpc]), Stream::Err);
    check("no-chain", &without_varying(&format!("exit code {code}\n\n{}", shown(texts))));
    let (code, texts) = screens(|| program("thunderd", &home, &["--port", "many"]), Stream::Err);
    check("wrong-usage", &format!("exit code {code}\n\n{}", shown(texts)));
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
