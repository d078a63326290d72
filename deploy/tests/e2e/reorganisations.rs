//! The chain takes back more blocks than the node waits for.

use serde_json::json;

use super::harness::*;

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
