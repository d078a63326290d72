//! Payments.

use std::collections::BTreeSet;

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
