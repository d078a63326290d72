//! `openchannel`, `fund` and `cancel`.

use super::harness::*;

#[test]
fn both_sides_pay_in() {
    let world = World::new();
    let (alice, bob) = world.pair();
    let opened = alice.ok(&["openchannel", "10", "--deposit", "6"]);
    assert_eq!(
        (&opened["state"], &opened["mine"], &opened["amount"]),
        (&"EMPTY".into(), &"6".into(), &"10".into())
    );
    let channel = address(&opened["channel"]);
    bob.wait_state(channel, "EMPTY");
    wait_for("bob sees what is missing", || {
        bob.channel(channel)["next_text"].as_str().unwrap().starts_with("4 THD are missing")
    });
    alice.refused(&["pay", "1"], 1, "wrong_state");
    bob.refused(&["fund", "5"], 1, "amount_out_of_range");
    let funded = bob.ok(&["fund", "1"]);
    assert_eq!((&funded["state"], &funded["mine"]), (&"EMPTY".into(), &"1".into()));
    let funded = bob.ok(&["fund"]);
    assert_eq!(
        (&funded["state"], &funded["mine"], &funded["amount"]),
        (&"ACTIVE".into(), &"4".into(), &"10".into())
    );
    alice.wait_usable(channel);
    bob.pay("4");
    assert_eq!((alice.mine(channel), bob.mine(channel)), (thd("10"), thd("0")));
    assert_eq!((alice.purse(), bob.purse()), (thd("94"), thd("96")));
}

#[test]
fn a_channel_that_never_became_active_is_cancelled() {
    let world = World::new();
    let (alice, bob) = world.pair();
    let channel = address(&alice.ok(&["openchannel", "10", "--deposit", "6"])["channel"]);
    bob.wait_state(channel, "EMPTY");
    bob.ok(&["fund", "3"]);
    wait_for("alice sees it", || alice.channel(channel)["theirs"] == "3");
    let cancelled = alice.ok(&["cancel"]);
    assert_eq!(cancelled["received"], "6");
    bob.wait_state(channel, "CLOSED");
    assert_eq!((alice.purse(), bob.purse()), (thd("100"), thd("100")));
    let again = bob.ok(&["cancel"]);
    assert_eq!((&again["received"], &again["already"]), (&"3".into(), &true.into()), "it was done already");
    assert_eq!(alice.ok(&["cancel"])["already"], true);
    alice.refused(&["closechannel"], 1, "wrong_state");
}

#[test]
fn an_active_channel_is_not_cancelled() {
    let world = World::new();
    let (alice, _bob, _) = world.channel();
    for command in ["cancel", "fund"] {
        let refused = alice.refused(&[command], 1, "wrong_state");
        assert!(refused["message"].as_str().unwrap().contains("every share is paid in"), "{refused}");
        assert!(refused["hint"].as_str().unwrap().contains(" closechannel; "), "{refused}");
    }
}

#[test]
fn an_empty_channel_without_a_deposit_is_paid_in_by_either() {
    let world = World::new();
    let (alice, bob) = world.pair();
    let channel = address(&alice.ok(&["openchannel", "4", "--deposit", "0"])["channel"]);
    bob.wait_state(channel, "EMPTY");
    bob.ok(&["fund"]);
    bob.wait_usable(channel);
    bob.pay("1");
    assert_eq!(alice.mine(channel), thd("1"));
}
