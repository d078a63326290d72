//! The chain takes blocks back, also more of them than the node waits for, starts anew, gets expensive, or is reached by WebSocket.

use serde_json::json;

use super::guard::number;
use super::harness::*;

#[test]
fn a_testnet_that_is_started_anew_is_noticed_and_old_channels_are_put_aside() {
    let mut world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    world.restart_chain();
    wait_for("the node notices", || alice.channel(channel).is_null() && bob.channel(channel).is_null());
    alice.wait_logged("started anew");
    assert!(
        alice.infos()["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|warning| warning.as_str().unwrap().contains("another chain"))
    );
    // On the new chain everything starts from the beginning.
    world.run(world.testnet.deploy()).unwrap();
    world.give_thd(alice.wallet(), "100");
    alice.wait_connected(&bob);
    let anew = address(
        &{
            let mut opened = serde_json::Value::Null;
            wait_for("a channel opens", || {
                let output = alice.output(&["--json", "openchannel"]);
                opened = serde_json::from_slice(&output.stdout).unwrap();
                output.status.success()
            });
            opened
        }["channel"],
    );
    assert_ne!(anew, channel);
    bob.wait_usable(anew);
    alice.pay("1");
}

#[test]
fn a_reorganisation_takes_an_opening_back_and_it_is_sent_again() {
    let world = World::new();
    let (alice, bob) = world.pair();
    world.mine(10);
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);
    alice.wait_usable(channel);
    world.rpc("anvil_reorg", json!([1, []]));
    wait_for("both notice", || {
        [&alice, &bob].iter().all(|node| node.has_logged("the chain took blocks back"))
    });
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    alice.pay("1");
    // Once more, now that there are receipts.
    world.rpc("evm_setAutomine", json!([false]));
    world.rpc("anvil_reorg", json!([1, []]));
    wait_for("bob says so", || bob.has_logged("MONEY AT RISK: the chain took back the opening"));
    world.rpc("evm_setAutomine", json!([true]));
    world.mine(1);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    bob.pay("0.5");
    assert_eq!((alice.mine(channel), alice.purse()), (thd("9.5"), thd("90")));
}

#[test]
fn a_reorganisation_takes_a_closing_and_an_end_back() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    let at = alice.ok(&["closechannel"])["withdrawable_at"].as_u64().unwrap();
    bob.wait_state(channel, "CLOSING");
    world.mine(1);
    world.rpc("anvil_reorg", json!([2, []]));
    wait_for("it is closing again", || {
        world.mine(1);
        let again = bob.channel(channel);
        again["state"] == "CLOSING" && again["withdrawable_at"].as_u64() > Some(at)
    });
    world.mine(24);
    wait_for("withdraw is possible", || bob.channel(channel)["next_text"] == "withdraw possible now");
    assert_eq!(bob.ok(&["withdraw"])["received"], "1");
    alice.wait_state(channel, "CLOSED");
    world.rpc("anvil_reorg", json!([1, []]));
    wait_for("it is paid out again", || {
        world.mine(1);
        bob.channel(channel)["state"] == "CLOSED" && bob.has_logged("transaction back; it is sent again")
    });
    wait_for("the money is there", || world.thd_of(bob.wallet()) == thd("101"));
}

#[test]
fn a_transaction_that_became_too_cheap_is_sent_again_at_a_higher_fee() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    let sent = || world.rpc("eth_getTransactionCount", json!([alice.wallet(), "latest"]));
    let opened = sent();
    world.rpc("evm_setAutomine", json!([false]));
    alice.refused(&["--timeout", "2", "closechannel"], 6, "timeout");
    let nonce = json!([alice.wallet(), opened]);
    let sent_one = || world.rpc("eth_getTransactionBySenderAndNonce", nonce.clone());
    wait_for("it is sent", || !sent_one().is_null());
    let first = number(&sent_one()["maxFeePerGas"]);
    for _ in 0..6 {
        world.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x2540be4000"])); // 160 gwei
        world.mine(1);
        let seen = world.head();
        wait_for("the node sees the block", || alice.infos()["chain"]["block"] == seen);
    }
    wait_for("the closing is mined", || {
        world.mine(1);
        alice.channel(channel)["state"] == "CLOSING"
    });
    assert!(number(&sent_one()["maxFeePerGas"]) > first);
    world.mine(2);
    assert_eq!(number(&sent()), number(&opened) + 1, "one of all that were sent");
    bob.wait_state(channel, "CLOSING");
}

