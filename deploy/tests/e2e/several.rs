//! Several nodes and several channels: which one a command means.

use thunder_protocol::Address;

use super::harness::*;

#[test]
fn two_channels_with_two_peers_at_once() {
    let world = World::new();
    let (alice, bob, carol) = (world.user(1), world.user(2), world.user(3));
    alice.connect(&bob);
    alice.connect(&carol);
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

/// Alice has asked for bob; mallory has asked for her, and has opened a channel of next to nothing.
fn with_a_stranger(world: &World) -> (Node, Node, Node, Address) {
    let (alice, bob, mallory) = (world.user_with(1, &["--accept-min", "0"]), world.user(2), world.user(3));
    alice.connect(&bob);
    mallory.connect(&alice);
    alice.wait_connected(&mallory);
    let tiny = address(&mallory.ok(&["openchannel", "0.000000000000000001"])["channel"]);
    alice.wait_usable(tiny);
    (alice, bob, mallory, tiny)
}

/// The error of a command that means nothing by itself, but could mean this channel.
fn names(node: &Node, command: &[&str], channel: Address) {
    let refused = node.refused(command, 1, "no_channel");
    let wanted = format!("--channel {channel}");
    assert!(refused["hint"].as_str().unwrap().contains(&wanted), "{command:?}: {refused}");
}

#[test]
fn by_default_commands_mean_nodes_that_were_asked_for() {
    let world = World::new();
    let (mut alice, bob, mallory, tiny) = with_a_stranger(&world);
    names(&alice, &["pay", "0.000000000000000001"], tiny);
    for command in [&["closechannel"][..], &["receipts"]] {
        names(&alice, command, tiny);
    }
    let with_bob = address(&alice.ok(&["openchannel", "20"])["channel"]);
    bob.wait_usable(with_bob);
    alice.crash();
    alice.wait_connected(&mallory);
    alice.wait_usable(with_bob);
    assert_eq!(alice.ok(&["pay", "1"])["channel"], with_bob.to_string());
    assert_eq!(alice.ok(&["receipts"])["channel"], with_bob.to_string());
    // History shows everything.
    mallory.ok(&["pay", "0.000000000000000001"]);
    assert_eq!(alice.history().len(), 2);
    assert_eq!(alice.ok(&["closechannel"])["channel"], with_bob.to_string());
    names(&alice, &["pay", "0.000000000000000001"], tiny);
    alice.refused(&["cancel"], 1, "wrong_state");
    mallory.ok(&["closechannel"]);
    alice.wait_state(tiny, "CLOSING");
    world.mine(24);
    assert_eq!(alice.ok(&["withdraw"])["channel"], with_bob.to_string());
    assert_eq!(alice.ok(&["withdraw"])["channel"], with_bob.to_string(), "again");
    // What is named is meant.
    assert_eq!(alice.ok(&["withdraw", "--peer", &mallory.peer_id()])["received"], "0.000000000000000001");
    let peers = alice.infos()["peers"].as_array().unwrap().clone();
    for (node, requested) in [(&bob, true), (&mallory, false)] {
        let peer = peers.iter().find(|peer| peer["peer_id"] == node.peer_id()).unwrap();
        assert_eq!(peer["requested"], requested, "{peer}");
    }
}

#[test]
fn without_a_node_that_was_asked_for_a_stranger_is_named_and_not_taken() {
    let world = World::new();
    let (alice, mut bob, mallory, tiny) = with_a_stranger(&world);
    bob.kill();
    wait_for("alice notices", || alice.infos()["peers"].as_array().unwrap().len() == 1);
    let refused = alice.refused(&["openchannel", "20"], 5, "peer_not_connected");
    assert!(refused["hint"].as_str().unwrap().contains("--peer"), "{refused}");
    assert_eq!(alice.purse(), thd("100"));
    // Nor does she pay into what a stranger opens, or take back what is not hers.
    let shared = address(&mallory.ok(&["openchannel", "10", "--deposit", "1"])["channel"]);
    alice.wait_state(shared, "EMPTY");
    names(&alice, &["fund"], shared);
    names(&alice, &["cancel"], shared);
    alice.ok(&["fund", "1", "--channel", &shared.to_string()]);
    alice.ok(&["cancel", "--peer", &mallory.peer_id()]);
    mallory.ok(&["closechannel", "--channel", &tiny.to_string()]);
    alice.wait_state(tiny, "CLOSING");
    world.mine(24);
    names(&alice, &["challenge"], tiny);
    names(&alice, &["withdraw"], tiny);
    alice.ok(&["openchannel", "20", "--peer", &mallory.wallet().to_string()]);
}

#[test]
fn to_connect_with_a_node_that_is_connected_already_is_to_ask_for_it() {
    let world = World::new();
    let (alice, mut bob) = world.pair();
    let requested = |node: &Node| node.infos()["peers"][0]["requested"].clone();
    assert_eq!((requested(&alice), requested(&bob)), (true.into(), false.into()));
    bob.connect(&alice);
    assert_eq!(requested(&bob), true);
    bob.crash();
    alice.wait_connected(&bob);
    assert_eq!(requested(&bob), true, "it is on disk");
}

#[test]
fn what_an_ambiguous_command_is_told_to_name_helps() {
    let world = World::new();
    let (alice, _bob, first) = world.channel();
    let second = address(&alice.ok(&["openchannel", "10"])["channel"]);
    alice.wait_usable(second);
    let hint = |command: &[&str]| {
        alice.refused(command, 1, "ambiguous_channel")["hint"].as_str().unwrap().to_owned()
    };
    for command in [&["closechannel"][..], &["receipts"], &["closechannel", "--cooperative"]] {
        let hint = hint(command);
        assert!(hint.contains("--channel") && !hint.contains("--peer"), "both are with bob: {hint}");
    }
    alice.ok(&["closechannel", "--cooperative", "--channel", &first.to_string()]);
    let carol = world.user(3);
    alice.connect(&carol);
    let third = address(&alice.ok(&["openchannel", "10", "--peer", &carol.peer_id()])["channel"]);
    alice.wait_usable(third);
    for command in [&["pay", "1"][..], &["closechannel"]] {
        assert!(hint(command).contains("or its other side with --peer"), "one with each");
    }
    // A beginning that fits both names neither.
    for beginning in ["0x", "12D3KooW"] {
        alice.refused(&["pay", "1", "--peer", beginning], 1, "ambiguous_peer");
        alice.refused(&["openchannel", "--peer", beginning], 1, "ambiguous_peer");
    }
    // Nor does one of which only one has a channel to pay over.
    alice.ok(&["closechannel", "--channel", &third.to_string(), "--cooperative"]);
    for beginning in ["0x", "12D3KooW", ""] {
        let output = alice.output(&["pay", "1", "--peer", beginning]);
        assert!(!output.status.success(), "{beginning:?}: {}", text(&output.stdout));
    }
    assert_eq!(alice.mine(second), thd("10"));
}

#[test]
fn pay_takes_the_channel_with_its_peer_that_can_pay_and_has_the_most() {
    let world = World::new();
    let (alice, bob, small) = world.channel();
    let large = address(&alice.ok(&["openchannel", "20"])["channel"]);
    alice.wait_usable(large);
    bob.wait_usable(large);
    let pay = |amount: &str, more: &[&str]| address(&alice.ok(&[&["pay", amount], more].concat())["channel"]);
    assert_eq!(pay("12", &[]), large, "20 and 10");
    assert_eq!(pay("9", &["--peer", &bob.peer_id()]), small, "8 and 10");
    assert_eq!(pay("0.5", &[]), large, "8 and 1");
    assert_eq!(pay("0.5", &["--channel", &small.to_string()]), small, "what is named is meant");
    let refused = alice.refused(&["pay", "7.75"], 1, "insufficient_balance");
    assert!(refused["message"].as_str().unwrap().contains("in one is 7.5 THD, in all 8 THD"), "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains("in several parts"), "{refused}");
    // Neither side of its own accord: the receiver pays back out of what it has most of.
    assert_eq!(address(&bob.ok(&["pay", "12.5"])["channel"]), large);
}

#[cfg(unix)]
#[test]
fn a_refused_command_can_be_pasted_with_the_channel_that_is_meant() {
    let world = World::new();
    let (alice, bob, first) = world.channel();
    let second = address(&alice.ok(&["openchannel", "5"])["channel"]);
    alice.wait_usable(second);
    let output = alice.output(&["closechannel", "--cooperative"]);
    let screen = text(&output.stderr);
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    assert!(screen.contains(&format!("{first}  own share 10")), "{screen}");
    let refused = alice.refused(&["closechannel", "--cooperative"], 1, "ambiguous_channel");
    assert_eq!(refused["channels"], serde_json::json!([second.to_string(), first.to_string()]));
    let (_, commands) = refused["hint"].as_str().unwrap().split_once(":\n").unwrap();
    let wanted =
        commands.split("  thunder-cli").find(|command| command.contains(&second.to_string())).unwrap();
    let wanted = wanted.replace("--json", "");
    let path = alice.cli().get_program().to_owned();
    let shell = std::process::Command::new("sh")
        .args(["-c", &format!("\"$THUNDER_CLI\" {wanted}")])
        .env("THUNDER_CLI", path)
        .envs(alice.cli().get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    assert!(shell.status.success(), "{wanted}: {}", text(&shell.stderr));
    bob.wait_state(second, "CLOSED");
    bob.wait_usable(first);
}

#[test]
fn withdraw_takes_the_channel_whose_challenge_period_is_over() {
    let world = World::new();
    let (alice, _bob, first) = world.channel();
    let second = address(&alice.ok(&["openchannel", "5"])["channel"]);
    alice.wait_usable(second);
    alice.ok(&["closechannel", "--channel", &first.to_string()]);
    world.mine(20);
    // Of two that can be closed none is closed by itself, and one that is closing is no longer meant.
    assert_eq!(alice.ok(&["closechannel"])["channel"], second.to_string());
    alice.refused(&["withdraw"], 1, "ambiguous_channel");
    world.mine(5);
    assert_eq!(alice.ok(&["withdraw"])["channel"], first.to_string());
    world.mine(20);
    assert_eq!(alice.ok(&["withdraw"])["channel"], second.to_string());
}
