//! `pay --file`: many payments in one command, and the same file again.

use serde_json::Value;

use super::harness::*;

/// The results of `pay --file`, and its exit code.
fn pay(node: &Node, file: &str) -> (i32, Vec<Value>) {
    let output = node.output(&["--json", "pay", "--file", file]);
    let lines = text(&output.stdout);
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap(), lines)
}

fn file(node: &Node, name: &str, content: &str) -> String {
    write(node.home(), name, content)
}

#[test]
fn a_file_is_paid_once_however_often_it_is_given() {
    let world = World::new();
    let (mut alice, bob, first) = world.channel();
    let carol = world.user(3);
    alice.connect(&carol);
    let with_carol = address(&alice.ok(&["openchannel", "10", "--peer", &carol.peer_id()])["channel"]);
    alice.wait_usable(with_carol);
    let (bob_id, carol_wallet) = (bob.peer_id(), carol.wallet());
    let content = format!(
        "to,amount,memo,id\n{bob_id},1,\"rent, June\",rent\n{carol_wallet},0.5,,\n{with_carol},0.25,,\n{},2,,\n",
        &first.to_string().to_lowercase()[..14],
    );
    let path = file(&alice, "june.csv", &content);
    let (code, results) = pay(&alice, &path);
    assert_eq!(code, 0, "{results:?}");
    let over: Vec<_> = results.iter().map(|result| address(&result["channel"])).collect();
    assert_eq!(over, [first, with_carol, with_carol, first]);
    assert_eq!((alice.mine(first), alice.mine(with_carol)), (thd("7"), thd("9.25")));
    assert_eq!(bob.history()[1]["memo"], "rent, June");
    alice.crash();
    alice.wait_usable(first);
    alice.wait_usable(with_carol);
    let ids = |results: &[Value]| results.iter().map(|paid| paid["id"].clone()).collect::<Vec<_>>();
    let (code, again) = pay(&alice, &path);
    assert_eq!((code, ids(&again)), (0, ids(&results)), "{again:?}");
    assert_eq!((alice.mine(first), alice.mine(with_carol)), (thd("7"), thd("9.25")), "nothing is paid twice");
    // Whatever became of the channel.
    alice.ok(&["closechannel", "--cooperative", "--channel", &first.to_string()]);
    alice.wait_state(first, "CLOSED");
    assert_eq!((pay(&alice, &path).0, alice.mine(with_carol)), (0, thd("9.25")));
}

#[test]
fn what_could_not_be_paid_is_paid_by_the_same_file_later_and_the_rest_is_not_paid_again() {
    let world = World::new();
    let (alice, bob, first) = world.channel();
    let content = "{\"amount\":\"6\"}\n{\"amount\":\"7\"}\n{\"amount\":\"1\"}\n";
    let path = file(&alice, "payments.jsonl", content);
    let (code, results) = pay(&alice, &path);
    assert_eq!(code, 1);
    assert_eq!(results[1]["error"]["code"], "insufficient_balance", "{results:?}");
    assert_eq!((alice.mine(first), results.len()), (thd("3"), 3));
    let second = address(&alice.ok(&["openchannel", "10"])["channel"]);
    alice.wait_usable(second);
    let screen = alice.screen(&["pay", "--file", &path]);
    assert_eq!(screen.lines().count(), 3, "{screen}");
    assert!(screen.lines().all(|line| line.contains("paid") && line.chars().count() <= 80), "{screen}");
    assert_eq!((alice.mine(first), alice.mine(second)), (thd("3"), thd("3")));
    assert_eq!(bob.history().len(), 3);
}

#[test]
fn a_thousand_payments_come_in_few_receipts_and_a_fault_in_the_last_line_pays_none() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    let mut content = String::from("amount,id\n");
    (0..1000).for_each(|number| content.push_str(&format!("0.001,bulk-{number}\n")));
    let path = file(&alice, "faulty.csv", &format!("{content}nothing,bulk-x\n"));
    let refused = alice.refused(&["pay", "--file", &path], 2, "invalid_file");
    assert!(refused["message"].as_str().unwrap().contains("line 1002: amount \"nothing\""), "{refused}");
    assert_eq!(alice.mine(channel), thd("10"));
    let (code, results) = pay(&alice, &file(&alice, "good.csv", &content));
    let in_order = results.iter().enumerate().all(|(number, paid)| paid["id"] == format!("bulk-{number}"));
    assert!(code == 0 && results.len() == 1000 && in_order, "{:?}", results.last());
    assert_eq!(bob.mine(channel), thd("1"));
    let receipts = alice.channel(channel)["nonce"].as_u64().unwrap();
    assert!(receipts < 1000, "{receipts} receipts for a thousand payments");
}

#[test]
fn a_name_that_fits_two_payees_pays_neither() {
    let world = World::new();
    let (alice, bob, first) = world.channel();
    let carol = world.user(3);
    alice.connect(&carol);
    let second = address(&alice.ok(&["openchannel", "10", "--peer", &carol.peer_id()])["channel"]);
    alice.wait_usable(second);
    let content = format!("to,amount\n0x,1\n,1\nnobody,1\n{},1\n", bob.wallet());
    let (code, results) = pay(&alice, &file(&alice, "payments.csv", &content));
    assert_eq!(code, 1);
    let codes: Vec<_> = results.iter().map(|result| result["error"]["code"].clone()).collect();
    assert_eq!(
        codes,
        ["ambiguous_peer".into(), "ambiguous_channel".into(), "no_channel".into(), Value::Null]
    );
    assert_eq!((alice.mine(first), alice.mine(second)), (thd("9"), thd("10")));
}
