//! `importwallet`: seed phrases, key files and passwords, and when a wallet is not replaced.

use std::io::Write;
use std::process::Stdio;

use super::harness::*;

/// The fourth development account.
const KEYFILE: &str = include_str!("../data/keyfile.json");
const KEYFILE_PASSWORD: &str = "correct horse";
const KEYFILE_ADDRESS: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";

#[test]
fn a_keyfile_is_imported_with_its_password_and_kept() {
    let world = World::new();
    let mut node = world.node();
    let keyfile = write(node.data.path(), "key.json", KEYFILE);
    let wrong = write(node.data.path(), "wrong", "not it\n");
    let right = write(node.data.path(), "right", KEYFILE_PASSWORD);
    node.refused(&["importwallet", "--keyfile", &keyfile, "--password-file", &wrong], 1, "wrong_password");
    assert!(node.infos()["wallet"].is_null());
    let garbage = write(node.data.path(), "garbage", "{}");
    node.refused(&["importwallet", "--keyfile", &garbage, "--password-file", &right], 1, "invalid_keyfile");
    let imported = node.ok(&["importwallet", "--keyfile", &keyfile, "--password-file", &right]);
    assert_eq!(imported["address"], KEYFILE_ADDRESS);
    node.crash();
    assert_eq!(node.infos()["wallet"], KEYFILE_ADDRESS, "loaded again");
    // It is a wallet like any other.
    world.give_thd(node.wallet(), "100");
    world.run(world.testnet.set_eth(node.wallet(), 10u128.pow(18))).unwrap();
    let other = world.user(2);
    node.connect(&other);
    node.ok(&["openchannel"]);
}

