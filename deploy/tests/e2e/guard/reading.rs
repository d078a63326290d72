//! What is read, and what keeps nobody from reading it (G1, G2, G3, G8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::hex;
use serde_json::{Value, json};

use super::super::endpoint::Fate;
use super::super::harness::*;
use super::{Cheat, asks_for_states, warns};

#[test]
fn g1_events_that_are_hidden_or_refused_delay_no_challenge() {
    for fate in [|| Fate::Answer(json!([])), || Fate::Error("history has been pruned"), || Fate::Hang] {
        let cheat = Cheat::new();
        cheat.entry.set(move |method, _| if method == "eth_getLogs" { fate() } else { Fate::Pass });
        assert!(cheat.cheat() <= 4);
        cheat.entry.behave();
        cheat.bob.wait_state(cheat.channel, "CLOSED");
    }
}

#[test]
fn g1_an_endpoint_that_does_not_answer_for_many_channels_at_once_is_asked_for_each() {
    for refuse in [Fate::Error, Fate::Limit] {
        let cheat = Cheat::new();
        cheat.entry.set(move |method, params| match method {
            _ if asks_for_states(method, params) => refuse("contract creation is not supported"),
            _ => Fate::Pass,
        });
        assert!(cheat.cheat() <= 8);
    }
}

#[test]
fn g2_a_channel_that_cant_be_read_is_named_and_keeps_no_other_from_its_challenge() {
    let cheat = Cheat::new();
    let unreadable = address(&cheat.alice.ok(&["openchannel", "2"])["channel"]);
    cheat.bob.wait_usable(unreadable);
    let bad = unreadable.to_string().to_lowercase();
    let bare = bad.trim_start_matches("0x").to_owned();
    cheat.entry.set(move |method, params| {
        let question = params.to_string().to_lowercase();
        // Whatever is asked of it, together with others or alone.
        match method {
            "eth_call" | "eth_getLogs" | "eth_getStorageAt" | "eth_getCode" if question.contains(&bare) => {
                Fate::Error("missing trie node")
            }
            _ => Fate::Pass,
        }
    });
    cheat.cheat();
    wait_for("it is named", || {
        cheat.bob.channel(unreadable)["next_text"].as_str().unwrap().contains("missing trie node")
            || warns(&cheat.bob, &unreadable.to_string())
    });
    cheat.world.rpc("evm_setAutomine", json!([true]));
    let name = unreadable.to_string();
    cheat.bob.refused(&["pay", "1", "--channel", &name], 4, "chain_unreachable");
    cheat.entry.behave();
    wait_for("it is read again", || !warns(&cheat.bob, &name));
}

/// The endpoint shows the channel paid out, long enough for that to be deep in the chain.
#[test]
fn g2_an_end_that_the_endpoint_invents_hides_no_closing_for_ever() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, params| match asks_for_states(method, params) {
        // After the block's number each channel has a word, whose first byte is the phase: 5 is CLOSED.
        true => Fate::change(|answer| {
            let mut words = hex::decode(answer.as_str().unwrap()).unwrap();
            words.chunks_exact_mut(32).skip(1).for_each(|word| word[0] = 5);
            json!(hex::encode_prefixed(words))
        }),
        false => Fate::Pass,
    });
    cheat.world.mine(2);
    cheat.bob.wait_state(cheat.channel, "CLOSED");
    cheat.world.mine(4);
    let head = cheat.world.head();
    wait_for("that is deep in the chain", || cheat.bob.infos()["chain"]["block"].as_u64() >= Some(head));
    let _closing = cheat.close();
    cheat.entry.behave();
    assert!(cheat.blocks_until_won() <= 6);
}

/// Junk on the chain: channels that cost nothing, and a call in each at the moment of the closing.
#[test]
fn g1_what_strangers_do_to_many_channels_costs_a_victim_no_question_before_its_challenge() {
    const CHANNELS: usize = 30;
    let cheat = Cheat::new();
    let carol = cheat.world.user(3);
    let mut junk = Vec::new();
    carol.connect(&cheat.bob);
    for _ in 0..CHANNELS / 10 {
        junk.push(address(&carol.ok(&["openchannel", "1", "--deposit", "0"])["channel"]));
    }
    // The victim reads the chain before and after, in few questions each.
    let questions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&questions);
    cheat.stop_mining();
    cheat.world.rpc("anvil_impersonateAccount", json!([carol.wallet()]));
    for _ in 0..CHANNELS / junk.len() {
        for channel in &junk {
            let fund = json!([{ "from": carol.wallet(), "to": channel, "gas": "0x30d40",
                "data": format!("0xca1d209d{}", "0".repeat(64)) }]);
            cheat.world.rpc("eth_sendTransaction", fund);
        }
    }
    cheat.entry.set(move |method, _| {
        if method != "eth_getBlockByNumber" && method != "eth_sendRawTransaction" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Fate::Late(Duration::from_millis(100))
    });
    let _closing = cheat.close();
    questions.store(0, Ordering::SeqCst);
    wait_for("the challenge is sent", || cheat.entry.count("eth_sendRawTransaction") > 0);
    let asked = questions.load(Ordering::SeqCst);
    assert!(asked <= 24, "{asked} questions");
    assert!(cheat.blocks_until_won() <= 4);
}

