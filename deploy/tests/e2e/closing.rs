//! `closechannel`: alone, on a proposal, together, and what is refused.

use super::harness::*;

#[test]
fn a_channel_without_payments_closes_on_what_was_paid_in() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    let closing = bob.ok(&["closechannel"]);
    assert_eq!((&closing["mode"], &closing["nonce"]), (&"unilateral".into(), &0.into()));
    world.mine(24);
    wait_for("withdraw is possible", || bob.channel(channel)["next_text"] == "withdraw possible now");
    assert_eq!(bob.ok(&["withdraw"])["received"], "0");
    alice.wait_state(channel, "CLOSED");
    assert_eq!(alice.purse(), thd("100"));
}

#[test]
fn together_the_money_comes_at_once() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("3");
    let closed = alice.ok(&["closechannel", "--cooperative"]);
    assert_eq!(
        (&closed["mode"], &closed["withdrawable_at"]),
        (&"cooperative".into(), &serde_json::Value::Null)
    );
    bob.wait_state(channel, "CLOSED");
    assert_eq!((alice.purse(), bob.purse()), (thd("97"), thd("103")));
    alice.refused(&["pay", "1"], 1, "wrong_state");
    assert_eq!(alice.ok(&["withdraw"])["received"], "7", "says what was received");
    assert!(alice.history().iter().chain(&bob.history()).all(|payment| payment["status"] == "done"));
}

#[test]
fn together_needs_the_other_side_and_falls_back_only_if_told_to() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    alice.pay("3");
    bob.kill();
    wait_for("alice notices", || alice.channel(channel)["peer"].is_null());
    alice.refused(&["closechannel", "--cooperative"], 5, "peer_not_connected");
    assert_eq!(alice.channel(channel)["state"], "ACTIVE", "nothing was done");
    let closing = alice.ok(&["closechannel", "--cooperative", "--fallback"]);
    assert_eq!(closing["mode"], "unilateral");
}

#[cfg(unix)]
#[test]
fn an_unanswered_payment_is_closed_on_as_a_proposal_and_the_other_side_accepts_it_for_the_record() {
    use rustix::process::Signal;
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    bob.signal(Signal::STOP);
    alice.refused(&["--timeout", "1", "pay", "2", "--id", "hostage"], 6, "timeout");
    let closing = alice.ok(&["closechannel"]);
    assert_eq!((&closing["mode"], &closing["nonce"]), (&"proposal".into(), &3.into()));
    alice.refused(&["pay", "2", "--id", "hostage"], 6, "payment_undecided");
    bob.signal(Signal::CONT);
    bob.wait_state(channel, "CLOSING");
    world.mine(24);
    wait_for("withdraw is possible", || alice.channel(channel)["next_text"] == "withdraw possible now");
    assert_eq!(alice.ok(&["withdraw"])["received"], "7");
    bob.wait_state(channel, "CLOSED");
    assert_eq!(bob.purse(), thd("103"));
    assert_eq!(alice.ok(&["pay", "2", "--id", "hostage"])["nonce"], 3, "in, the chain has decided");
    let statuses = |node: &Node| {
        node.history().iter().map(|p| (p["amount"].clone(), p["status"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&alice), statuses(&bob));
}

#[test]
fn closing_twice_and_withdrawing_from_nothing_are_refused() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.refused(&["withdraw"], 1, "wrong_state");
    alice.refused(&["challenge"], 1, "nothing_to_challenge");
    alice.ok(&["closechannel"]);
    alice.refused(&["closechannel"], 1, "wrong_state");
    bob.wait_state(channel, "CLOSING");
    bob.refused(&["closechannel"], 1, "wrong_state");
    bob.refused(&["challenge"], 1, "nothing_to_challenge");
    alice.refused(&["challenge"], 1, "nothing_to_challenge");
}

#[test]
fn receipts_are_what_the_contract_takes() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("2.5");
    let receipts = bob.ok(&["receipts"]);
    assert_eq!(
        (&receipts["channel"], &receipts["chain_id"], &receipts["role"]),
        (&channel.to_string().into(), &31337.into(), &"B".into())
    );
    let agreed = &receipts["agreed"];
    assert_eq!((&agreed["nonce"], &agreed["balance_a"]), (&1.into(), &"7500000000000000000".into()));
    assert_eq!(agreed["signature_a"].as_str().unwrap().len(), 132);
    // The contract computes the same digest.
    let word = |value: u128| format!("{value:064x}");
    let units = |text: &serde_json::Value| text.as_str().unwrap().parse::<u128>().unwrap();
    let data = format!(
        "0x{}{}{}{}",
        selector("digest(uint256,uint256,uint256)"),
        word(1),
        word(units(&agreed["balance_a"])),
        word(units(&agreed["balance_b"]))
    );
    let digest =
        world.rpc("eth_call", serde_json::json!([{ "to": channel.to_string(), "data": data }, "latest"]));
    assert_eq!(digest, agreed["digest"]);
    let file = bob.data.path().join("receipts.json");
    let file = file.to_str().unwrap();
    bob.screen(&["receipts", "--output", file]);
    assert!(std::fs::read_to_string(file).unwrap().contains("signature_a"));

    // With another channel it is refused, before --yes would be asked for.
    let other = alice.ok(&["openchannel", "5"])["channel"].as_str().unwrap().to_owned();
    bob.wait_usable(address(&serde_json::json!(other)));
    for yes in [&[][..], &["--yes"]] {
        let command = [&["closechannel", "--channel", &other, "--receipt", file], yes].concat();
        let refused = bob.refused(&command, 1, "invalid_receipt");
        assert!(refused["message"].as_str().unwrap().contains("not a receipt of channel"), "{refused}");
    }
}

fn selector(signature: &str) -> String {
    thunder_protocol::hex::encode(&alloy_primitives::keccak256(signature)[..4])
}
