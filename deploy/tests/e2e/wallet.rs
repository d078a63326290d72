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
    assert!(node.has_logged("--password-file"));
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
