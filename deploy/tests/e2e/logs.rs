//! G7: a log whose reader is gone, slow or out of disk loses lines, which are counted, and neither blocks nor ends
//! the node.

use std::fs::{self, File};
use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use thunder_protocol::Address;

use super::harness::*;

const LOST: &str = "lines of the log were lost";

/// A channel whose opener logs everything to a file, and serves metrics.
struct Logging {
    _world: World,
    alice: Node,
    bob: Node,
    channel: Address,
    metrics: u16,
}

impl Logging {
    fn to(stderr: File) -> Self {
        let world = World::new();
        let (mut alice, bob, channel) = world.channel();
        let metrics = thunder_deploy::ports::free().unwrap();
        alice.kill();
        alice.flags.extend(["--log", "trace", "--metrics"].map(str::to_owned));
        alice.flags.push(format!("127.0.0.1:{metrics}"));
        alice.log_to(stderr);
        alice.start();
        alice.wait_connected(&bob);
        alice.wait_usable(channel);
        Self { _world: world, alice, bob, channel, metrics }
    }

    /// Pays until the log has lost lines, and a little more.
    fn pay_while_lines_are_lost(&self) {
        wait_for("lines are lost", || {
            self.alice.pay("0.001");
            self.warns()
        });
        self.alice.pay("0.5");
        self.bob.pay("0.001");
        let both = self.alice.mine(self.channel).checked_add(self.bob.mine(self.channel));
        assert_eq!(both, Some(thd("10")));
    }

    fn warns(&self) -> bool {
        let infos = self.alice.infos();
        let warnings = infos["warnings"].as_array().unwrap();
        warnings.iter().any(|warning| warning.as_str().unwrap().contains(LOST))
    }

    fn lost(&self) -> f64 {
        super::metrics::value(self.metrics, "thunder_log_lines_lost_total")
    }

    fn ends_when_it_is_told_to(&mut self) {
        self.alice.signal(Signal::TERM);
        wait_for("it has ended", || !self.alice.is_running());
        assert!(self.alice.wait_end().success());
    }
}

fn pipe() -> (PipeReader, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, OwnedFd::from(writer).into())
}

#[test]
fn a_reader_that_is_gone_loses_lines_and_neither_blocks_nor_ends_the_node() {
    let (reader, writer) = pipe();
    drop(reader);
    let mut node = Logging::to(writer);
    node.pay_while_lines_are_lost();
    wait_for("the metric says so", || node.lost() > 0.0);
    node.ends_when_it_is_told_to();
}

#[test]
fn a_reader_that_does_not_read_loses_lines_and_neither_blocks_nor_ends_the_node() {
    let (reader, writer) = pipe();
    let mut node = Logging::to(writer);
    node.pay_while_lines_are_lost();
    wait_for("the metric says so", || node.lost() > 0.0);
    node.ends_when_it_is_told_to();
    drop(reader);
}

#[test]
fn a_reader_that_comes_back_is_told_how_many_lines_were_lost() {
    let (mut reader, writer) = pipe();
    let mut node = Logging::to(writer);
    node.pay_while_lines_are_lost();
    node.alice.log_to(File::open("/dev/null").unwrap());
    let reading = std::thread::spawn(move || {
        let mut read = Vec::new();
        reader.read_to_end(&mut read).map(|_| text(&read)).unwrap()
    });
    let before = node.lost();
    node.alice.pay("0.001");
    node.ends_when_it_is_told_to();
    let read = reading.join().unwrap();
    assert_eq!(read.matches(LOST).count(), 1, "said once, for {before} lines and more");
    assert!(read.contains("stopping"), "the lines after that are there");
}

#[test]
fn a_full_disk_loses_lines_and_neither_blocks_nor_ends_the_node() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut node = Logging::to(full);
    node.pay_while_lines_are_lost();
    wait_for("the metric says so", || node.lost() > 0.0);
    node.ends_when_it_is_told_to();
}

/// A file system of 64 KiB, unmounted when dropped; `None` if this user may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(disk.0.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(disk);
        }
        eprintln!("not tried: to mount a small disk takes root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[test]
fn a_disk_that_has_room_again_gets_the_lines_from_then_on_and_the_number_of_those_that_were_lost() {
    let Some(disk) = SmallDisk::new() else { return };
    let path = disk.path().join("log");
    let mut node = Logging::to(File::options().create(true).append(true).open(&path).unwrap());
    node.pay_while_lines_are_lost();
    // What a program does that rotates logs.
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    wait_for("the number is in the log", || fs::read_to_string(&path).unwrap().contains(LOST));
    node.ends_when_it_is_told_to();
}
