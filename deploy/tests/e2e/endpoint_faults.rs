//! An RPC endpoint that is down, slow, stale, short-winded, or says what is not so.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::endpoint::{Endpoint, Fate};
use super::harness::*;

/// Alice and Bob with a channel; Bob reaches the chain through an endpoint that obeys the test.
fn bob_behind_an_endpoint(world: &World) -> (Node, Node, thunder_protocol::Address, Endpoint) {
    let (alice, mut bob, channel) = world.channel();
    let entry = Endpoint::of(world);
    bob.kill();
    bob.rpc = entry.url();
    bob.start();
    bob.wait_connected(&alice);
    bob.wait_usable(channel);
    alice.wait_usable(channel);
    (alice, bob, channel, entry)
}

/// A node hears of new blocks late, as one does that asks its chain now and then only.
fn hears_late(entry: &Endpoint) {
    entry.set(|method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => Fate::HeldBack(Duration::from_millis(700)),
        _ => Fate::Pass,
    });
}

fn old_receipt(alice: &Node) -> String {
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    old
}

fn warns(node: &Node, text: &str) -> bool {
    let infos = node.infos();
    infos["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(text))
}

fn wait_read(world: &World, node: &Node) {
    let head = world.head();
    wait_for("the node has read the chain", || {
        let chain = &node.infos()["chain"];
        chain["connected"] == true && chain["block"].as_u64() >= Some(head)
    });
}

#[test]
fn who_has_heard_from_the_other_side_what_the_chain_has_need_not_wait_for_the_own_node() {
    let world = World::new();
    let (alice, mut bob) = (world.user(1), world.user(2));
    let entry = Endpoint::of(&world);
    bob.kill();
    bob.rpc = entry.url();
    bob.start();
    alice.connect(&bob);
    hears_late(&entry);
    // As soon as Alice has the channel Bob knows of it from her.
    let opened = alice.ok(&["openchannel", "4", "--deposit", "1"]);
    let funded = bob.ok(&["fund"]);
    assert_eq!((&funded["channel"], &funded["state"]), (&opened["channel"], &"ACTIVE".into()));
    entry.behave();
    bob.wait_usable(address(&opened["channel"]));
    alice.wait_usable(address(&opened["channel"]));
    alice.ok(&["closechannel", "--cooperative"]);
    bob.wait_state(address(&opened["channel"]), "CLOSED");

    // Bob pays as soon as Alice has paid in.
    let opened = bob.ok(&["openchannel", "4", "--deposit", "2"]);
    alice.wait_state(address(&opened["channel"]), "EMPTY");
    hears_late(&entry);
    alice.ok(&["fund"]);
    let paid = bob.pay("1");
    assert_eq!((&paid["channel"], &paid["mine"]), (&opened["channel"], &"1".into()));
    entry.behave();
    bob.ok(&["closechannel", "--cooperative"]);
    alice.wait_state(address(&opened["channel"]), "CLOSED");

    // Alice pays as soon as she has the channel, and Bob's node takes it.
    hears_late(&entry);
    let opened = alice.ok(&["openchannel", "4"]);
    let paid = alice.pay("1");
    assert_eq!((&paid["channel"], &paid["mine"]), (&opened["channel"], &"3".into()));
}

/// Else whoever pays in a loop would use up what the endpoint allows just when the partner closes.
#[test]
fn payments_that_come_too_late_ask_the_chain_for_nothing() {
    const PAYMENTS: usize = 30;
    let world = World::new();
    let (alice, bob, channel, entry) = bob_behind_an_endpoint(&world);
    alice.ok(&["closechannel"]);
    bob.wait_state(channel, "CLOSING");
    // What is asked by itself waits for its answer, so that it does not come often.
    let hang = || {
        entry.set(|_, _| Fate::HeldBack(Duration::from_secs(60)));
        entry.forget();
    };
    let all_refused = |code| {
        for _ in 0..PAYMENTS {
            bob.refused(&["pay", "1"], 1, code);
        }
        assert!(entry.count("eth_getBlockByNumber") < PAYMENTS);
    };
    hang();
    all_refused("channel_closing");
    entry.behave();
    world.mine(24);
    alice.ok(&["withdraw"]);
    bob.wait_state(channel, "CLOSED");
    hang();
    all_refused("wrong_state");
}

#[test]
fn an_endpoint_that_goes_down_at_the_moment_of_sending_costs_nothing_in_open_close_and_withdraw() {
    let world = World::new();
    let (mut alice, bob) = (world.user(1), world.user(2));
    let entry = Endpoint::of(&world);
    alice.kill();
    alice.rpc = entry.url();
    alice.start();
    alice.connect(&bob);
    // The chain gets the transaction, and the node never hears that; then nobody is there.
    let interrupted = |arguments: &[&str]| {
        entry.forget();
        entry.set(|method, _| if method == "eth_sendRawTransaction" { Fate::Drop } else { Fate::Pass });
        let mut asking =
            alice.cli().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("it is sent", || entry.count("eth_sendRawTransaction") > 0);
        entry.go_down();
        wait_for("the node says so", || warns(&alice, "can't be reached"));
        entry.behave();
        assert!(asking.wait().unwrap().success(), "{arguments:?}\n{}", alice.log());
    };
    interrupted(&["openchannel", "10"]);
    let channel = address(&alice.infos()["channels"][0]["channel"]);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    alice.pay("1");
    interrupted(&["closechannel"]);
    world.mine(24);
    wait_for("withdraw is possible", || alice.channel(channel)["next_text"] == "withdraw possible now");
    interrupted(&["withdraw"]);
    assert_eq!((alice.purse(), bob.purse()), (thd("99"), thd("101")));
}

#[test]
fn a_closing_whose_user_has_given_up_while_the_endpoint_hung_is_made_all_the_same() {
    let world = World::new();
    let (_alice, bob, channel, entry) = bob_behind_an_endpoint(&world);
    entry.set(|method, _| if method.starts_with("eth_get") { Fate::Hang } else { Fate::Pass });
    bob.refused(&["--timeout", "1", "closechannel"], 6, "timeout");
    entry.behave();
    bob.wait_state(channel, "CLOSING");
}

#[test]
fn a_challenge_gets_through_an_endpoint_that_fails_limits_forgets_and_is_slow() {
    let world = World::new();
    let (alice, bob, channel, entry) = bob_behind_an_endpoint(&world);
    let old = old_receipt(&alice);
    entry.go_down();
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    wait_for("bob can't reach the chain", || warns(&bob, "can't be reached"));
    // Back, and too busy to take a transaction; and what is mined it does not show.
    entry.forget();
    entry.set(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Error("rate limit exceeded"),
        _ => Fate::Pass,
    });
    wait_for("the challenge is tried", || entry.count("eth_sendRawTransaction") > 0);
    entry.set(|method, _| match method {
        "eth_getTransactionReceipt" => Fate::Answer(Value::Null),
        _ => Fate::Late(Duration::from_millis(250)),
    });
    world.mine(1);
    wait_for("bob has won", || world.thd_of(bob.wallet()) == thd("110"));
    bob.wait_state(channel, "CLOSED");
    entry.behave();
    wait_read(&world, &bob);
}

