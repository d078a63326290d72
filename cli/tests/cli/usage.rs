//! What `thunder-cli` does without a thunderd: help, wrong usage, and saying that there is none.

use crate::common::{Ran, run, run_with_input, thunder_cli};

/// The customer's menu (subject.md), with the spaces after `--` taken out.
const MENU: &[&str] = &[
    "Thunder cli version v0.0.1",
    "Usage:  thunder-cli [options]  <command>      Interact with a thunder node and manage a channel",
    "Options:",
    "  --help",
    "Print this help message and exit",
    "  --port <port>",
    "       Specify the port at which a thunder node is available (if not default is used)",
    "Commands",
    "infos: display information about the node (available port, connected node, and the state of the channel)",
    "importwallet <\"seedphrase\">: Import a wallet using a seed phrase",
    "balance: Shows the balance in your main wallet in THD and the amount available in the channel",
    "connect <ip:port>: connect to another thunder node.",
    "openchannel : create a channel to another connected node.",
    "pay <amount> : pay someone using the open channel",
    "closechannel: Request the closing of the channel. It sends to the smart contract the last receipt",
    "withdraw: retrieve the THD locked in a closed channel after the challenge period",
];

fn cli(arguments: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    run(&mut thunder_cli(directory.path(), arguments))
}

fn error_of(ran: &Ran) -> (String, String, String) {
    let object = ran.json();
    assert_eq!(object.as_object().unwrap().len(), 1, "{object}");
    let text = |name: &str| object["error"][name].as_str().unwrap().to_owned();
    (text("code"), text("message"), text("hint"))
}

#[test]
fn the_help_page_keeps_the_menu_line_by_line_and_in_order() {
    for arguments in [&["--help"][..], &["-h"], &["help"], &["--port", "7", "--help"]] {
        let ran = cli(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        assert!(ran.out.starts_with("Thunder cli version v0.0.1\n\nUsage:  thunder-cli "), "{}", ran.out);
        let mut rest = ran.out.lines();
        for line in MENU {
            let found = rest.by_ref().any(|have| have == *line || have.trim_start() == *line);
            assert!(found, "{line:?} is missing or out of place in:\n{}", ran.out);
        }
    }
}

#[test]
fn every_command_is_on_the_help_page_and_has_a_page_of_its_own() {
    let page = cli(&["--help"]).out;
    let names: Vec<_> =
        thunder_cli::definition().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_eq!(names.len(), 19);
    for name in names {
        assert!(page.lines().any(|line| line.starts_with(&name)), "{name}");
        let help = cli(&["help", &name]);
        assert_eq!(help.code, 0, "{name}");
        assert!(help.out.contains(&format!("Usage: thunder-cli {name}")), "{}", help.out);
        assert_eq!(cli(&[&name, "--help"]).out, help.out, "{name}");
    }
}

#[test]
fn the_version_is_the_help_pages_first_line() {
    for flag in ["--version", "-V"] {
        let ran = cli(&[flag]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "Thunder cli version v0.0.1\n"));
    }
}

