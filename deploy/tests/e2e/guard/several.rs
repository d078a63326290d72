//! Several endpoints (G6).

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::super::endpoint::{Endpoint, Fate};
use super::super::harness::*;
use super::{Cheat, asks_for_states};

/// What an endpoint says of one channel, another way than it is: a closing that there is, is not there.
fn hide_closings(entry: &Endpoint) {
    entry.set(|method, params| match method {
        "eth_getLogs" => Fate::Answer(json!([])),
        _ if asks_for_states(method, params) => Fate::change(open_again),
        _ => Fate::Pass,
    });
}

/// Takes phase and block of the closing from the states.
fn open_again(states: Value) -> Value {
    let bytes = states.as_str().unwrap().trim_start_matches("0x").as_bytes().chunks(64);
    let words: Vec<String> = bytes.map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
    let changed = words.iter().enumerate().map(|(index, word)| match index {
        // The block at which they were read.
        0 => word.clone(),
        // ACTIVE, without a closing's block and nonce, and with what Alice has paid in.
        _ if word.starts_with("03") || word.starts_with("04") => {
            format!("02{}{:022x}", "0".repeat(40), 10 * 10u128.pow(18))
        }
        _ => word.clone(),
    });
    json!(format!("0x{}", changed.collect::<String>()))
}

fn of(cheat: &Cheat, index: usize) -> Value {
    cheat.bob.infos()["chain"]["endpoints"][index].clone()
}

#[test]
fn g6_each_endpoint_is_shown_in_the_order_in_which_it_was_named() {
    let mut cheat = Cheat::new();
    let second = cheat.second_endpoint();
    let head = cheat.world.head();
    for (index, endpoint) in [&second, &cheat.entry].into_iter().enumerate() {
        let shown = of(&cheat, index);
        assert_eq!((&shown["rpc"], &shown["connected"]), (&json!(endpoint.url()), &json!(true)));
        assert_eq!((&shown["block"], &shown["trouble"]), (&json!(head), &Value::Null));
    }
    let screen = cheat.bob.screen(&["infos"]);
    for endpoint in [&second, &cheat.entry] {
        assert!(screen.contains(&format!("{} (connected, block {head})", endpoint.url())), "{screen}");
    }
}

#[test]
fn g6_a_closing_that_one_of_two_endpoints_hides_is_answered_all_the_same() {
    let mut cheat = Cheat::new();
    let liar = cheat.second_endpoint();
    hide_closings(&liar);
    assert!(cheat.cheat() <= 8);
    wait_for("the endpoints' contradiction is named", || {
        [0, 1].iter().any(|index| of(&cheat, *index)["trouble"].is_string()) || cheat.warns("contradict")
    });
}

#[test]
fn g6_an_endpoint_that_is_dead_hangs_or_refuses_is_passed_over_and_named() {
    for fate in [|| Fate::Drop, || Fate::Hang, || Fate::Error("out of order"), || Fate::Answer(json!([{}]))] {
        let mut cheat = Cheat::new();
        let bad = cheat.second_endpoint();
        bad.set(move |_, _| fate());
        assert!(cheat.cheat() <= 8);
        wait_for("it is named", || of(&cheat, 0)["trouble"].is_string());
        assert_eq!(of(&cheat, 1)["connected"], true);
        assert_eq!(cheat.bob.infos()["chain"]["connected"], true);
    }
}

#[test]
fn g6_a_transaction_goes_to_every_endpoint() {
    let mut cheat = Cheat::new();
    let deaf = cheat.second_endpoint();
    // It says that it has taken it, and forgets it.
    deaf.set(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Answer(json!(format!("0x{}", "7".repeat(64)))),
        _ => Fate::Pass,
    });
    cheat.entry.forget();
    assert!(cheat.cheat() <= 4);
    assert!(!cheat.entry.sent().is_empty() && deaf.count("eth_sendRawTransaction") > 0);
}

#[test]
fn g6_an_endpoint_that_lags_is_outvoted_and_named() {
    let mut cheat = Cheat::new();
    let slow = cheat.second_endpoint();
    let frozen = cheat.world.rpc("eth_getBlockByNumber", json!(["latest", false]));
    slow.set(move |method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => Fate::Answer(frozen.clone()),
        _ if asks_for_states(method, params) => Fate::Error("header not found"),
        _ => Fate::Pass,
    });
    cheat.world.mine(8);
    wait_for("the node goes on", || cheat.bob.infos()["chain"]["block"].as_u64() >= Some(cheat.world.head()));
    wait_for("it is named", || of(&cheat, 0)["trouble"].is_string());
    assert!(cheat.cheat() <= 8);
}

/// A closing of the wrong chain, a closing that there is not: nothing is challenged that is not there.
#[test]
fn g6_over_what_endpoints_contradict_each_other_about_nothing_is_signed() {
    let mut cheat = Cheat::new();
    let liar = cheat.second_endpoint();
    liar.set(|method, params| match method {
        _ if asks_for_states(method, params) => Fate::change(|states| {
            let text = states.as_str().unwrap();
            // Every channel is CLOSING, for Alice, on nothing.
            let words = text.trim_start_matches("0x").as_bytes().chunks(64).enumerate();
            let changed = words.map(|(index, word)| {
                let word = String::from_utf8(word.to_vec()).unwrap();
                let is_active = index > 0 && word.starts_with("02");
                if is_active { format!("0300000001{}", &word[10..]) } else { word }
            });
            json!(format!("0x{}", changed.collect::<String>()))
        }),
        _ => Fate::Pass,
    });
    let asked = AtomicUsize::new(0);
    wait_for("nothing is signed over it any more", || {
        cheat.world.mine(1);
        asked.fetch_add(1, Ordering::SeqCst);
        cheat.bob.channel(cheat.channel)["next_text"] != "pay, closechannel"
    });
    let answer = cheat.bob.output(&["--json", "--timeout", "3", "pay", "0.5"]);
    assert_ne!(answer.status.code(), Some(0), "{}", text(&answer.stdout));
    wait_for("who says otherwise is named", || {
        [0, 1].iter().any(|index| of(&cheat, *index)["trouble"].is_string()) || cheat.warns("contradict")
    });
    liar.behave();
    cheat.bob.wait_usable(cheat.channel);
    cheat.bob.pay("0.5");
}

#[test]
fn g6_a_contract_that_one_of_two_endpoints_shows_with_other_code_is_used_all_the_same() {
    let mut cheat = Cheat::new();
    let liar = cheat.second_endpoint();
    liar.set(|method, _| if method == "eth_getCode" { Fate::Answer(json!("0x6001")) } else { Fate::Pass });
    let another = address(&cheat.alice.ok(&["openchannel", "1"])["channel"]);
    cheat.bob.wait_usable(another);
    assert!(!cheat.bob.has_logged("not the channel that was agreed on"));
}

#[test]
fn g6_a_testnet_that_is_started_anew_is_noticed_although_another_endpoint_is_dead() {
    let mut world = World::new();
    let mut bob = world.user(2);
    let dead = thunder_deploy::ports::free().unwrap();
    bob.kill();
    bob.rpc = format!("{},127.0.0.1:{dead}", bob.rpc);
    bob.start();
    wait_for("one is reached", || bob.infos()["chain"]["connected"] == true);
    world.restart_chain();
    wait_for("the new chain is used", || {
        bob.has_logged("the chain was started anew") && bob.infos()["chain"]["connected"] == true
    });
}