#[test]
fn blocks_full_of_events_that_the_endpoint_does_not_give_do_not_blind_a_node() {
    // Whoever asks for the events of all contracts gets none, however few blocks it asks for.
    wins_although(|method, params| match method {
        "eth_getLogs" if params[0]["address"].is_null() => {
            Fate::Error("query returned more than 10000 results")
        }
        _ => Fate::Pass,
    });
}

#[test]
fn an_endpoint_that_hides_the_events_of_a_closing_delays_no_challenge() {
    wins_although(|method, _| if method == "eth_getLogs" { Fate::Answer(json!([])) } else { Fate::Pass });
}

/// Not every endpoint runs code that is nowhere deployed; then each channel is asked by itself.
#[test]
fn nor_does_one_that_does_not_answer_for_many_channels_at_once_either() {
    wins_although(|method, params| match method {
        "eth_getLogs" => Fate::Answer(json!([])),
        "eth_call" if asks_for_many(params) => Fate::Error("contract creation is not supported"),
        _ => Fate::Pass,
    });
}

fn asks_for_many(params: &Value) -> bool {
    params[0]["to"].is_null()
}

fn wins_although(rule: fn(&str, &Value) -> Fate) {
    let world = World::new();
    let (alice, bob, channel, entry) = bob_behind_an_endpoint(&world);
    let old = old_receipt(&alice);
    entry.set(rule);
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    bob.wait_state(channel, "CLOSED");
    assert_eq!(world.thd_of(bob.wallet()), thd("110"));
    entry.behave();
    world.mine(1);
    wait_read(&world, &bob);
    assert!(!bob.log().contains("MONEY AT RISK"), "{}", bob.log());
}