#[test]
fn without_a_thunderd_every_command_says_so() {
    for arguments in [
        &[][..],
        &["infos"],
        &["importwallet", "abandon", "about"],
        &["newwallet", "--yes"],
        &["balance"],
        &["connect", "localhost:2002"],
        &["openchannel"],
        &["fund"],
        &["pay", "0"],
        &["closechannel", "--cooperative", "--fallback"],
        &["challenge"],
        &["withdraw"],
        &["cancel"],
        &["history"],
        &["receipts"],
        &["watch"],
    ] {
        let ran = cli(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{arguments:?}");
        assert!(ran.err.contains("error: no thunderd answers on port 61999"), "{}", ran.err);
        assert!(ran.err.contains("hint: start one with: thunderd --port 61999"), "{}", ran.err);

        let ran = cli(&[&["--json"], arguments].concat());
        assert_eq!(ran.code, 3, "{arguments:?}");
        assert!(ran.err.starts_with("error: no thunderd answers"), "no warning and no progress: {}", ran.err);
        let (code, message, hint) = error_of(&ran);
        assert_eq!(code, "no_daemon");
        assert!(message.contains("port 61999") && hint.contains("thunderd --port"), "{message} {hint}");
    }
}

#[test]
fn global_flags_are_taken_anywhere_and_from_the_environment() {
    for arguments in [&["--port", "61998", "infos"][..], &["infos", "--port", "61998"], &["--port=61998"]] {
        assert!(cli(arguments).err.contains("port 61998"), "{arguments:?}");
    }
    assert_eq!(error_of(&cli(&["balance", "--json", "--timeout", "0.5"])).0, "no_daemon");
    let directory = tempfile::tempdir().unwrap();
    let with = |name: &str, value: &str| run(thunder_cli(directory.path(), &["balance"]).env(name, value));
    assert!(with("THUNDER_PORT", "61997").err.contains("port 61997"));
    assert_eq!(error_of(&with("THUNDER_JSON", "1")).0, "no_daemon");
    assert_eq!(with("THUNDER_JSON", "0").out, "");
    assert_eq!(with("THUNDER_TIMEOUT", "soon").code, 2);
    assert!(cli(&["--help"]).out.contains("       Default is 2001."));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    for (arguments, wanted) in [
        (&["inffos"][..], "a similar subcommand exists: 'infos'"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["pay"], "<amount>"),
        (&["pay", "1", "--file", "f"], "cannot be used with"),
        (&["pay", "--file", "f", "--peer", "p"], "cannot be used with"),
        (&["connect"], "<ip:port>"),
        (&["pay", "1", "2"], "unexpected argument '2'"),
        (&["pay", "1", "--nonsense"], "unexpected argument '--nonsense'"),
        (&["pay", "1", "--id", "two words"], "1 to 64 printable"),
        (&["pay", "1", "--memo", "two\nlines"], "no control characters"),
        (&["--port", "0"], "'--port <port>'"),
        (&["--port", "65536"], "'--port <port>'"),
        (&["--timeout", "0"], "write seconds above 0"),
        (&["--timeout", "-1"], "write seconds above 0"),
        (&["history", "--limit", "0"], "--limit"),
        (&["importwallet", "a", "--index", "1", "--path", "m/1"], "cannot be used with"),
        (&["importwallet", "a", "--keyfile", "k"], "cannot be used with"),
        (&["importwallet", "--keyfile", "k", "--index", "1"], "cannot be used with"),
        (&["importwallet", "--index", "2147483648"], "--index"),
        (&["importwallet", "a", "--password-file", "p"], "cannot be used with"),
        (&["importwallet", "--password-file", "p"], "--keyfile <path>"),
        (&["importwallet", "--keyfile", "k", "--passphrase"], "cannot be used with"),
        (&["importwallet", "--passphrase", "--passphrase-file", "p"], "cannot be used with"),
        (&["newwallet", "--words", "13"], "write 12 or 24"),
        (&["closechannel", "--cooperative", "--receipt", "r"], "cannot be used with"),
        (&["closechannel", "--fallback"], "--cooperative"),
        (&["receipts", "--import", "a", "--output", "b"], "cannot be used with"),
        (&["receipts", "--import", "a", "--watchtower"], "cannot be used with"),
        (&["completions", "tcsh"], "bash"),
    ] {
        let ran = cli(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(wanted), "{arguments:?}: {}", ran.err);

        let ran = cli(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, 2, "{arguments:?}");
        let (code, message, hint) = error_of(&ran);
        assert_eq!(code, "usage");
        assert!(ran.err.starts_with("error: ") && !message.starts_with("error: "), "{message}");
        assert!(format!("{message} {hint}").contains(wanted.split('\n').next().unwrap()), "{message} {hint}");
    }
}

#[test]
fn a_bad_amount_is_named_with_what_to_write() {
    for (text, wanted) in [
        ("-1", "the amount is negative; write THD like 10 or 0.25"),
        ("-0.5", "the amount is negative"),
        ("ten", "not a decimal number; write THD like 10 or 0.25"),
        ("1,5", "not a decimal number"),
        ("", "the amount is empty; write THD like 10 or 0.25"),
        ("0.0000000000000000001", "more than 18 digits after the point; THD has 18 decimals"),
        ("309485009.821345068724781056", "more than a channel can hold"),
    ] {
        for arguments in
            [&["pay", text][..], &["openchannel", text], &["openchannel", "--deposit", text], &["fund", text]]
        {
            let ran = cli(&[&["--json"], arguments].concat());
            assert_eq!(ran.code, 2, "{arguments:?}");
            let (code, message, _) = error_of(&ran);
            assert_eq!(code, "invalid_amount", "{arguments:?}");
            assert!(message.contains(wanted), "{arguments:?}: {message}");
            assert!(ran.err.contains(wanted), "{arguments:?}: {}", ran.err);
        }
    }
}

#[test]
fn importwallet_says_what_to_do_where_nobody_can_be_asked() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run(&mut thunder_cli(directory.path(), &["importwallet"]));
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("there is no terminal to ask on"), "{}", ran.err);
    assert!(ran.err.contains("hint: use `importwallet -`"), "{}", ran.err);

    for nothing in ["", "\n", " \n\n"] {
        let ran = run_with_input(&mut thunder_cli(directory.path(), &["importwallet", "-"]), nothing);
        assert_eq!(ran.code, 2, "{nothing:?}");
        assert!(ran.err.contains("no seed phrase on standard input"), "{}", ran.err);
    }

    let keyfile = directory.path().join("key.json");
    std::fs::write(&keyfile, "{}").unwrap();
    let keyfile = keyfile.to_str().unwrap();
    let ran = run(&mut thunder_cli(directory.path(), &["--json", "importwallet", "--keyfile", keyfile]));
    assert_eq!(ran.code, 2);
    assert!(error_of(&ran).2.contains("--password-file"), "{}", ran.out);
    let ran = run(&mut thunder_cli(directory.path(), &["--json", "importwallet", "a b", "--passphrase"]));
    assert_eq!(ran.code, 2);
    assert!(error_of(&ran).2.contains("--passphrase-file"), "{}", ran.out);
    let ran = run(&mut thunder_cli(directory.path(), &["newwallet"]));
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("hint: with --yes nothing is asked"), "{}", ran.err);
}

