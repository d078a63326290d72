//! The program of docs/how-to/ledger.md: its books are right whoever is killed, and whenever.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::documents::document;
use super::harness::*;

const PAYMENTS: usize = 10_000;
/// What each payment is.
const AMOUNT: &str = "0.0005";

/// The program, as a reader of the page copies it.
fn program(directory: &Path) -> PathBuf {
    let page = document("docs/how-to/ledger.md");
    let code = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    assert!(code.lines().filter(|line| !line.trim().is_empty()).count() <= 40, "it is short");
    let path = directory.join("ledger.py");
    std::fs::write(&path, code).unwrap();
    path
}

/// A ledger that runs.
struct Ledger(Child);

impl Ledger {
    fn start(node: &Node, program: &Path, book: &Path) -> Self {
        let mut python = node.foreign_program("python3");
        python.arg(program).arg(node.port.to_string()).arg(book);
        Self(python.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The ids and amounts in the book.
fn entries(book: &Path) -> Vec<(String, String)> {
    let read = || {
        let book = Connection::open_with_flags(book, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut entries =
            book.prepare("SELECT id, amount FROM entries WHERE direction = 'in' ORDER BY seq")?;
        entries.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<_>, _>>()
    };
    read().unwrap_or_default()
}

#[test]
fn a_ledger_that_only_watches_is_exact_whoever_is_killed_and_whenever() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    let mut orders = String::from("to,amount,memo,id\n");
    (0..PAYMENTS).for_each(|number| orders.push_str(&format!(",{AMOUNT},,order-{number}\n")));
    let orders = write(alice.data.path(), "orders.csv", &orders);
    let program = program(bob.data.path());
    let book = bob.data.path().join("book.db");
    std::thread::scope(|scope| {
        let paying = scope.spawn(|| {
            // It is repeat-safe.
            while !alice.output(&["--timeout", "10", "pay", "--file", &orders]).status.success() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        for round in 0.. {
            let ledger = Ledger::start(&bob, &program, &book);
            std::thread::sleep(Duration::from_millis(400 + 37 * (round % 7)));
            if round % 3 == 2 {
                bob.crash();
                bob.wait_connected(&alice);
            }
            drop(ledger);
            if round > 8 && paying.is_finished() {
                break;
            }
        }
    });
    let mut ledger = Ledger::start(&bob, &program, &book);
    while entries(&book).len() < PAYMENTS {
        let before = entries(&book).len();
        wait_for("more is booked", || {
            // As a service manager does it; what has ended it is on standard error.
            if ledger.0.try_wait().unwrap().is_some() {
                ledger = Ledger::start(&bob, &program, &book);
            }
            entries(&book).len() > before
        });
    }
    let booked = entries(&book);
    let expected: BTreeSet<_> = (0..PAYMENTS).map(|number| format!("order-{number}")).collect();
    assert_eq!(booked.len(), PAYMENTS, "nothing twice");
    assert_eq!(booked.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>(), expected);
    assert!(booked.iter().all(|(_, amount)| amount == AMOUNT));
    assert_eq!(bob.mine(channel), thd("5"));

    // The history says the same, in however many pages it is asked for.
    let listed = bob.ok(&["history", "--limit", "20000", "--direction", "in"]);
    let ids: Vec<_> =
        listed["payments"].as_array().unwrap().iter().rev().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, booked.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), "and in the same order");
    assert!(listed["next"].is_null());
    let page = bob.ok(&["history", "--limit", "3"]);
    let (older, next) = (page["payments"][2]["seq"].as_u64().unwrap(), page["next"].as_u64().unwrap());
    assert_eq!(older, next, "the next page begins where this one ends");
    let csv = bob.screen(&["history", "--limit", "20000", "--csv"]);
    assert_eq!(csv.lines().count(), PAYMENTS + 1);
    let one = bob.ok(&["history", "--id", "order-77"]);
    assert_eq!(one["payments"].as_array().unwrap().len(), 1);
    assert_eq!(one["payments"][0]["partner"], alice.wallet().to_string());
}

#[test]
fn events_that_are_pruned_are_named_and_their_payments_are_found_by_id() {
    let world = World::new();
    let (alice, bob, _) = world.channel();
    alice.pay("1");
    let paid = alice.ok(&["pay", "1", "--id", "rent"]);
    wait_for("it is settled", || bob.history().len() == 2);
    let newest = bob.ok(&["history", "--limit", "1"])["payments"][0]["seq"].as_u64().unwrap();
    let pruned = bob.ok(&["prune", "--before", "0h"]);
    assert!(pruned["events"].as_u64().unwrap() >= 2, "{pruned}");
    let refused = |after: u64| {
        let output = bob.output(&["--json", "watch", "--after", &after.to_string()]);
        let last = text(&output.stdout).lines().last().unwrap().to_owned();
        let error: serde_json::Value = serde_json::from_str(&last).unwrap();
        assert_eq!((output.status.code(), &error["error"]["code"]), (Some(1), &"unknown_event".into()));
        error["error"]["hint"].as_str().unwrap().to_owned()
    };
    let hint = refused(1);
    assert!(hint.contains(&format!("--after {}", newest - 1)), "{hint}");
    refused(newest + 1000);
    let found = bob.ok(&["history", "--id", "rent"]);
    assert_eq!(found["payments"][0]["nonce"], paid["nonce"]);
    // And an id that was used is not paid again.
    alice.ok(&["prune", "--before", "0h"]);
    assert_eq!(alice.ok(&["pay", "1", "--id", "rent"])["nonce"], paid["nonce"]);
    alice.pay("1");
    wait_for("it goes on", || bob.history().len() == 2);
}
