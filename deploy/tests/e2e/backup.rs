//! Backup and restore (rule 9).

use super::harness::*;

fn file_in(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn rule_9_a_late_backup_comes_back_lost_and_the_money_comes_out_with_the_peers_help() {
    let world = World::new();
    let (mut alice, mut bob, channel) = world.channel();
    let place = tempfile::tempdir().unwrap();
    let file = file_in(&place, "backup");
    let peer_id = alice.peer_id();
    let wallet = bob.channel(channel)["partner"].clone();
    alice.pay("1");
    std::thread::scope(|scope| {
        let payer = scope.spawn(|| (0..5).for_each(|_| drop(alice.pay("0.1"))));
        loop {
            let is_last = payer.is_finished();
            let made = alice.ok(&["backup", &file, "--force"]);
            assert_eq!((&made["file"], &made["channels"]), (&file.as_str().into(), &1.into()));
            if is_last {
                return payer.join().unwrap();
            }
        }
    });
    alice.pay("1.5");
    alice.refused(&["backup", &file], 1, "file");
    assert_private_and_without_password(&file, &alice);
    // The disk is gone, and at first the other side is, too.
    bob.kill();
    lose_the_disk(&mut alice);
    alice.start();
    let restored = alice.ok(&["restore", &file]);
    assert_eq!((&restored["channels"], &restored["wallet"]), (&1.into(), &wallet));
    wait_for_the_node(&alice, &peer_id);
    alice.refused(&["restore", &file], 1, "not_empty");
    // The wallet's password was not in the backup.
    alice.ok(&["importwallet", PHRASE, "--index", "1"]);
    wait_for("it shows the channel", || !alice.channel(channel).is_null());
    let lost = alice.channel(channel)["next_text"].as_str().unwrap().to_owned();
    assert!(lost.contains("data was lost"), "{lost}");
    assert!(text(&alice.output(&["infos"]).stdout).contains("lost data"));
    alice.refused(&["pay", "1"], 1, "data_lost");
    let refused = alice.refused(&["closechannel"], 1, "data_lost");
    assert!(refused["hint"].as_str().unwrap().contains("connect"), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("THD yours"), "{refused}");
    // With the peer's help, on the newest receipt and at once.
    bob.start();
    alice.connect(&bob);
    alice.wait_state(channel, "CLOSED");
    bob.wait_state(channel, "CLOSED");
    assert_eq!((alice.purse(), bob.purse()), (thd("97"), thd("103")));
}

fn assert_private_and_without_password(file: &str, node: &Node) {
    let content = std::fs::read(file).unwrap();
    let password = std::fs::read(node.data.path().join("wallet.password")).unwrap();
    assert!(!content.windows(password.len()).any(|window| window == password), "the password is in it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_is_not_a_whole_backup_is_refused_and_changes_nothing() {
    let world = World::bare();
    let (source, fresh) = (world.node(), world.node());
    let place = tempfile::tempdir().unwrap();
    let file = file_in(&place, "backup");
    // Without a wallet nobody can sign it.
    source.refused(&["backup", &file], 1, "no_wallet");
    assert!(!std::path::Path::new(&file).exists());
    source.ok(&["importwallet", PHRASE]);
    source.ok(&["backup", &file]);
    source.ok(&["backup", &file, "--force"]);
    let good = std::fs::read(&file).unwrap();
    let id = fresh.peer_id();
    let refused = |content: &[u8], says: &str| {
        let path = file_in(&place, "bad");
        std::fs::write(&path, content).unwrap();
        let error = fresh.refused(&["restore", &path], 1, "invalid_backup");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    };
    refused(b"SQLite format 3\0", "not a backup");
    refused(b"", "not a backup");
    refused(&good[..10], "not a backup");
    refused(&good[..good.len() - 1], "checksum");
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    refused(&changed, "checksum");
    refused(&good[..100], "cut off");
    let newer = [b"thunder backup 3\n", &good[17..]].concat();
    refused(&newer, "newer thunderd");
    fresh.refused(&["restore", &file_in(&place, "none")], 1, "file");
    assert_eq!(fresh.peer_id(), id);
    let wallet = world.node();
    wallet.ok(&["importwallet", PHRASE]);
    wallet.refused(&["restore", &file], 1, "not_empty");
}

/// A node that has everything of `earlier` but the directory, which is new and empty.
fn lose_the_disk(node: &mut Node) {
    node.kill();
    node.data = tempfile::TempDir::new().unwrap();
}

#[test]
fn rule_9_a_restored_node_challenges_what_is_older_than_its_backup() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    let place = tempfile::tempdir().unwrap();
    let (file, bob_id) = (file_in(&place, "backup"), bob.peer_id());
    alice.pay("1");
    let old = write(place.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    bob.ok(&["backup", &file]);
    lose_the_disk(&mut bob);
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    bob.start();
    bob.ok(&["restore", &file]);
    wait_for_the_node(&bob, &bob_id);
    bob.ok(&["importwallet", PHRASE, "--index", "2"]);
    bob.wait_state(channel, "CLOSED");
    assert_eq!(world.thd_of(bob.wallet()), thd("110"));
}

#[test]
fn channels_of_an_earlier_wallet_come_back_for_the_history() {
    let world = World::new();
    let (mut alice, _bob, channel) = world.channel();
    let place = tempfile::tempdir().unwrap();
    let (file, id) = (file_in(&place, "backup"), alice.peer_id());
    alice.pay("1");
    alice.ok(&["closechannel", "--cooperative"]);
    alice.ok(&["importwallet", PHRASE, "--index", "5"]);
    let wallet = alice.infos()["wallet"].clone();
    alice.ok(&["backup", &file]);
    lose_the_disk(&mut alice);
    alice.start();
    let restored = alice.ok(&["restore", &file]);
    assert_eq!((&restored["wallet"], &restored["channels"]), (&wallet, &0.into()));
    wait_for_the_node(&alice, &id);
    alice.ok(&["importwallet", PHRASE, "--index", "5"]);
    assert_eq!(alice.history().len(), 1);
    assert_eq!(alice.channel(channel)["state"], "CLOSED");
}

#[test]
fn a_restored_wallet_opens_with_the_users_own_password() {
    let world = World::new();
    let place = tempfile::tempdir().unwrap();
    let password = write(place.path(), "password", "correct horse battery staple");
    let mut node = world.user_with(1, &["--password-file", &password]);
    let (file, id, wallet) = (file_in(&place, "backup"), node.peer_id(), node.wallet());
    node.ok(&["backup", &file]);
    lose_the_disk(&mut node);
    node.start();
    node.ok(&["restore", &file]);
    wait_for_the_node(&node, &id);
    assert_eq!(node.wallet(), wallet);
}

#[test]
fn a_backup_never_replaces_the_files_of_the_node_itself() {
    let world = World::bare();
    let node = world.node();
    let inside = file_in(&node.data, "thunder.db");
    node.refused(&["backup", &inside, "--force"], 1, "file");
    node.refused(&["backup", &file_in(&node.data, "new")], 1, "file");
    // Nor anything else that is no backup.
    let other = world.node();
    let database = file_in(&other.data, "thunder.db");
    let before = std::fs::read(&database).unwrap();
    node.refused(&["backup", &database, "--force"], 1, "file");
    assert_eq!(std::fs::read(&database).unwrap(), before);
    node.infos();
}

/// Every point at which a restore can die: before its commit nothing has happened, after it the next
/// start brings it to its end.
#[test]
fn a_restore_that_dies_anywhere_has_not_happened_or_is_finished_by_the_next_start() {
    let world = World::new();
    let mut source = world.user(1);
    let place = tempfile::tempdir().unwrap();
    let (file, id) = (file_in(&place, "backup"), source.peer_id());
    source.ok(&["backup", &file]);
    source.kill();
    // thunder.db, node.key and wallet.json are put in place one by one.
    let points = [("restore-before", 1), ("restore-after", 1)]
        .into_iter()
        .chain((1..=3).flat_map(|nth| [("install-before", nth), ("install-after", nth)]));
    for (point, nth) in points {
        let mut node = world.node();
        node.kill();
        node.run_failing(super::kill::program());
        node.start();
        let own = node.peer_id();
        node.die_at(point, nth);
        let answer = node.output(&["--json", "restore", &file]);
        wait_for("it dies", || !node.is_running());
        node.spare();
        node.start();
        let is_in_place = point != "restore-before";
        assert_eq!(node.peer_id() == id, is_in_place, "{point}:{nth}: {}", text(&answer.stderr));
        assert_eq!(node.peer_id() == own, !is_in_place, "{point}:{nth}");
        let left = std::fs::read_dir(node.data.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(
            !left.iter().any(|name| name.starts_with("backup-scratch") || name == "restored"),
            "{left:?}"
        );
        assert_eq!(left.iter().any(|name| name == "wallet.json"), is_in_place, "{point}:{nth}: {left:?}");
        // And it works: the second time it is refused, or done.
        let again = node.output(&["--json", "restore", &file]);
        assert_eq!(again.status.success(), !is_in_place, "{point}:{nth}: {}", text(&again.stderr));
        wait_for_the_node(&node, &id);
    }
}

/// Nobody's money is replaced: what came to be there between the restore and the next start stays.
#[test]
fn a_restore_is_not_finished_over_a_wallet_that_came_meanwhile() {
    let world = World::new();
    let source = world.user(1);
    let place = tempfile::tempdir().unwrap();
    let file = file_in(&place, "backup");
    source.ok(&["backup", &file]);
    let mut node = world.node();
    node.kill();
    node.run_failing(super::kill::program());
    node.start();
    node.die_at("restore-after", 1);
    node.output(&["restore", &file]);
    wait_for("it dies", || !node.is_running());
    node.spare();
    let wallet = node.data.path().join("wallet.json");
    std::fs::write(&wallet, "another").unwrap();
    let output = node.thunderd().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("that are not the backup's"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(&wallet).unwrap(), "another");
    assert!(node.data.path().join("restored/thunder.db").exists(), "nothing was put in place");
    // As it says.
    std::fs::remove_file(&wallet).unwrap();
    node.start();
    wait_for_the_node(&node, &source.peer_id());
}

/// Nothing that was begun hangs on the caller's patience.
#[test]
fn a_backup_and_a_restore_are_carried_out_although_their_callers_have_given_up() {
    let world = World::new();
    let place = tempfile::tempdir().unwrap();
    let file = file_in(&place, "backup");
    let (mut source, mut fresh) = (world.user(1), world.node());
    for node in [&mut source, &mut fresh] {
        node.kill();
        node.run_failing(super::kill::program());
        node.start();
    }
    let id = source.peer_id();
    for (node, point, command) in
        [(&source, "backup-copied", "backup"), (&fresh, "restore-unpack", "restore")]
    {
        node.hold_at(point);
        node.refused(&["--timeout", "3", command, &file], 6, "timeout");
        node.wait_held();
        node.release();
        if command == "backup" {
            wait_for("the backup is there", || std::path::Path::new(&file).exists());
        } else {
            wait_for_the_node(node, &id);
        }
    }
}
