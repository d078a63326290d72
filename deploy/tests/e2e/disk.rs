//! Disks that are full, read-only or damaged: thunderd says so, overwrites nothing, and loses nothing.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Output;

use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::harness::*;

/// All of the database in its one file, as a thunderd leaves it that was stopped.
fn fold(database: &Path) {
    let connection = Connection::open(database).unwrap();
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
}

fn error_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn a_database_that_can_not_be_used_is_refused_with_a_reason_and_left_alone() {
    let world = World::new();
    let (mut alice, _bob, channel) = world.channel();
    alice.pay("1");
    alice.kill();
    let database = alice.data.path().join("thunder.db");
    fold(&database);
    let good = fs::read(&database).unwrap();
    let refused = |says: &str| {
        let bad = fs::read(&database).unwrap();
        assert_ne!(bad, good);
        let error = error_of(&alice.thunderd().output().unwrap());
        assert!(error.contains("error: ") && error.contains(says), "{says}: {error}");
        assert!(error.contains("newer thunderd") || error.contains("restore the newest backup"), "{error}");
        assert_eq!(fs::read(&database).unwrap(), bad, "{says}: it was written to");
        fs::write(&database, &good).unwrap();
    };
    let change = |sql: &str| {
        Connection::open(&database).unwrap().execute_batch(sql).unwrap();
        fold(&database);
    };
    change("PRAGMA user_version = 99");
    refused("use a newer thunderd");
    change("UPDATE channels SET state = X'a0'");
    refused("a record in the database can't be read");
    fs::write(&database, &good[..good.len() / 2]).unwrap();
    refused("database");
    let mut holes = good.clone();
    holes[4096..].chunks_mut(4096).for_each(|page| page[..64].fill(0xff));
    fs::write(&database, holes).unwrap();
    refused("database");
    // As it was, it is as it was.
    alice.start();
    assert_eq!(alice.mine(channel), thd("9"));
}

/// thunderd with a signal ignored that would end it where a disk that is full only refuses a write.
fn with_room_that_ends(node: &mut Node, place: &Path) {
    let thunderd = thunder_deploy::beside("thunderd").unwrap();
    let script = place.join("thunderd");
    fs::write(&script, format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", thunderd.display())).unwrap();
    set_mode(&script, 0o755);
    node.kill();
    node.run_failing(&script);
    node.start();
}

/// From now on no file of the node can be written further than this.
fn limit(node: &Node, bytes: Option<u64>) {
    let process = Pid::from_raw(node.pid().try_into().unwrap());
    prlimit(process, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Pays with the payer's or the payee's disk full; then there is room again.
fn pays_once_although_the_disk_is_full(payers_disk: bool) {
    let world = World::new();
    let (mut alice, mut bob, channel) = world.channel();
    let place = tempfile::tempdir().unwrap();
    let full = if payers_disk { &mut alice } else { &mut bob };
    with_room_that_ends(full, place.path());
    limit(full, Some(0));
    alice.wait_connected(&bob);
    let refused = alice.output(&["--json", "--timeout", "3", "pay", "1", "--id", "once"]);
    assert!(!refused.status.success(), "{}", text(&refused.stdout));
    let full = if payers_disk { &mut alice } else { &mut bob };
    wait_for("it says so", || full.has_logged("MONEY AT RISK: the channel is frozen"));
    assert!(full.screen(&["infos"]).contains("frozen"));
    let file = place.path().join("backup");
    full.refused(&["backup", file.to_str().unwrap()], 1, "file");
    assert!(!file.exists());
    limit(full, None);
    full.crash();
    alice.wait_connected(&bob);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    for _ in 0..2 {
        alice.ok(&["pay", "1", "--id", "once"]);
    }
    assert_eq!((alice.mine(channel), bob.mine(channel)), (thd("9"), thd("1")));
    assert_eq!((alice.history().len(), bob.history().len()), (1, 1));
}

#[test]
fn a_full_disk_of_the_payer_costs_nothing_and_pays_nothing_twice() {
    pays_once_although_the_disk_is_full(true);
}

#[test]
fn a_full_disk_of_the_payee_costs_nothing_and_pays_nothing_twice() {
    pays_once_although_the_disk_is_full(false);
}

/// As a user who may not write there, which takes root, who may write anywhere.
#[test]
fn a_directory_that_can_not_be_written_is_named() {
    let world = World::new();
    let (mut alice, _bob, channel) = world.channel();
    alice.kill();
    let directory = alice.data.path().to_path_buf();
    let before = fs::read(directory.join("thunder.db")).unwrap();
    let mut thunderd = alice.thunderd();
    let open_to_all = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        // Where it is, another user may not be able to read it.
        set_mode(open_to_all.path(), 0o777);
        let program = open_to_all.path().join("thunderd");
        fs::copy(thunder_deploy::beside("thunderd").unwrap(), &program).unwrap();
        let mut other = std::process::Command::new(program);
        other.args(thunderd.get_args()).uid(NOBODY).gid(NOBODY);
        other.env("XDG_RUNTIME_DIR", open_to_all.path()).env("TMPDIR", open_to_all.path());
        thunderd = other;
    }
    let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    set_mode(&directory, 0o500);
    files.iter().for_each(|file| set_mode(file, 0o400));
    let give_to = |user: u32| {
        for path in files.iter().chain([&directory]) {
            std::os::unix::fs::chown(path, Some(user), None).unwrap();
        }
    };
    if rustix::process::geteuid().is_root() {
        give_to(NOBODY);
    }
    let error = error_of(&thunderd.output().unwrap());
    assert!(error.contains(directory.to_str().unwrap()) && error.contains("denied"), "{error}");
    assert_eq!(fs::read(directory.join("thunder.db")).unwrap(), before);
    if rustix::process::geteuid().is_root() {
        give_to(0);
    }
    set_mode(&directory, 0o700);
    files.iter().for_each(|file| set_mode(file, 0o600));
    alice.start();
    alice.wait_state(channel, "ACTIVE");
}
