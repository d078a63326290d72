//! `thunderd --accept` and `--accept-min`: which channels of others are agreed to.

use super::harness::*;

/// Why the other node has refused to open a channel.
fn refusal(node: &Node, command: &[&str]) -> (String, String) {
    let refused = node.refused(command, 1, "peer_refused");
    let text = |name: &str| refused[name].as_str().unwrap().to_owned();
    (text("message"), text("hint"))
}

#[test]
fn by_default_anybody_opens_a_channel_that_holds_1_thd_or_more() {
    let world = World::new();
    let (alice, bob) = world.pair();
    for amount in ["0.000000000000000001", "0.999999999999999999"] {
        let (message, hint) = refusal(&alice, &["openchannel", amount]);
        assert!(message.contains("at least 1 THD") && hint.contains("openchannel 1"), "{message}: {hint}");
    }
    assert_eq!(alice.purse(), thd("100"), "nothing was paid in");
    assert!(bob.infos()["channels"].as_array().unwrap().is_empty());
    alice.ok(&["openchannel", "1"]);
}

#[test]
fn with_none_only_the_user_opens_channels() {
    let world = World::new();
    let (alice, bob) = (world.user(1), world.user_with(2, &["--accept", "none"]));
    alice.connect(&bob);
    let (message, hint) = refusal(&alice, &["openchannel"]);
    assert!(message.contains("no channels that others open"), "{message}");
    assert!(hint.contains(" fund"), "{hint}");
    world.give_thd(bob.wallet(), "20");
    let channel = address(&bob.ok(&["openchannel", "10"])["channel"]);
    alice.wait_usable(channel);
    bob.ok(&["pay", "1"]);
    refusal(&alice, &["openchannel"]);
}

#[test]
fn with_known_only_those_open_channels_whom_the_user_has_asked_for_or_had_a_channel_with() {
    let world = World::new();
    let (alice, carol) = (world.user(1), world.user(3));
    let mut bob = world.user_with(2, &["--accept", "known", "--accept-min", "2"]);
    alice.connect(&bob);
    carol.connect(&bob);
    let (message, hint) = refusal(&alice, &["openchannel", "10"]);
    assert!(message.contains("only with nodes that its user has connected to"), "{message}");
    assert!(hint.contains("connect to this node first"), "{hint}");
    bob.connect(&alice);
    let (message, _) = refusal(&alice, &["openchannel", "1.5"]);
    assert!(message.contains("at least 2 THD"), "{message}");
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);
    // Who is asked for is on disk.
    bob.crash();
    alice.wait_connected(&bob);
    bob.wait_usable(channel);
    let second = address(&alice.ok(&["openchannel", "5"])["channel"]);
    bob.wait_usable(second);
    carol.wait_connected(&bob);
    refusal(&carol, &["openchannel", "10"]);
    // A channel that bob opens makes its other side known.
    world.give_thd(bob.wallet(), "20");
    let third = address(&bob.ok(&["openchannel", "5", "--peer", &carol.peer_id()])["channel"]);
    bob.ok(&["closechannel", "--channel", &third.to_string(), "--cooperative"]);
    carol.wait_state(third, "CLOSED");
    carol.ok(&["openchannel", "10"]);
}
