//! A node that was restored from a backup (rule 9): what it signs on whose word, what its user decides, and
//! what its user gives back to it.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::harness::*;

/// Alice has opened a channel of 10 THD with Bob and paid 9; then she has made a backup. Bob's data directory
/// was copied by hand at that time, with which he shows nothing newer than the backup. Then he has paid 8 back,
/// so that receipt 2 gives Alice 9 and Bob 1.
struct Restored {
    world: World,
    alice: Node,
    bob: Node,
    channel: thunder_protocol::Address,
    /// What Alice's user has kept.
    place: TempDir,
    /// Bob's data directory as it was at Alice's backup.
    earlier: TempDir,
}

impl Restored {
    /// Alice's disk is gone, and the backup is restored; Bob is down.
    fn new() -> Self {
        let world = World::new();
        let (mut alice, mut bob, channel) = world.channel();
        alice.pay("9");
        let place = TempDir::new().unwrap();
        let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        alice.ok(&["backup", &file("backup")]);
        write(place.path(), "old.json", &alice.ok(&["receipts"]).to_string());
        bob.kill();
        let earlier = copy_of(bob.data.path());
        bob.start();
        bob.wait_usable(channel);
        bob.pay("8");
        assert_eq!(alice.mine(channel), thd("9"));
        alice.ok(&["receipts", "--output", &file("export.json")]);
        alice.ok(&["receipts", "--watchtower", "--output", &file("record.json")]);
        write(place.path(), "bobs.json", &bob.ok(&["receipts"])["watchtower"].to_string());
        let peer_id = alice.peer_id();
        bob.kill();
        alice.kill();
        alice.data = TempDir::new().unwrap();
        alice.run_failing(super::kill::program());
        alice.start();
        alice.ok(&["restore", &file("backup")]);
        wait_for_the_node(&alice, &peer_id);
        alice.ok(&["importwallet", PHRASE, "--index", "1"]);
        wait_for("it shows the channel", || !alice.channel(channel).is_null());
        Self { world, alice, bob, channel, place, earlier }
    }

    /// Bob comes back with the data directory of Alice's backup; the other one is returned.
    fn bob_forgets(&mut self) -> TempDir {
        let earlier = std::mem::replace(&mut self.earlier, TempDir::new().unwrap());
        let real = std::mem::replace(&mut self.bob.data, earlier);
        self.bob.start();
        self.meet();
        real
    }

    fn meet(&self) {
        self.alice.connect(&self.bob);
        self.alice.wait_connected(&self.bob);
    }

    fn file(&self, name: &str) -> String {
        self.place.path().join(name).to_str().unwrap().to_owned()
    }

    fn import(&self, name: &str) -> Value {
        self.alice.ok(&["receipts", "--import", &self.file(name)])
    }

    fn wait_next(&self, says: &str) {
        let next = || self.alice.channel(self.channel)["next_text"].as_str().unwrap_or_default().to_owned();
        wait_for(&format!("next says {says}"), || next().contains(says));
    }

    fn both_are(&self, state: &str) {
        for node in [&self.alice, &self.bob] {
            assert_eq!(node.channel(self.channel)["state"], state, "{}", node.log());
        }
    }

    fn both_end(&self, alice: &str, bob: &str) {
        self.alice.wait_state(self.channel, "CLOSED");
        self.bob.wait_state(self.channel, "CLOSED");
        assert_eq!((self.alice.purse(), self.bob.purse()), (thd(alice), thd(bob)));
    }
}

/// A copy of a stopped node's data directory.
fn copy_of(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    set_mode(copy.path(), 0o700);
    copy
}

const NOTHING_NEWER: &str = "MONEY AT RISK: data was lost, and the other side shows nothing newer";