#[test]
fn g3_five_blocks_at_a_time_are_enough_however_old_a_channel_is() {
    let cheat = Cheat::new();
    cheat.world.mine(600);
    wait_for("it is read", || cheat.bob.infos()["chain"]["block"].as_u64() >= Some(cheat.world.head()));
    cheat.entry.forget();
    cheat.entry.set(|method, params| {
        let number = |name: &str| u64::try_from(super::number(&params[0][name])).unwrap();
        match method {
            "eth_getLogs" if number("toBlock") + 1 - number("fromBlock") > 5 => {
                Fate::Error("five blocks at most")
            }
            _ => Fate::Pass,
        }
    });
    assert!(cheat.cheat() <= 4);
    assert!(cheat.entry.count("eth_getLogs") < 150, "{}", cheat.entry.count("eth_getLogs"));
}

/// A chain whose blocks come every half second, which is not the own testnet.
fn fast_chain() -> World {
    let world = World::new();
    world.rpc("anvil_setChainId", json!([4242]));
    world.rpc("evm_setIntervalMining", json!([1]));
    world
}

#[test]
fn g8_where_a_challenge_period_is_short_a_channel_is_opened_only_on_purpose() {
    let world = fast_chain();
    let flags = ["--confirmations", "1"];
    let (alice, bob) = (world.user_with(1, &flags), world.user_with(2, &flags));
    alice.connect(&bob);
    wait_for("the block time is measured", || {
        let output = alice.output(&["--json", "openchannel", "5"]);
        text(&output.stdout).contains("short_challenge_period")
    });
    let error = alice.refused(&["openchannel", "5"], 1, "short_challenge_period");
    assert!(error["hint"].as_str().unwrap().contains("--yes"), "{error}");
    assert_eq!(alice.infos()["channels"], json!([]));
    assert_eq!(alice.ok(&["openchannel", "5", "--yes"])["state"], "ACTIVE");
}

#[test]
fn g8_over_a_channel_whose_chain_stands_still_nothing_is_signed() {
    let world = fast_chain();
    let flags = ["--confirmations", "1"];
    let entry = super::super::endpoint::Endpoint::of(&world);
    let (alice, mut bob) = (world.user_with(1, &flags), world.user_with(2, &flags));
    bob.kill();
    bob.rpc = entry.url();
    bob.start();
    alice.connect(&bob);
    let channel = address(&alice.ok(&["openchannel", "5", "--yes"])["channel"]);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    alice.pay("1");
    let wait = |what: &str, is_so: &dyn Fn() -> bool| wait_for(what, is_so);
    // The endpoint answers as ever, and shows no block that is newer.
    let frozen = world.rpc("eth_getBlockByNumber", json!(["latest", false]));
    entry.set(move |method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => Fate::Answer(frozen.clone()),
        _ => Fate::Pass,
    });
    wait("bob refuses to sign", &|| {
        let next = bob.channel(channel)["next_text"].as_str().unwrap().to_owned();
        next != "pay, closechannel"
    });
    let answer = bob.output(&["--json", "pay", "0.1"]);
    assert_ne!(answer.status.code(), Some(0), "{}", text(&answer.stdout));
    let nonce = |node: &Node| node.channel(channel)["nonce"].clone();
    let before = nonce(&bob);
    let _ = alice.output(&["--json", "--timeout", "2", "pay", "1"]);
    assert_eq!(nonce(&bob), before, "bob countersigns nothing either");
    entry.behave();
    bob.wait_usable(channel);
    wait("what alice has paid arrives", &|| nonce(&bob) != before);
}

#[test]
fn g6_g7_who_may_not_see_what_is_new_is_neither_ready_nor_well_for_long() {
    let world = World::new();
    let entry = super::super::endpoint::Endpoint::of(&world);
    let port = thunder_deploy::ports::free().unwrap();
    let mut node = world.user_with(1, &["--metrics", &format!("127.0.0.1:{port}")]);
    node.kill();
    node.rpc = entry.url();
    node.start();
    let ask = |path: &str| super::super::metrics::get(port, path);
    wait_for("it is ready", || ask("/ready").0 == 200);
    assert_eq!(ask("/health").0, 200);
    entry.set(|_, _| Fate::Hang);
    wait_for("it is not ready", || ask("/ready").0 == 503);
    assert_eq!(ask("/health").0, 200, "for half a challenge period the endpoint may be away");
    entry.behave();
    wait_for("it is ready again", || ask("/ready").0 == 200);
    let _: Value = node.infos();
}