#[test]
fn a_phrase_comes_from_stdin_too_and_never_reaches_a_log() {
    let world = World::new();
    let node = world.node_with(&["--log", "trace"]);
    let mut command = node
        .cli()
        .args(["--json", "importwallet", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    command.stdin.take().unwrap().write_all(format!("{PHRASE}\n").as_bytes()).unwrap();
    let output = command.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
    assert!(!node.log().contains("junk"));
    let custom = node.ok(&["importwallet", PHRASE, "--path", "m/44'/60'/1'/0/3"]);
    assert_ne!(custom["address"], "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
}

#[test]
fn a_bad_phrase_changes_nothing() {
    let world = World::new();
    let node = world.user(1);
    let before = node.infos()["wallet"].clone();
    let checksum = PHRASE.replace("junk", "test");
    let refused = node.refused(&["importwallet", &checksum], 1, "invalid_phrase");
    assert!(refused["message"].as_str().unwrap().contains("checksum"));
    node.refused(&["importwallet", "too short"], 1, "invalid_phrase");
    node.refused(&["importwallet", PHRASE, "--path", "nonsense"], 1, "invalid_path");
    assert_eq!(node.infos()["wallet"], before);
}

#[test]
fn a_wallet_with_open_channels_is_not_replaced() {
    let world = World::new();
    let (alice, _bob, channel) = world.channel();
    alice.refused(&["importwallet", PHRASE, "--index", "5"], 1, "wallet_in_use");
    alice.ok(&["importwallet", PHRASE, "--index", "1"]);
    alice.wait_usable(channel);
    alice.pay("1");
    alice.ok(&["closechannel", "--cooperative"]);
    alice.ok(&["importwallet", PHRASE, "--index", "5"]);
}

#[test]
fn a_password_of_the_users_own_encrypts_the_wallet() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let password = write(directory.path(), "password", "correct horse battery staple\n");
    let mut node = world.node_with(&["--password-file", &password]);
    let address = node.ok(&["importwallet", PHRASE])["address"].clone();
    node.crash();
    assert_eq!(node.infos()["wallet"], address);
    // Without the password the wallet stays locked, and the node says what to do.
    node.kill();
    node.flags.clear();
    node.start();
    assert!(node.infos()["wallet"].is_null());
    node.wait_logged("--password-file");
}

/// A key file that another key would be read from, or that says something else than what is in it.
#[test]
fn a_keyfile_that_can_not_be_read_safely_is_refused_with_its_reason_and_changes_nothing() {
    let world = World::bare();
    let node = world.node();
    let place = tempfile::tempdir().unwrap();
    let password = write(place.path(), "password", KEYFILE_PASSWORD);
    let refused = |content: &str, reason: &str| {
        let keyfile = write(place.path(), "key.json", content);
        let arguments = ["importwallet", "--keyfile", &keyfile, "--password-file", &password];
        let error = node.refused(&arguments, 1, "invalid_keyfile");
        assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
        assert!(node.infos()["wallet"].is_null());
    };
    refused(include_str!("../data/keyfile-cbc.json"), "aes-128-cbc");
    let changed = |from: &str, to: &str| {
        assert!(KEYFILE.contains(from), "{from}");
        KEYFILE.replacen(from, to, 1)
    };
    refused(&changed("90f79bf6", "90f79bf7"), KEYFILE_ADDRESS);
    refused(&changed("\"pbkdf2\"", "\"argon2id\""), "argon2id");
    refused(&changed("hmac-sha256", "hmac-sha512"), "hmac-sha512");
    refused(&changed("\"version\": 3", "\"version\": 4"), "version 4");
    refused(&changed("\"c\": 1000", "\"c\": 1000000000"), "1000000000");
}

/// Nothing that follows a first side effect hangs on the caller's patience.
#[cfg(unix)]
#[test]
fn an_import_is_carried_out_whatever_becomes_of_its_client() {
    let world = World::new();
    let mut node = world.user(1);
    let other = world.user(2);
    node.kill();
    node.run_failing(super::kill::program());
    node.start();
    for (index, is_killed) in [("5", true), ("6", false)] {
        node.hold_at("wallet-encrypt");
        let import = ["--timeout", "3", "importwallet", PHRASE, "--index", index];
        let mut client = node.cli().args(import).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        node.wait_held();
        if is_killed {
            client.kill().unwrap();
        }
        let code = client.wait().unwrap().code();
        assert_eq!(code, if is_killed { None } else { Some(6) });
        let before = node.infos()["wallet"].clone();
        node.release();
        wait_for("the wallet is the one that was imported", || node.infos()["wallet"] != before);
        let wallet = node.infos()["wallet"].clone();
        node.crash();
        assert_eq!(node.infos()["wallet"], wallet, "the same in memory and on disk");
    }
    world.give_thd(node.wallet(), "100");
    world.run(world.testnet.set_eth(node.wallet(), 10u128.pow(18))).unwrap();
    node.connect(&other);
    let channel = address(&node.ok(&["openchannel", "10"])["channel"]);
    node.crash();
    node.wait_usable(channel);
    node.pay("1");
}

/// The chain can take a closing back, and only the wallet of then can close again, or challenge.
#[test]
fn a_wallet_is_not_replaced_before_its_closed_channels_are_deep_in_the_chain() {
    let world = World::new();
    let (alice, bob) = (world.user_with(1, &["--confirmations", "4"]), world.user(2));
    alice.connect(&bob);
    let (a, open) = (&alice, ["openchannel", "10"]);
    let opened = std::thread::scope(|scope| {
        let opening = scope.spawn(move || a.ok(&open));
        wait_for("it is deep enough", || {
            world.mine(1);
            opening.is_finished()
        });
        opening.join().unwrap()
    });
    let channel = address(&opened["channel"]);
    alice.wait_usable(channel);
    alice.ok(&["closechannel", "--cooperative"]);
    assert_eq!(alice.channel(channel)["state"], "CLOSED");
    let other = ["importwallet", PHRASE, "--index", "5"];
    let refused = alice.refused(&other, 1, "wallet_in_use");
    let says = refused.to_string();
    assert!(says.contains(&channel.to_string()) && says.contains("3 blocks"), "{says}");
    alice.ok(&["importwallet", PHRASE, "--index", "1"]);
    world.mine(2);
    wait_for("it is read", || alice.infos()["chain"]["block"] == world.head());
    assert!(alice.refused(&other, 1, "wallet_in_use").to_string().contains("1 block"));
    let is_over = || -> bool {
        let database = rusqlite::Connection::open(alice.data.path().join("thunder.db")).unwrap();
        database.query_row("SELECT is_over FROM channels", [], |row| row.get(0)).unwrap()
    };
    assert!(!is_over());
    world.mine(1);
    wait_for("it is read", || alice.infos()["chain"]["block"] == world.head());
    assert!(is_over(), "on disk, too, for a node that is on another chain by then");
    alice.ok(&other);
}

/// Whenever the process dies, the wallet on disk is one that the node can use.
#[cfg(unix)]
#[test]
fn an_import_that_dies_anywhere_has_not_happened_or_is_done() {
    let world = World::new();
    let mut node = world.user(1);
    let first = node.wallet();
    node.kill();
    node.run_failing(super::kill::program());
    node.start();
    for (point, is_done) in [("wallet-encrypt", false), ("wallet-before", false), ("wallet-after", true)] {
        node.die_at(point, 1);
        node.output(&["importwallet", PHRASE, "--index", "5"]);
        wait_for("it dies", || !node.is_running());
        node.spare();
        node.start();
        assert_eq!(node.wallet() != first, is_done, "{point}");
        node.ok(&["importwallet", PHRASE, "--index", "1"]);
        assert_eq!(node.wallet(), first, "{point}");
    }
}

/// A vector of BIP-39, Japanese, with its passphrase.
const JAPANESE: &str = "あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　\
                        あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あおぞら";
const JAPANESE_PASSPHRASE: &str = "㍍ガバヴァぱばぐゞちぢ十人十色";
const JAPANESE_ADDRESS: &str = "0x79E0a622f994c830663338Bbbce81e1B6cbb58e3";

#[test]
fn a_phrase_of_another_language_with_its_passphrase_is_imported() {
    let world = World::bare();
    let node = world.node();
    let place = tempfile::tempdir().unwrap();
    let passphrase = write(place.path(), "passphrase", &format!("{JAPANESE_PASSPHRASE}\n"));
    let without = node.ok(&["importwallet", JAPANESE]);
    assert_ne!(without["address"], JAPANESE_ADDRESS);
    let with = node.ok(&["importwallet", JAPANESE, "--passphrase-file", &passphrase]);
    assert_eq!((&with["address"], &with["replaced"]), (&JAPANESE_ADDRESS.into(), &without["address"]));
    let mistyped = JAPANESE.replace("あおぞら", "あおぞ");
    let refused = node.refused(&["importwallet", &mistyped], 1, "invalid_phrase");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("word 12 of 12 is not in the BIP-39 list (Japanese)"), "{message}");
    assert_eq!(node.infos()["wallet"], JAPANESE_ADDRESS);
}

/// As programs call it: nobody can be asked.
#[test]
fn without_a_terminal_another_wallet_is_replaced_and_the_answer_says_which() {
    let world = World::bare();
    let mut node = world.node();
    let first = node.ok(&["importwallet", PHRASE, "--index", "1"]);
    assert_eq!(first.get("replaced"), None);
    assert_eq!(node.ok(&["importwallet", PHRASE, "--index", "1"]).get("replaced"), None, "the same wallet");
    let output = node.output(&["importwallet", PHRASE, "--index", "2"]);
    let says = text(&output.stderr);
    assert!(output.status.success() && says.contains(first["address"].as_str().unwrap()), "{says}");
    assert!(says.lines().all(|line| line.chars().count() <= 80), "{says}");
    let second = node.infos()["wallet"].clone();

    node.refused(&["newwallet"], 1, "wallet_exists");
    assert_eq!(node.infos()["wallet"], second);
    let made = node.ok(&["newwallet", "--words", "24", "--yes"]);
    assert_eq!(made["replaced"], second);
    assert_eq!(made["phrase"].as_str().unwrap().split(' ').count(), 24);
    node.crash();
    assert_eq!(node.infos()["wallet"], made["address"], "loaded again");
    let again = node.ok(&["importwallet", made["phrase"].as_str().unwrap()]);
    assert_eq!((&again["address"], again.get("replaced")), (&made["address"], None));
}

#[test]
fn a_new_wallet_does_not_take_the_place_of_one_with_open_channels() {
    let world = World::new();
    let (alice, _bob, _channel) = world.channel();
    let before = alice.infos()["wallet"].clone();
    alice.refused(&["newwallet"], 1, "wallet_in_use");
    alice.refused(&["newwallet", "--yes"], 1, "wallet_in_use");
    assert_eq!(alice.infos()["wallet"], before);
}

/// What people see and type.
#[cfg(unix)]
mod on_a_terminal {
    use std::collections::BTreeMap;
    use std::io::{Read, Write};

    use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

    use super::super::harness::*;

    /// thunder-cli on a terminal, with somebody at it.
    struct Terminal {
        child: Box<dyn Child + Send + Sync>,
        reader: Box<dyn Read + Send>,
        writer: Box<dyn Write + Send>,
        screen: String,
        // Ends with it.
        _master: Box<dyn MasterPty + Send>,
    }

    impl Terminal {
        fn start(node: &Node, arguments: &[&str]) -> Self {
            let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
            let terminal = native_pty_system().openpty(size).unwrap();
            let cli = node.cli();
            let mut command = CommandBuilder::new(cli.get_program());
            command.args(cli.get_args());
            command.args(arguments);
            for (name, value) in cli.get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                }
            }
            command.env("NO_COLOR", "1");
            command.env("TERM", "xterm-256color");
            let child = terminal.slave.spawn_command(command).unwrap();
            drop(terminal.slave);
            let reader = terminal.master.try_clone_reader().unwrap();
            let writer = terminal.master.take_writer().unwrap();
            Self { child, reader, writer, screen: String::new(), _master: terminal.master }
        }

        /// Reads until it has said this, and gives what it said.
        fn until(&mut self, said: &str) -> String {
            let mut bytes = Vec::new();
            while !String::from_utf8_lossy(&bytes).ends_with(said) {
                let mut byte = [0];
                let read = self.reader.read(&mut byte).unwrap_or_default();
                assert_eq!(read, 1, "it never says {said:?}: {}", String::from_utf8_lossy(&bytes));
                bytes.extend(byte);
            }
            let text = String::from_utf8(bytes).unwrap();
            self.screen.push_str(&text);
            text
        }

        fn type_in(&mut self, text: &str) {
            self.writer.write_all(text.as_bytes()).unwrap();
            self.writer.flush().unwrap();
        }

        /// Its exit code, and all that was on the screen.
        fn end(mut self) -> (u32, String) {
            let mut bytes = Vec::new();
            // Linux says EIO, not the end, when the last process has gone from the terminal.
            let _ = self.reader.read_to_end(&mut bytes);
            self.screen.push_str(&String::from_utf8(bytes).unwrap());
            let code = self.child.wait().unwrap().exit_code();
            let screen = self.screen.replace("\r\n", "\n");
            // What a spinner wrote is gone when the next text is there.
            let shown = |line: &str| line.rsplit("\u{1b}[2K").next().unwrap_or_default().chars().count();
            assert!(screen.lines().all(|line| shown(line) <= 80), "{screen}");
            (code, screen)
        }
    }

    /// The words that a screen shows, by their numbers.
    fn words(screen: &str) -> BTreeMap<usize, String> {
        let shown = screen.split("has the wallet.").nth(1).unwrap();
        let tokens: Vec<_> = shown.split_whitespace().collect();
        let pairs =
            tokens.chunks_exact(2).map_while(|pair| Some((pair[0].parse().ok()?, pair[1].to_owned())));
        pairs.collect()
    }

    /// Answers a question for a word.
    fn answer(terminal: &mut Terminal, words: &BTreeMap<usize, String>) {
        let question = terminal.until(": ");
        let place = question.rsplit("Word ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
        terminal.type_in(&format!("{}\n", words[&place]));
        terminal.until(&format!("{}\r\n", words[&place]));
    }

    #[test]
    fn a_new_wallets_words_are_shown_once_and_two_of_them_asked_for() {
        let world = World::bare();
        let node = world.node();
        let mut terminal = Terminal::start(&node, &["newwallet"]);
        let words = words(&terminal.until("Word "));
        assert_eq!(words.len(), 12, "{words:?}");
        terminal.until(": ");
        assert!(node.infos()["wallet"].is_null(), "nothing is imported yet");
        terminal.type_in("zzzz\n");
        terminal.until("That is not word ");
        answer(&mut terminal, &words);
        answer(&mut terminal, &words);
        let (code, screen) = terminal.end();
        let address = node.infos()["wallet"].as_str().unwrap().to_owned();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains(&format!("wallet {address} is loaded")), "{screen}");
        let phrase = words.into_values().collect::<Vec<_>>().join(" ");
        assert_eq!(world.node().ok(&["importwallet", &phrase])["address"], address);
        assert!(!node.log().contains(&phrase));

        // Who has written nothing down has no new wallet.
        let mut terminal = Terminal::start(&node, &["newwallet", "--words", "24"]);
        let asked = terminal.until("[y/N] ");
        assert!(asked.contains(&address), "{asked}");
        terminal.type_in("yes\n");
        for _ in 0..3 {
            terminal.until(": ");
            terminal.type_in("zzzz\n");
        }
        let (code, screen) = terminal.end();
        assert_eq!((code, screen.contains("no wallet was made")), (1, true), "{screen}");
        assert_eq!(node.infos()["wallet"], address);
    }

    #[test]
    fn another_wallet_is_replaced_only_by_who_says_so() {
        let world = World::bare();
        let node = world.user(1);
        let before = node.infos()["wallet"].as_str().unwrap().to_owned();
        let other = ["importwallet", PHRASE, "--index", "5"];
        for (typed, exit) in [("n\n", 1), ("\n", 1), ("\u{4}", 2), ("\u{3}", 2)] {
            let mut terminal = Terminal::start(&node, &other);
            assert!(terminal.until("[y/N] ").contains(&before));
            terminal.type_in(typed);
            let (code, screen) = terminal.end();
            assert_eq!(code, exit, "{typed:?}: {screen}");
            assert_eq!(node.infos()["wallet"], before, "{typed:?}");
        }
        let (code, screen) = Terminal::start(&node, &["importwallet", PHRASE, "--index", "1"]).end();
        assert_eq!((code, screen.contains("[y/N]")), (0, false), "the same wallet: {screen}");
        let mut terminal = Terminal::start(&node, &other);
        terminal.until("[y/N] ");
        terminal.type_in("y\n");
        let (code, screen) = terminal.end();
        assert_eq!((code, screen.contains(&format!("it replaced {before}"))), (0, true), "{screen}");
        let (code, screen) = Terminal::start(&node, &["importwallet", PHRASE, "--index", "1", "--yes"]).end();
        assert_eq!((code, screen.contains("[y/N]")), (0, false), "{screen}");
        assert_eq!(node.infos()["wallet"], before);
    }

    #[test]
    fn a_passphrase_is_asked_for_twice() {
        let world = World::bare();
        let node = world.node();
        let asked = ["importwallet", super::JAPANESE, "--passphrase"];
        for (second, exit) in [("another", 2), (super::JAPANESE_PASSPHRASE, 0)] {
            let mut terminal = Terminal::start(&node, &asked);
            terminal.until("Passphrase of the seed phrase (not shown): ");
            terminal.type_in(&format!("{}\n", super::JAPANESE_PASSPHRASE));
            terminal.until("The same again: ");
            terminal.type_in(&format!("{second}\n"));
            let (code, screen) = terminal.end();
            assert_eq!(code, exit, "{screen}");
        }
        assert_eq!(node.infos()["wallet"], super::JAPANESE_ADDRESS);
    }
}
