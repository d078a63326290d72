//! Backup and restore (rule 9).

use std::process::Command;

use super::harness::*;

fn file_in(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn rule_9_a_late_backup_comes_back_lost_and_the_money_comes_out_with_the_peers_help() {
    let world = World::new();
    let (mut alice, bob, channel) = world.channel();
    let place = tempfile::tempdir().unwrap();
    let file = file_in(&place, "backup");
    let peer_id = alice.peer_id();
    alice.pay("1");
    // While payments flow.
    let mut payer = Command::new(alice.cli().get_program());
    payer.args(["--port", &alice.port.to_string(), "pay", "0.5"]).envs(environment(&alice.cli()));
    let mut payer = payer.stdout(std::process::Stdio::null()).spawn().unwrap();
    let made = alice.ok(&["backup", &file]);
    assert_eq!((&made["file"], &made["channels"]), (&file.as_str().into(), &1.into()));
    assert!(payer.wait().unwrap().success());
    alice.pay("1.5");
    alice.refused(&["backup", &file], 1, "file");
    assert_private_and_without_password(&file, &alice);
    // The disk is gone.
    alice.kill();
    alice.data = tempfile::TempDir::new().unwrap();
    alice.start();
    let restored = alice.ok(&["restore", &file]);
    assert_eq!((&restored["channels"], &restored["wallet"]), (&1.into(), &world_wallet(&bob, channel)));
    wait_for("it starts anew as the node it was", || {
        let output = alice.output(&["--json", "infos"]);
        output.status.success() && text(&output.stdout).contains(&peer_id)
    });
    alice.refused(&["restore", &file], 1, "not_empty");
    // The wallet's password was not in the backup.
    alice.ok(&["importwallet", PHRASE, "--index", "1"]);
    wait_for("it shows the channel", || !alice.channel(channel).is_null());
    let lost = alice.channel(channel)["next"].as_str().unwrap().to_owned();
    assert!(lost.contains("lost data"), "{lost}");
    assert!(text(&alice.output(&["infos"]).stdout).contains("lost data"));
    alice.refused(&["pay", "1"], 1, "data_lost");
    let refused = alice.refused(&["closechannel"], 1, "data_lost");
    assert!(refused["hint"].as_str().unwrap().contains("connect"), "{refused}");
    // With the peer's help, on the newest receipt and at once.
    alice.connect(&bob);
    alice.wait_state(channel, "CLOSED");
    bob.wait_state(channel, "CLOSED");
    assert_eq!((alice.purse(), bob.purse()), (thd("97"), thd("103")));
}

fn environment(command: &Command) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    command.get_envs().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect()
}

/// The other side's address of a channel, as JSON.
fn world_wallet(node: &Node, channel: thunder_protocol::Address) -> serde_json::Value {
    node.channel(channel)["partner"].clone()
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
    let newer = [b"thunder backup 2\n", &good[17..]].concat();
    refused(&newer, "newer thunderd");
    fresh.refused(&["restore", &file_in(&place, "none")], 1, "file");
    assert_eq!(fresh.peer_id(), id);
    let wallet = world.node();
    wallet.ok(&["importwallet", PHRASE]);
    wallet.refused(&["restore", &file], 1, "not_empty");
}

#[test]
fn a_restore_that_dies_half_way_is_finished_by_the_next_start() {
    let world = World::bare();
    let mut source = world.node();
    let id = source.peer_id();
    source.kill();
    // What a restore leaves that died after its first rename: the database in place, the key not.
    let mut node = world.node();
    node.kill();
    let ready = node.data.path().join("restored");
    std::fs::create_dir(&ready).unwrap();
    std::fs::copy(source.data.path().join("node.key"), ready.join("node.key")).unwrap();
    // And one that died before it was complete.
    let scratch = node.data.path().join("backup-scratch-dead");
    std::fs::create_dir(&scratch).unwrap();
    node.start();
    assert_eq!(node.peer_id(), id);
    assert!(!ready.exists() && !scratch.exists());
}
