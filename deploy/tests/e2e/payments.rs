//! `pay`: crossing proposals, repeated ids (rule 6), exact amounts, and a partner that is not there.

use std::collections::BTreeSet;

use thunder_protocol::Address;

use super::harness::*;

#[test]
fn crossing_under_load_loses_nothing_and_both_sides_agree() {
    const EACH: usize = 24;
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("5");
    std::thread::scope(|scope| {
        for node in [&alice, &bob] {
            for worker in 0..4 {
                scope.spawn(move || {
                    for number in 0..EACH / 4 {
                        node.ok(&["pay", "0.01", "--id", &format!("load-{worker}-{number}")]);
                    }
                });
            }
        }
    });
    wait_for("both agree", || alice.channel(channel)["nonce"] == bob.channel(channel)["nonce"]);
    assert_eq!((alice.mine(channel), bob.mine(channel)), (thd("5"), thd("5")));
    let ids = |node: &Node, direction: &str| {
        let history = node.history();
        let wanted = history.iter().filter(|payment| payment["direction"] == direction);
        let ids: BTreeSet<_> =
            wanted.clone().map(|payment| payment["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), wanted.count(), "no payment twice");
        ids
    };
    assert_eq!(ids(&alice, "out"), ids(&bob, "in"));
    assert_eq!(ids(&alice, "in"), ids(&bob, "out"));
    assert_eq!((ids(&alice, "out").len(), ids(&bob, "out").len()), (EACH + 1, EACH));
}

#[test]
fn a_payment_with_the_same_id_is_made_once() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    let first = alice.ok(&["pay", "1", "--id", "order-7"]);
    let again = alice.ok(&["pay", "1", "--id", "order-7"]);
    assert_eq!(
        (&first["id"], &first["nonce"], &first["mine"]),
        (&again["id"], &again["nonce"], &again["mine"])
    );
    assert_eq!(bob.mine(channel), thd("1"));
    alice.refused(&["pay", "2", "--id", "order-7"], 1, "id_in_use");
    // The other side's payment with the same id is another one.
    bob.ok(&["pay", "0.5", "--id", "order-7"]);
    assert_eq!(bob.mine(channel), thd("0.5"));
    alice.refused(&["pay", "1", "--id", "two words"], 2, "usage");
}

#[test]
fn amounts_are_exact_to_eighteen_places() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("0.000000000000000001");
    assert_eq!(alice.channel(channel)["mine"], "9.999999999999999999");
    alice.pay("9.999999999999999999");
    assert_eq!(bob.channel(channel)["mine"], "10");
    alice.refused(&["pay", "0.000000000000000001"], 1, "insufficient_balance");
}

#[test]
fn offline_nothing_is_paid_and_it_goes_on_when_the_other_side_is_back() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    alice.pay("1");
    bob.kill();
    wait_for("alice notices", || {
        !alice.infos()["peers"].as_array().unwrap().iter().any(|peer| !peer["wallet"].is_null())
    });
    let refused = alice.refused(&["pay", "1"], 5, "peer_not_connected");
    assert!(refused["hint"].as_str().unwrap().contains("nothing was paid"));
    assert_eq!(alice.channel(channel)["mine"], "9");
    bob.start();
    alice.wait_connected(&bob);
    alice.wait_usable(channel);
    alice.pay("1");
    assert_eq!(bob.mine(channel), thd("2"));
}

#[cfg(unix)]
#[test]
fn an_answer_that_does_not_come_is_an_unknown_outcome_and_settles_later() {
    use rustix::process::Signal;
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    bob.signal(Signal::STOP);
    let unknown = alice.refused(&["--timeout", "1", "pay", "1", "--id", "slow"], 6, "timeout");
    assert!(unknown["hint"].as_str().unwrap().contains("slow"), "{unknown}");
    assert_eq!(alice.channel(channel)["pending"], "1");
    bob.signal(Signal::CONT);
    let paid = alice.ok(&["pay", "1", "--id", "slow"]);
    assert_eq!((&paid["mine"], &paid["theirs"]), (&"9".into(), &"1".into()));
}

/// Two channels of 10 THD between the same two users, both paid in by the first.
fn two_channels(world: &World) -> (Node, Node, [Address; 2]) {
    let (alice, bob, first) = world.channel();
    let second = address(&alice.ok(&["openchannel", "10"])["channel"]);
    for node in [&alice, &bob] {
        node.wait_usable(first);
        node.wait_usable(second);
    }
    (alice, bob, [first, second])
}

#[test]
fn rule_6_an_id_stays_one_payment_whatever_became_of_its_channel() {
    let world = World::new();
    let (mut alice, mut bob, first) = world.channel();
    let pay = ["pay", "1", "--id", "rent", "--memo", "june"];
    let paid = alice.ok(&pay);
    alice.ok(&["closechannel", "--cooperative"]);
    alice.wait_state(first, "CLOSED");
    assert_eq!(alice.ok(&pay), paid, "no channel is left");
    let second = address(&alice.ok(&["openchannel", "10"])["channel"]);
    alice.wait_usable(second);
    let is_unchanged = |alice: &Node, what: &str| {
        for selector in [&[][..], &["--channel", &second.to_string()], &["--peer", &bob.wallet().to_string()]]
        {
            assert_eq!(alice.ok(&[&pay[..], selector].concat()), paid, "{what}: {selector:?}");
        }
        assert_eq!(alice.mine(second), thd("10"), "{what}");
    };
    is_unchanged(&alice, "another channel is open");
    alice.crash();
    is_unchanged(&alice, "after a crash");
    for other in [
        &["pay", "2", "--id", "rent", "--memo", "june"][..],
        &["pay", "1", "--id", "rent", "--memo", "july"],
        &["pay", "1", "--id", "rent"],
        &["pay", "1", "--id", "rent", "--memo", "june", "--peer", &alice.wallet().to_string()],
    ] {
        alice.refused(other, 1, "id_in_use");
    }
    // The ids of the other side are its own.
    alice.wait_usable(second);
    alice.ok(&["pay", "3"]);
    bob.ok(&["pay", "1", "--id", "rent", "--memo", "june"]);
    assert_eq!(alice.mine(second), thd("8"));
    let peer_id = bob.peer_id();
    bob.kill();
    wait_for("alice notices", || alice.channel(second)["peer"].is_null());
    assert_eq!(alice.ok(&pay), paid, "nobody is connected");
    assert_eq!(alice.ok(&[&pay[..], &["--peer", &peer_id]].concat()), paid, "nobody is connected");
}

