//! Several nodes, several channels.

use super::harness::*;

#[test]
fn two_channels_with_two_peers_at_once() {
    let world = World::new();
    let (alice, bob, carol) = (world.user(1), world.user(2), world.user(3));
    alice.connect(&bob);
    carol.connect(&alice);
    wait_for("alice knows carol", || alice.is_connected_with(&carol));
    alice.refused(&["openchannel", "10"], 1, "ambiguous_peer");
    let with_bob = address(&alice.ok(&["openchannel", "10", "--peer", &bob.peer_id()])["channel"]);
    let with_carol =
        address(&alice.ok(&["openchannel", "20", "--peer", &carol.wallet().to_string()[..8]])["channel"]);
    alice.wait_usable(with_bob);
    alice.wait_usable(with_carol);
    let ambiguous = alice.refused(&["pay", "1"], 1, "ambiguous_channel");
    assert!(ambiguous["message"].as_str().unwrap().contains(&with_bob.to_string()));
    alice.ok(&["pay", "1", "--peer", &bob.wallet().to_string()]);
    alice.ok(&["pay", "2", "--channel", &with_carol.to_string()]);
    alice.ok(&["pay", "2", "--channel", &with_carol.to_string().to_lowercase()[..12]]);
    carol.ok(&["pay", "0.5"]);
    assert_eq!((alice.mine(with_bob), alice.mine(with_carol)), (thd("9"), thd("16.5")));
    assert_eq!((bob.mine(with_bob), carol.mine(with_carol)), (thd("1"), thd("3.5")));
    // One closes, the other goes on.
    alice.ok(&["closechannel", "--peer", &bob.peer_id(), "--cooperative"]);
    bob.wait_state(with_bob, "CLOSED");
    alice.ok(&["pay", "1"]);
    assert_eq!(carol.mine(with_carol), thd("4.5"));
    let history = alice.ok(&["history", "--channel", &with_bob.to_string()]);
    assert_eq!(history["payments"].as_array().unwrap().len(), 1);
}

#[test]
fn a_second_channel_between_the_same_two_and_a_third_after_closing() {
    let world = World::new();
    let (alice, bob, first) = world.channel();
    let second = address(&bob.ok(&["openchannel", "5"])["channel"]);
    assert_ne!(first, second);
    alice.wait_usable(second);
    alice.ok(&["pay", "1", "--channel", &first.to_string()]);
    bob.ok(&["pay", "2", "--channel", &second.to_string()]);
    assert_eq!((alice.mine(first), alice.mine(second)), (thd("9"), thd("2")));
    assert_eq!((&alice.channel(second)["role"], &bob.channel(second)["role"]), (&"B".into(), &"A".into()));
    alice.ok(&["closechannel", "--channel", &first.to_string(), "--cooperative"]);
    let third = address(&alice.ok(&["openchannel", "10"])["channel"]);
    assert!(third != first && third != second, "a fresh salt, a fresh address");
}

#[test]
fn a_wallet_can_only_be_used_by_one_side() {
    let world = World::new();
    let (alice, twin) = (world.user(1), world.user(1));
    let refused = alice.refused(&["connect", &twin.address()], 1, "peer_refused");
    assert!(refused["message"].as_str().unwrap().contains("same wallet"));
}
