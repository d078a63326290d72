//! Somebody else punishes a cheat; and the node itself does before it does anything else.

use alloy_primitives::{U256, hex, keccak256};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::harness::*;

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
