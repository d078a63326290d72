//! Closing on an old receipt, and the challenge that takes everything: the node's own, the first thing that it sends after
//! a start, and a watchtower's.

use alloy_primitives::{U256, hex, keccak256};
use serde_json::{Value, json};
use thunder_protocol::Address;

use super::endpoint::Endpoint;
use super::harness::*;

/// Alice keeps an old receipt, pays more, and closes on the old one.
fn cheat(world: &World, bob_flags: &[&str]) -> (Node, Node, Address) {
    let (alice, bob) = (world.user(1), world.user_with(2, bob_flags));
    alice.connect(&bob);
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    let warned = alice.refused(&["closechannel", "--receipt", &old], 1, "invalid_receipt");
    assert!(warned["hint"].as_str().unwrap().contains("--yes"));
    assert_eq!(alice.channel(channel)["state"], "ACTIVE", "nothing was done");
    let closing = alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    assert_eq!(closing["nonce"], 1);
    (alice, bob, channel)
}

#[test]
fn the_node_answers_an_old_receipt_by_itself_and_takes_everything() {
    let world = World::new();
    let (alice, bob, channel) = cheat(&world, &[]);
    bob.wait_state(channel, "CLOSED");
    assert!(bob.channel(channel)["next_text"].as_str().unwrap().contains("10 THD received"));
    assert_eq!((world.thd_of(alice.wallet()), world.thd_of(bob.wallet())), (thd("90"), thd("110")));
    alice.wait_state(channel, "CLOSED");
    assert_eq!(alice.ok(&["withdraw"])["received"], "0");
}

#[test]
fn the_command_does_it_too() {
    let world = World::new();
    let (alice, bob, channel) = cheat(&world, &["--no-auto-challenge"]);
    bob.wait_state(channel, "CLOSING");
    let info = bob.infos();
    assert!(
        info["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|warning| warning.as_str().unwrap().contains("old receipt"))
    );
    assert!(bob.channel(channel)["next_text"].as_str().unwrap().contains("challenge within"));
    bob.wait_logged("MONEY AT RISK");
    assert_eq!(bob.ok(&["challenge"])["received"], "10");
    assert_eq!((world.thd_of(alice.wallet()), world.thd_of(bob.wallet())), (thd("90"), thd("110")));
    assert_eq!(bob.ok(&["challenge"])["received"], "10", "twice does no harm");
    alice.wait_state(channel, "CLOSED");
    alice.refused(&["challenge"], 1, "nothing_to_challenge");
}

#[test]
fn a_cheat_while_the_other_side_is_down_is_answered_when_it_is_back() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    bob.kill();
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    world.mine(10);
    bob.start();
    bob.wait_state(channel, "CLOSED");
    assert_eq!(world.thd_of(bob.wallet()), thd("110"));
}

#[test]
fn too_late_is_too_late() {
    let world = World::new();
    let (alice, bob, channel) = cheat(&world, &["--no-auto-challenge"]);
    bob.wait_state(channel, "CLOSING");
    world.mine(24);
    wait_for("bob sees the blocks", || bob.channel(channel)["next_text"] == "withdraw possible now");
    bob.refused(&["challenge"], 1, "nothing_to_challenge");
    assert_eq!(bob.ok(&["withdraw"])["received"], "1");
    assert_eq!(world.thd_of(alice.wallet()), thd("99"));
    // The payment of 5 was only in the newer receipt: the chain has paid out without it.
    alice.wait_state(channel, "CLOSED");
    let status = |node: &Node| node.history()[0]["status"].clone();
    assert_eq!((status(&alice), status(&bob)), ("failed".into(), "failed".into()));
}

#[test]
fn a_receipt_of_another_channel_or_forged_is_refused() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    let mut receipts = alice.ok(&["receipts"]);
    receipts["agreed"]["balance_a"] = "10000000000000000000".into();
    receipts["agreed"]["balance_b"] = "0".into();
    let forged = write(alice.data.path(), "forged.json", &receipts.to_string());
    alice.refused(&["closechannel", "--receipt", &forged, "--yes"], 1, "invalid_receipt");
    let garbage = write(alice.data.path(), "garbage.json", "not json");
    let refused = alice.output(&["closechannel", "--receipt", &garbage, "--yes"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(bob.channel(channel)["state"], "ACTIVE");
}

#[test]
fn a_third_party_with_nothing_but_the_record_wins_for_the_one_who_is_offline() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    bob.refused(&["receipts", "--watchtower"], 1, "wrong_state");
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    let path = bob.data.path().join("record.json");
    bob.ok(&["receipts", "--watchtower", "--output", path.to_str().unwrap()]);
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(bob.ok(&["receipts"])["watchtower"], record);
    bob.kill();
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);

    // From here on only the record, and an account with ether that has nothing to do with it.
    let units = |name: &str| record[name].as_str().unwrap().parse::<U256>().unwrap();
    let signature = hex::decode(record["signature"].as_str().unwrap()).unwrap();
    let mut data = keccak256("challenge(uint256,uint256,uint256,bytes)")[..4].to_vec();
    let words = [
        U256::from(record["nonce"].as_u64().unwrap()),
        units("balance_a"),
        units("balance_b"),
        U256::from(128),
        U256::from(65),
    ];
    words.iter().for_each(|word| data.extend(word.to_be_bytes::<32>()));
    data.extend(&signature);
    data.resize(data.len().next_multiple_of(32) + 4, 0);
    assert_eq!(hex::encode_prefixed(&data), record["data"], "the calldata is what the fields say");
    let tower = world.rpc("eth_accounts", json!([]))[7].clone();
    let call = json!([{ "from": tower, "to": record["channel"], "data": record["data"] }]);
    let hash = world.rpc("eth_sendTransaction", call);
    wait_for("it is mined", || !world.rpc("eth_getTransactionReceipt", json!([hash])).is_null());
    assert_eq!(world.thd_of(address(&record["beneficiary"])), thd("110"));
    bob.start();
    bob.wait_state(channel, "CLOSED");
}

#[test]
fn after_a_start_the_challenge_is_the_first_transaction_ahead_of_what_was_under_way() {
    let world = World::new();
    let (alice, mut bob, carol) = (world.user(1), world.user(2), world.user(3));
    let entry = Endpoint::of(&world);
    for other in [&alice, &carol] {
        other.connect(&bob);
    }
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    let with_carol = address(&carol.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);
    bob.wait_usable(with_carol);
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    carol.pay("2");
    // Bob's closing of the other channel is under way, and the chain has forgotten it.
    world.rpc("evm_setAutomine", json!([false]));
    let with_carol = with_carol.to_string();
    bob.refused(&["--timeout", "2", "closechannel", "--channel", &with_carol], 6, "timeout");
    bob.kill();
    world.rpc("anvil_dropAllTransactions", json!([]));
    world.rpc("evm_setAutomine", json!([true]));
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    bob.rpc = entry.url();
    bob.start();
    bob.wait_state(channel, "CLOSED");
    let challenge = hex::encode(&keccak256("challenge(uint256,uint256,uint256,bytes)")[..4]);
    wait_for("what was under way is sent, too", || {
        entry.sent().iter().skip(1).any(|other| !other.contains(&challenge))
    });
    let sent = entry.sent();
    assert!(sent[0].contains(&challenge), "the first of {}: {}", sent.len(), sent[0]);
    assert_eq!(world.thd_of(bob.wallet()), thd("110"));
}