#[test]
fn files_that_can_not_be_read_are_named_before_anything_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nothing.json");
    let path = path.to_str().unwrap();
    for arguments in [
        &["importwallet", "--keyfile", path][..],
        &["importwallet", "a b", "--passphrase-file", path],
        &["closechannel", "--receipt", path],
        &["receipts", "--import", path],
    ] {
        let ran = run(&mut thunder_cli(directory.path(), &[&["--json"], arguments].concat()));
        assert_eq!(ran.code, 1, "{arguments:?}");
        let (code, message, _) = error_of(&ran);
        assert_eq!(code, "file");
        assert!(message.contains(path), "{message}");
    }
    std::fs::write(path, "{\"nonce\":1}").unwrap();
    let ran = run(&mut thunder_cli(directory.path(), &["--json", "closechannel", "--receipt", path]));
    assert_eq!((ran.code, error_of(&ran).0.as_str()), (1, "invalid_receipt"));
}

#[test]
fn a_phrase_on_the_command_line_is_warned_of_and_never_shown() {
    let ran = cli(&["importwallet", "abandon ability able"]);
    assert!(ran.err.starts_with("warning: a seed phrase on the command line stays in the shell's history"));
    assert!(!ran.err.contains("ability"), "{}", ran.err);
}

#[test]
fn completions_are_there_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = cli(&["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{shell}");
        for word in ["thunder-cli", "importwallet", "cooperative", "timeout"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn there_are_no_escape_codes_in_a_pipe() {
    for arguments in [&["--help"][..], &["help", "pay"], &["inffos"], &["infos"], &["importwallet", "a b"]] {
        let ran = cli(arguments);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{arguments:?}: {ran:?}");
    }
}