#[test]
fn an_rpc_outage_is_survived() {
    let world = World::new();
    let (mut alice, bob, channel) = world.channel();
    alice.pay("1");
    // The node is started where nobody listens, and finds the chain later through another start.
    alice.kill();
    let good =
        std::mem::replace(&mut alice.rpc, format!("127.0.0.1:{}", thunder_deploy::ports::free().unwrap()));
    alice.start();
    assert_eq!(alice.channel(channel)["state"], "ACTIVE", "what is on disk is shown");
    alice.refused(&["pay", "1"], 5, "peer_not_connected");
    alice.kill();
    alice.rpc = good;
    alice.start();
    alice.wait_connected(&bob);
    alice.wait_usable(channel);
    alice.pay("1");
}

#[test]
fn a_websocket_does_as_well() {
    let world = World::new();
    let (mut alice, bob, channel) = world.channel();
    alice.kill();
    alice.rpc = alice.rpc.replace("http://", "ws://");
    alice.start();
    alice.wait_connected(&bob);
    alice.wait_usable(channel);
    alice.pay("1");
    alice.ok(&["closechannel"]);
    world.mine(24);
    wait_for("withdraw is possible", || alice.channel(channel)["next_text"] == "withdraw possible now");
    assert_eq!(alice.ok(&["withdraw"])["received"], "9");
}

#[test]
fn a_spend_from_the_same_wallet_by_another_program_is_survived() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    world.rpc("evm_setAutomine", json!([false]));
    alice.refused(&["--timeout", "2", "closechannel"], 6, "timeout");
    // Another program sends a transaction with the same nonce and a much higher fee.
    world.rpc("anvil_dropAllTransactions", json!([]));
    let from = alice.wallet().to_string();
    world.rpc("anvil_impersonateAccount", json!([from]));
    world.rpc(
        "eth_sendTransaction",
        json!([{ "from": from, "to": bob.wallet().to_string(), "value": "0x1" }]),
    );
    wait_for("the closing is mined under another nonce", || {
        world.mine(1);
        alice.channel(channel)["state"] == "CLOSING"
    });
    bob.wait_state(channel, "CLOSING");
}

#[test]
fn what_was_paid_in_and_taken_back_is_paid_in_again() {
    let world = World::new();
    let (alice, bob) = world.pair();
    let channel = address(&alice.ok(&["openchannel", "10", "--deposit", "7"])["channel"]);
    bob.wait_state(channel, "EMPTY");
    world.mine(3);
    bob.ok(&["fund"]);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    bob.pay("1");
    world.mine(2);
    // Deeper than the one confirmation, with a receipt signed on it.
    world.rpc("evm_setAutomine", json!([false]));
    world.rpc("anvil_reorg", json!([3, []]));
    wait_for("both see it", || {
        [&alice, &bob].iter().all(|node| node.has_logged("MONEY AT RISK: the chain took back the opening"))
    });
    world.rpc("evm_setAutomine", json!([true]));
    world.mine(1);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    assert_eq!((alice.purse(), bob.purse()), (thd("93"), thd("97")), "paid in once");
    alice.ok(&["closechannel", "--cooperative"]);
    bob.wait_state(channel, "CLOSED");
    assert_eq!((alice.purse(), bob.purse()), (thd("101"), thd("99")));
}

#[test]
fn a_challenge_that_was_taken_back_is_made_again_and_wins() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    world.mine(3);
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    bob.wait_state(channel, "CLOSED");
    world.mine(2);
    world.rpc("evm_setAutomine", json!([false]));
    world.rpc("anvil_reorg", json!([3, []]));
    wait_for("bob sees that he has not won", || bob.channel(channel)["state"] != "CLOSED");
    assert_eq!(world.thd_of(bob.wallet()), thd("100"));
    world.rpc("evm_setAutomine", json!([true]));
    world.mine(1);
    wait_for("bob has won again", || world.thd_of(bob.wallet()) == thd("110"));
    bob.wait_state(channel, "CLOSED");
    alice.wait_state(channel, "CLOSED");
}
