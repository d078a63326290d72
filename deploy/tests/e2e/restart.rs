//! kill -9 of either node at each step of a channel's life.

use super::harness::*;

/// The whole life, with `crash` between any two steps.
fn life_with_crashes(crash: impl Fn(&mut Node, &mut Node)) {
    let world = World::new();
    let (mut alice, mut bob) = world.pair();
    let step = |alice: &mut Node, bob: &mut Node| {
        crash(alice, bob);
        alice.wait_connected(bob);
    };
    step(&mut alice, &mut bob);
    let opened = alice.ok(&["openchannel", "10", "--deposit", "7"]);
    let channel = address(&opened["channel"]);
    bob.wait_state(channel, "EMPTY");
    step(&mut alice, &mut bob);
    assert_eq!(bob.channel(channel)["state"], "EMPTY");
    bob.ok(&["fund"]);
    alice.wait_usable(channel);
    step(&mut alice, &mut bob);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    alice.ok(&["pay", "2", "--id", "one"]);
    step(&mut alice, &mut bob);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    bob.ok(&["pay", "1", "--id", "two"]);
    step(&mut alice, &mut bob);
    assert_eq!((alice.mine(channel), bob.mine(channel)), (thd("6"), thd("4")));
    assert_eq!(alice.ok(&["pay", "2", "--id", "one"])["nonce"], 1, "known after the restart");
    bob.ok(&["closechannel"]);
    alice.wait_state(channel, "CLOSING");
    step(&mut alice, &mut bob);
    assert_eq!(
        (&alice.channel(channel)["state"], &bob.channel(channel)["state"]),
        (&"CLOSING".into(), &"CLOSING".into())
    );
    world.mine(24);
    wait_for("withdraw is possible", || alice.channel(channel)["next_text"] == "withdraw possible now");
    alice.ok(&["withdraw"]);
    bob.wait_state(channel, "CLOSED");
    step(&mut alice, &mut bob);
    assert_eq!((alice.purse(), bob.purse()), (thd("99"), thd("101")));
    assert_eq!(alice.history().len(), 2);
    assert_eq!(bob.history().len(), 2);
}

#[test]
fn of_the_node_that_connected_and_opened() {
    life_with_crashes(|alice, _| alice.crash());
}

#[test]
fn of_the_other_node() {
    life_with_crashes(|_, bob| bob.crash());
}

#[test]
fn of_both_at_once() {
    life_with_crashes(|alice, bob| {
        alice.kill();
        bob.kill();
        bob.start();
        alice.start();
    });
}

#[test]
fn in_the_middle_of_payments_nothing_confirmed_is_lost_and_nothing_is_paid_twice() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    let mut confirmed = 0;
    for round in 0..4 {
        std::thread::scope(|scope| {
            let paying = scope.spawn(|| {
                let mut done = 0;
                for number in 0..200 {
                    let id = format!("r{round}-{number}");
                    match alice.output(&["--timeout", "2", "pay", "0.001", "--id", &id]).status.code() {
                        Some(0) => done += 1,
                        _ => break,
                    }
                }
                done
            });
            wait_for("payments flow", || alice.channel(channel)["nonce"].as_u64().unwrap() > (round + 1) * 6);
            bob.kill();
            confirmed += paying.join().unwrap();
        });
        bob.start();
        alice.wait_connected(&bob);
        alice.wait_usable(channel);
        bob.wait_usable(channel);
    }
    assert_eq!(alice.channel(channel)["nonce"], bob.channel(channel)["nonce"]);
    let (out, received) = (alice.history(), bob.history());
    assert_eq!(out.len(), received.len());
    assert!(out.len() >= confirmed, "{} of {confirmed} confirmed payments are there", out.len());
    let paid = 10_000 - out.len();
    assert_eq!(alice.mine(channel), thd(&format!("{}.{:03}", paid / 1000, paid % 1000)));
}

#[test]
fn a_crash_while_opening_and_while_closing_is_picked_up() {
    let world = World::new();
    let (mut alice, bob) = world.pair();
    // Blocks stand still, so that the transaction is sent and not mined.
    world.rpc("evm_setAutomine", serde_json::json!([false]));
    alice.refused(&["--timeout", "2", "openchannel", "10"], 6, "timeout");
    let channel = address(&alice.infos()["channels"][0]["channel"]);
    alice.crash();
    world.rpc("evm_setAutomine", serde_json::json!([true]));
    world.mine(1);
    alice.wait_state(channel, "ACTIVE");
    bob.wait_state(channel, "ACTIVE");
    alice.wait_usable(channel);
    alice.pay("1");
    assert_eq!(alice.purse(), thd("90"), "paid in once");

    world.rpc("evm_setAutomine", serde_json::json!([false]));
    alice.refused(&["--timeout", "2", "closechannel"], 6, "timeout");
    alice.crash();
    alice.refused(&["pay", "1"], 1, "channel_closing");
    world.rpc("evm_setAutomine", serde_json::json!([true]));
    world.mine(1);
    alice.wait_state(channel, "CLOSING");
    world.mine(24);
    wait_for("withdraw is possible", || alice.channel(channel)["next_text"] == "withdraw possible now");
    assert_eq!(alice.ok(&["withdraw"])["received"], "9");
}

#[cfg(unix)]
#[test]
fn a_stop_is_clean_and_quick_to_come_back_from() {
    use rustix::process::Signal;
    let world = World::new();
    let (mut alice, bob, channel) = world.channel();
    for signal in [Signal::INT, Signal::TERM] {
        alice.pay("1");
        alice.signal(signal);
        assert!(alice.wait_end().success());
        alice.start();
        alice.wait_connected(&bob);
        alice.wait_usable(channel);
    }
    assert_eq!(alice.mine(channel), thd("8"));
}