#[test]
fn rule_6_an_id_names_one_payment_over_whatever_channels_it_is_ordered() {
    let world = World::new();
    let (alice, bob, [first, second]) = two_channels(&world);
    let paid = alice.ok(&["pay", "1", "--id", "rent", "--channel", &first.to_string()]);
    assert_eq!(alice.ok(&["pay", "1", "--id", "rent", "--channel", &second.to_string()]), paid);
    assert_eq!(alice.ok(&["pay", "1", "--id", "rent"]), paid, "which channel is not asked for");
    // To somebody else it is another payment.
    let carol = world.user(3);
    alice.connect(&carol);
    let third = address(&alice.ok(&["openchannel", "10", "--peer", &carol.peer_id()])["channel"]);
    alice.wait_usable(third);
    for payee in
        [["--channel", &third.to_string()], ["--peer", &carol.peer_id()], ["--peer", "12D3KooWNobody"]]
    {
        let refused = alice.refused(&[&["pay", "1", "--id", "rent"][..], &payee].concat(), 1, "id_in_use");
        assert!(refused["message"].as_str().unwrap().contains(&bob.wallet().to_string()), "{refused}");
    }
    let mine = [first, second, third].map(|channel| alice.mine(channel));
    assert_eq!(mine, [thd("9"), thd("10"), thd("10")]);
}

#[cfg(unix)]
#[test]
fn rule_6_a_payment_that_waits_in_one_channel_is_not_made_over_another() {
    use rustix::process::Signal;
    let world = World::new();
    let (mut alice, bob, channels) = two_channels(&world);
    let over = |alice: &Node, channel: Address, id: &str| {
        let pay = ["--timeout", "2", "pay", "1", "--id", id, "--channel", &channel.to_string()];
        alice.refused(&pay, 6, "timeout");
    };
    bob.signal(Signal::STOP);
    over(&alice, channels[0], "proposed");
    // This one is on no disk yet: it waits for the answer to the other.
    over(&alice, channels[0], "queued");
    over(&alice, channels[1], "queued");
    over(&alice, channels[1], "proposed");
    let shown = |alice: &Node| channels.map(|channel| alice.channel(channel)["pending"].clone());
    assert_eq!(shown(&alice), ["2", "0"]);
    bob.signal(Signal::CONT);
    for id in ["proposed", "queued"] {
        let paid = alice.ok(&["pay", "1", "--id", id]);
        assert_eq!(paid["channel"], channels[0].to_string());
    }
    assert_eq!(channels.map(|channel| alice.mine(channel)), [thd("8"), thd("10")]);

    // What was proposed is known after a crash, too.
    bob.signal(Signal::STOP);
    over(&alice, channels[0], "crashed");
    alice.crash();
    for selector in [&[][..], &["--channel", &channels[1].to_string()]] {
        let pay = [&["pay", "1", "--id", "crashed"], selector].concat();
        alice.refused(&pay, 6, "payment_undecided");
    }
    bob.signal(Signal::CONT);
    channels.iter().for_each(|channel| alice.wait_usable(*channel));
    assert_eq!(alice.ok(&["pay", "1", "--id", "crashed"])["channel"], channels[0].to_string());
    assert_eq!(channels.map(|channel| bob.mine(channel)), [thd("3"), thd("0")]);
}

#[cfg(unix)]
#[test]
fn rule_6_a_payment_that_its_channel_closed_without_is_not_made_over_another() {
    use rustix::process::Signal;
    let world = World::new();
    let (mut alice, mut bob, channels) = two_channels(&world);
    let refused = |alice: &Node, channel: Address, exit: i32, code: &str| {
        let pay = ["--timeout", "2", "pay", "1", "--id", "rent", "--channel", &channel.to_string()];
        alice.refused(if code == "timeout" { &pay } else { &pay[2..] }, exit, code);
    };
    bob.signal(Signal::STOP);
    refused(&alice, channels[0], 6, "timeout");
    // Neither has heard of the other since: the closing leaves the payment out.
    bob.kill();
    alice.kill();
    bob.start();
    bob.ok(&["closechannel", "--channel", &channels[0].to_string()]);
    alice.start();
    alice.wait_state(channels[0], "CLOSING");
    alice.wait_usable(channels[1]);
    for channel in channels {
        refused(&alice, channel, 6, "payment_undecided");
    }
    world.mine(24);
    alice.ok(&["withdraw", "--channel", &channels[0].to_string()]);
    alice.wait_state(channels[0], "CLOSED");
    for channel in channels {
        refused(&alice, channel, 1, "payment_failed");
    }
    assert_eq!(alice.mine(channels[1]), thd("10"));
    let history = alice.history();
    assert_eq!((&history[0]["id"], &history[0]["status"]), (&"rent".into(), &"failed".into()));
}