#[test]
fn rule_9_a_restored_node_signs_nothing_on_the_word_of_a_peer_that_shows_nothing_newer() {
    let mut of = Restored::new();
    let refused = of.alice.refused(&["closechannel", "--yes"], 5, "peer_not_connected");
    assert!(refused["hint"].as_str().unwrap().contains("ask its owner"), "{refused}");
    of.bob_forgets();
    wait_for("it says so loudly", || of.alice.has_logged(NOTHING_NEWER));
    of.wait_next("nothing newer than receipt 1: 1 THD yours, 9 THD theirs");
    let warnings = of.alice.infos()["warnings"].to_string();
    assert!(warnings.contains("you have to decide"), "{warnings}");
    // A new session, after a kill -9, changes nothing about it.
    of.alice.crash();
    of.meet();
    of.wait_next("nothing newer");
    let refused = of.alice.refused(&["closechannel", "--cooperative"], 1, "data_lost");
    assert!(refused["message"].as_str().unwrap().contains("1 THD yours, 9 THD theirs"), "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains(" closechannel --yes"), "{refused}");
    of.both_are("ACTIVE");
    assert_eq!(of.alice.purse(), thd("90"), "nothing was signed away");
    // The user decides; what was decided survives a death before it was sent.
    of.alice.die_at("send-before", 1);
    of.alice.refused(&["closechannel", "--yes"], 6, "timeout");
    wait_for("it dies", || of.alice.spare());
    of.alice.start();
    of.meet();
    of.both_end("91", "109");
}

#[test]
fn rule_9_the_users_order_ends_the_channel_with_the_shares_that_were_shown() {
    let mut of = Restored::new();
    of.bob_forgets();
    of.wait_next("nothing newer");
    let closed = of.alice.ok(&["closechannel", "--yes"]);
    assert_eq!((&closed["mode"], &closed["withdrawable_at"]), (&"cooperative".into(), &Value::Null));
    of.both_end("91", "109");
}

#[test]
fn rule_9_an_imported_export_is_what_both_close_on() {
    let mut of = Restored::new();
    let imported = of.import("export.json");
    assert_eq!((&imported["nonce"], &imported["both_signed"]), (&2.into(), &true.into()));
    assert_eq!((&imported["mine"], &imported["theirs"]), (&"9".into(), &"1".into()));
    let again = of.alice.refused(&["receipts", "--import", &of.file("export.json")], 1, "invalid_receipt");
    assert!(again["message"].as_str().unwrap().contains("not newer than receipt 2"), "{again}");
    of.alice.crash();
    of.wait_next("receipt 2: 9 THD yours, 1 THD theirs");
    // It proves to Bob, who is honest and has put an old copy back, that he has lost data, too.
    of.bob_forgets();
    of.both_end("99", "101");
    of.bob.wait_logged("data was lost: the other side has a newer receipt");
}

#[test]
fn rule_9_a_record_is_closed_on_by_order_and_the_other_side_has_to_agree() {
    let mut of = Restored::new();
    let imported = of.import("record.json");
    assert_eq!((&imported["nonce"], &imported["both_signed"]), (&2.into(), &false.into()));
    of.alice.crash();
    let real = of.bob_forgets();
    of.wait_next("nothing newer than receipt 2: 9 THD yours, 1 THD theirs");
    of.both_are("ACTIVE");
    // Bob's copy does not know receipt 2, and does not agree.
    of.alice.refused(&["closechannel"], 1, "data_lost");
    of.alice.refused(&["closechannel", "--yes"], 1, "peer_stopped");
    of.wait_next("waiting for the other side");
    // What was signed stays signed: with his own data Bob agrees.
    of.alice.crash();
    of.bob.kill();
    of.bob.data = real;
    of.bob.start();
    of.meet();
    of.both_end("99", "101");
}

#[test]
fn rule_9_a_record_challenges_a_closing_on_the_backups_receipt() {
    for before in [true, false] {
        let mut of = Restored::new();
        if before {
            of.import("record.json");
        }
        of.bob_forgets();
        of.wait_next("nothing newer");
        of.bob.ok(&["closechannel"]);
        if !before {
            of.wait_next("receipts --import <file> within");
            of.alice.wait_logged("MONEY AT RISK: data was lost, and the other side closes");
            of.alice.crash();
            of.wait_next("receipts --import <file> within");
            of.import("record.json");
        }
        of.alice.wait_state(of.channel, "CLOSED");
        assert_eq!(of.world.thd_of(of.alice.wallet()), thd("100"), "before: {before}");
    }
}

#[test]
fn only_a_newer_and_valid_receipt_of_a_channel_with_lost_data_is_imported() {
    let mut of = Restored::new();
    let refused = |name: &str, code: &str, says: &str| {
        let error = of.alice.refused(&["receipts", "--import", &of.file(name)], 1, code);
        assert!(error["message"].as_str().unwrap().contains(says), "{name}: {error}");
    };
    let changed = |name: &str, of_file: &str, field: &str, value: Value| {
        let mut content: Value =
            serde_json::from_slice(&std::fs::read(of.place.path().join(of_file)).unwrap()).unwrap();
        *content.pointer_mut(field).unwrap() = value;
        write(of.place.path(), name, &content.to_string());
    };
    refused("old.json", "invalid_receipt", "not newer than receipt 1");
    refused("bobs.json", "invalid_receipt", "not for this node's wallet");
    changed("chain.json", "export.json", "/chain_id", 1.into());
    refused("chain.json", "invalid_receipt", "of chain 1, and this node is on chain 31337");
    let nowhere = "0x00000000000000000000000000000000000c4A11";
    changed("channel.json", "record.json", "/channel", nowhere.into());
    refused("channel.json", "no_channel", "there is no channel");
    for (name, from, field, value) in [
        ("shares.json", "export.json", "/agreed/balance_a", "1"),
        ("more.json", "record.json", "/balance_a", "10000000000000000000"),
    ] {
        changed(name, from, field, value.into());
        refused(name, "invalid_receipt", "not valid for the channel");
    }
    changed("nonce.json", "record.json", "/nonce", 4.into());
    refused("nonce.json", "invalid_receipt", "not valid for the channel");
    changed("version.json", "record.json", "/version", 2.into());
    refused("version.json", "invalid_receipt", "version 2");
    changed("unsigned.json", "export.json", "/agreed/signature_b", Value::Null);
    refused("unsigned.json", "invalid_receipt", "the other side has signed");
    write(of.place.path(), "text.json", "nothing");
    refused("text.json", "invalid_receipt", "is not a receipt");
    let (file, channel) = (of.file("export.json"), of.channel.to_string());
    of.alice.refused(&["receipts", "--import", &file, "--channel", "0x0123"], 1, "no_channel");
    // Bob has lost nothing.
    of.bob_forgets();
    of.wait_next("nothing newer than receipt 1");
    let error = of.bob.refused(&["receipts", "--import", &of.file("bobs.json")], 1, "wrong_state");
    assert!(error["message"].as_str().unwrap().contains("has lost no data"), "{error}");
    of.alice.ok(&["receipts", "--import", &file, "--channel", &channel]);
    of.both_end("99", "101");
}
