//! The whole life of a channel as a user types it.

use super::harness::*;

#[test]
fn the_opener_pays_and_the_other_side_closes() {
    let world = World::new();
    let (alice, bob) = (world.node(), world.node());

    // First load a wallet.
    let imported = alice.ok(&["importwallet", PHRASE, "--index", "1"]);
    assert_eq!(imported["address"], "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "checksummed");
    bob.ok(&["importwallet", PHRASE, "--index", "2"]);
    world.give_thd(alice.wallet(), "100");
    world.give_thd(bob.wallet(), "100");
    let balance = alice.ok(&["balance"]);
    assert_eq!(
        (&balance["total"], &balance["wallet"], &balance["channel"]),
        (&"100".into(), &"100".into(), &"0".into())
    );
    assert_ne!(balance["eth"], "0");

    // Connect to another node: both show each other.
    let peer = alice.ok(&["connect", &bob.address()]);
    assert_eq!(peer["peer_id"], bob.peer_id());
    assert!(alice.is_connected_with(&bob));
    wait_for("bob shows alice", || bob.is_connected_with(&alice));

    // Open a channel: 10 THD unless said otherwise.
    let opened = alice.ok(&["openchannel"]);
    assert_eq!(
        (&opened["amount"], &opened["mine"], &opened["state"]),
        (&"10".into(), &"10".into(), &"ACTIVE".into())
    );
    let channel = address(&opened["channel"]);
    let balance = alice.ok(&["balance"]);
    assert_eq!(
        (&balance["total"], &balance["wallet"], &balance["channel"]),
        (&"100".into(), &"90".into(), &"10".into())
    );

    // Pay.
    let paid = alice.ok(&["pay", "1.5", "--memo", "two coffees"]);
    assert_eq!((&paid["mine"], &paid["theirs"], &paid["nonce"]), (&"8.5".into(), &"1.5".into(), &1.into()));
    let paid = bob.ok(&["pay", "0.25"]);
    assert_eq!((&paid["mine"], &paid["theirs"], &paid["nonce"]), (&"1.25".into(), &"8.75".into(), &2.into()));
    let info = alice.channel(channel);
    assert_eq!(
        (&info["role"], &info["mine"], &info["nonce"], &info["pending"]),
        (&"A".into(), &"8.75".into(), &2.into(), &"0".into())
    );
    assert_eq!(info["partner"], bob.infos()["wallet"]);

    // The other side closes; it sends the newest receipt to the contract.
    let closing = bob.ok(&["closechannel"]);
    assert_eq!((&closing["mode"], &closing["nonce"]), (&"unilateral".into(), &2.into()));
    let withdrawable_at = closing["withdrawable_at"].as_u64().unwrap();
    assert_eq!(withdrawable_at, world.head() + 24);
    alice.wait_state(channel, "CLOSING");
    assert_eq!(alice.channel(channel)["withdrawable_at"], withdrawable_at);
    alice.refused(&["pay", "1"], 1, "channel_closing");

    // Withdraw after the challenge period, not before.
    let early = alice.refused(&["withdraw"], 1, "too_early");
    assert!(early["hint"].as_str().unwrap().contains("24 blocks"), "{early}");
    world.mine(24);
    wait_for("withdraw is possible", || alice.channel(channel)["next_text"] == "withdraw possible now");
    let withdrawn = alice.ok(&["withdraw"]);
    assert_eq!((&withdrawn["received"], &withdrawn["by_other"]), (&"8.75".into(), &false.into()));
    assert_eq!(withdrawn["already"], false);

    // That paid out both; the other side learns so.
    bob.wait_state(channel, "CLOSED");
    let withdrawn = bob.ok(&["withdraw"]);
    assert_eq!((&withdrawn["received"], &withdrawn["by_other"]), (&"1.25".into(), &true.into()));
    assert_eq!(withdrawn["already"], true);
    let again = alice.ok(&["withdraw"]);
    assert_eq!(
        (&again["received"], &again["by_other"]),
        (&"8.75".into(), &false.into()),
        "twice does no harm"
    );
    assert_eq!(again["already"], true);
    assert_eq!((world.thd_of(alice.wallet()), world.thd_of(bob.wallet())), (thd("98.75"), thd("101.25")));
    assert_eq!(alice.ok(&["balance"])["total"], "98.75");

    // Both have the same history.
    let of_alice: Vec<_> = alice
        .history()
        .into_iter()
        .map(|p| (p["id"].clone(), p["direction"].clone(), p["status"].clone()))
        .collect();
    assert_eq!(of_alice.len(), 2);
    for (mine, theirs) in alice.history().iter().zip(bob.history()) {
        assert_eq!(
            (&mine["id"], &mine["amount"], &mine["memo"]),
            (&theirs["id"], &theirs["amount"], &theirs["memo"])
        );
        assert_ne!(mine["direction"], theirs["direction"]);
        assert_eq!((&mine["status"], &theirs["status"]), (&"done".into(), &"done".into()));
    }
    assert_eq!(alice.history()[1]["memo"], "two coffees");
}

#[test]
fn a_person_reads_what_happens() {
    let world = World::new();
    let (alice, bob) = world.pair();
    assert!(alice.screen(&["openchannel", "10"]).contains("is ACTIVE"));
    assert!(alice.screen(&["pay", "1.5"]).contains("paid 1.5 THD"));
    let infos = alice.screen(&[]);
    for expected in ["ACTIVE", "8.5 THD", &bob.peer_id(), "pay, closechannel", &alice.wallet().to_string()] {
        assert!(infos.contains(expected), "{expected} is not in:\n{infos}");
    }
    assert_eq!(infos, alice.screen(&["infos"]), "no command means infos");
    assert!(alice.screen(&["balance"]).contains("90 THD"));
    assert!(alice.screen(&["history"]).contains("1.5 THD"));
    assert!(alice.screen(&["closechannel"]).contains("is CLOSING"));
    world.mine(24);
    wait_for("withdraw is possible", || alice.screen(&[]).contains("withdraw possible now"));
    assert!(alice.screen(&["withdraw"]).contains("8.5 THD"));
}

#[test]
fn watch_shows_payments_and_channels_as_they_come() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let world = World::new();
    let (alice, bob, _) = world.channel();
    let mut watching = bob.cli().args(["--json", "watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut events = lines.map(|line| -> serde_json::Value { serde_json::from_str(&line.unwrap()).unwrap() });
    let ready = events.next().unwrap();
    assert_eq!(ready["event"], "ready");
    alice.pay("0.01");
    let payment = events.find(|event| event["event"] == "payment").unwrap();
    assert_eq!((&payment["amount"], &payment["direction"]), (&"0.01".into(), &"in".into()));
    assert_eq!(payment["partner"], alice.wallet().to_string());
    assert!(payment["seq"].as_u64() > ready["seq"].as_u64());
    alice.ok(&["closechannel"]);
    assert!(events.any(|event| event["state"] == "CLOSING"));
    watching.kill().unwrap();
    watching.wait().unwrap();
}