#[test]
fn all_channels_are_asked_for_their_states_in_one_call() {
    let world = World::new();
    let (alice, bob, _, entry) = bob_behind_an_endpoint(&world);
    for _ in 0..3 {
        let another = address(&alice.ok(&["openchannel", "1"])["channel"]);
        bob.wait_usable(another);
    }
    wait_read(&world, &bob);
    entry.forget();
    let (counted, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (all, one) = (counted.clone(), asked.clone());
    entry.set(move |method, params| {
        if method == "eth_call" {
            let counter = if asks_for_many(params) { &all } else { &one };
            counter.fetch_add(1, Ordering::SeqCst);
        }
        Fate::Pass
    });
    world.mine(6);
    wait_for("they are asked", || counted.load(Ordering::SeqCst) > 0);
    wait_read(&world, &bob);
    assert_eq!((counted.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (1, 0));
}

#[test]
fn a_channel_whose_events_are_hidden_and_every_other_are_challenged() {
    let world = World::new();
    let (alice, bob, hidden, entry) = bob_behind_an_endpoint(&world);
    let first = old_receipt(&alice);
    let shown = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(shown);
    alice.wait_usable(shown);
    let name = shown.to_string();
    alice.ok(&["pay", "1", "--channel", &name]);
    let exported = alice.ok(&["receipts", "--channel", &name]);
    let second = write(alice.data.path(), "second.json", &exported.to_string());
    alice.ok(&["pay", "5", "--channel", &name]);
    let missing = hidden.to_string().to_lowercase();
    entry.set(move |method, _| match method {
        "eth_getLogs" => Fate::Without(missing.clone()),
        _ => Fate::Pass,
    });
    alice.ok(&["closechannel", "--channel", &hidden.to_string(), "--receipt", &first, "--yes"]);
    bob.wait_state(hidden, "CLOSED");
    assert_eq!(world.thd_of(bob.wallet()), thd("110"));
    alice.ok(&["closechannel", "--channel", &name, "--receipt", &second, "--yes"]);
    bob.wait_state(shown, "CLOSED");
    assert_eq!(world.thd_of(bob.wallet()), thd("120"));
}

#[test]
fn a_head_that_goes_back_and_hashes_that_change_lose_nothing() {
    let world = World::new();
    let (alice, bob, channel, entry) = bob_behind_an_endpoint(&world);
    alice.pay("1");
    world.mine(3);
    wait_read(&world, &bob);
    let stale = world.rpc("eth_getBlockByNumber", json!([format!("{:#x}", world.head() - 2), false]));
    // A machine behind the endpoint that is behind the others.
    let shown = stale.clone();
    entry.forget();
    entry.set(move |method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => Fate::Answer(shown.clone()),
        _ => Fate::Pass,
    });
    wait_for("it was asked", || entry.count("eth_getBlockByNumber") > 3);
    assert_eq!(bob.channel(channel)["state"], "ACTIVE");
    // The newest block has another hash each time it is asked for by number.
    entry.set(|method, params| match method {
        "eth_getBlockByNumber" if params[0] != "latest" && params[0] != "0x0" => Fate::change(|mut block| {
            block["hash"] = json!(format!("{:#066x}", 7));
            block
        }),
        _ => Fate::Pass,
    });
    alice.ok(&["closechannel"]);
    bob.wait_state(channel, "CLOSING");
    entry.behave();
    world.mine(24);
    wait_for("withdraw is possible", || bob.channel(channel)["next_text"] == "withdraw possible now");
    assert_eq!(bob.ok(&["withdraw"])["received"], "1");
}

#[test]
fn a_chain_with_another_id_is_another_chain_and_the_channels_wait_until_it_is_back() {
    let world = World::new();
    let (alice, mut bob, channel, entry) = bob_behind_an_endpoint(&world);
    let old = old_receipt(&alice);
    bob.kill();
    // A fork: the same blocks, and another id.
    entry.set(|method, _| if method == "eth_chainId" { Fate::Answer(json!("0x539")) } else { Fate::Pass });
    bob.start();
    wait_for("bob follows it", || bob.infos()["chain"]["chain_id"] == 1337);
    assert!(bob.channel(channel).is_null());
    wait_for("bob says so", || warns(&bob, "1 channel belongs to another chain"));
    bob.wait_logged("the chain is another one: 1337 instead of 31337");
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    wait_read(&world, &bob);
    assert!(entry.sent().is_empty(), "nothing is signed for it");
    bob.kill();
    entry.behave();
    bob.start();
    bob.wait_state(channel, "CLOSED");
    assert_eq!(world.thd_of(bob.wallet()), thd("110"));
}
