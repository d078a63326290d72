//! Transactions: which nonce, which fee, and what stands in the way (G4, G7).

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::super::endpoint::Fate;
use super::super::harness::*;
use super::{Cheat, Closing, number, pool, waiting};

#[test]
fn g4_one_count_that_is_too_high_makes_no_gap_that_a_challenge_waits_behind() {
    let cheat = Cheat::new();
    let times = AtomicUsize::new(0);
    cheat.entry.set(move |method, _| match method {
        "eth_getTransactionCount" if times.fetch_add(1, Ordering::SeqCst) < 2 => {
            Fate::number(|count| count + 1)
        }
        _ => Fate::Pass,
    });
    cheat.cheat();
}

#[test]
fn g4_a_count_that_is_always_too_low_or_too_high_at_pending_does_not_matter() {
    for change in [|_: u64| 0, |count: u64| count + 3] {
        let cheat = Cheat::new();
        cheat.entry.set(move |method, params| match method {
            "eth_getTransactionCount" if params[1] == "pending" => Fate::number(change),
            _ => Fate::Pass,
        });
        cheat.cheat();
    }
}

#[test]
fn g4_a_challenge_replaces_what_stands_in_its_way_and_what_was_there_is_made_anew() {
    let cheat = Cheat::new();
    let wallet = cheat.bob.wallet();
    // An order of Bob's own that hangs: the block asks for more than it offers.
    cheat.stop_mining();
    let mut opening = cheat.bob.cli();
    opening
        .args(["openchannel", "1"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let opening = super::Closing(opening.spawn().unwrap());
    wait_for("it waits", || waiting(&cheat.world, wallet) > 0);
    let hanging = pool(&cheat.world, wallet)[0]["hash"].clone();
    // No block has room for it beside the closing.
    cheat.world.rpc("evm_setBlockGasLimit", json!(["0x1fbd0"]));
    let _closing = cheat.close();
    // The challenge takes the place of the opening.
    let next = number(&cheat.world.rpc("eth_getTransactionCount", json!([wallet, "latest"])));
    wait_for("the challenge is the first", || {
        let first = pool(&cheat.world, wallet).into_iter().find(|tx| number(&tx["nonce"]) == next);
        first.is_some_and(|tx| tx["hash"] != hanging && tx["to"] == cheat.channel.to_string().to_lowercase())
    });
    cheat.world.rpc("evm_setBlockGasLimit", json!(["0x1c9c380"]));
    cheat.blocks_until_won();
    // And the opening is made after it.
    let opened = || cheat.alice.infos()["channels"].as_array().unwrap().len() == 2;
    wait_for("the opening is mined, too", || {
        cheat.world.mine(1);
        opened()
    });
    drop(opening);
}

#[test]
fn g4_a_gap_below_is_closed() {
    let cheat = Cheat::new();
    let wallet = cheat.bob.wallet();
    cheat.stop_mining();
    cheat.world.rpc("anvil_impersonateAccount", json!([wallet]));
    let next = number(&cheat.world.rpc("eth_getTransactionCount", json!([wallet, "latest"])));
    let spend = |nonce: u128| {
        let tx = json!([{ "from": wallet, "to": wallet, "value": "0x1", "nonce": format!("{nonce:#x}"), "gas": "0x5208" }]);
        cheat.world.rpc("eth_sendTransaction", tx);
    };
    spend(next + 1);
    spend(next + 2);
    cheat.cheat();
}

#[test]
fn g4_what_an_endpoint_limits_for_ever_is_said_with_its_reason() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Limit("your plan has no transactions"),
        _ => Fate::Pass,
    });
    let closing = Closing(cheat.bob.cli().arg("closechannel").stdout(Stdio::null()).spawn().unwrap());
    let said = "does not take a transaction (limits requests: your plan has no transactions)";
    wait_for("it is said", || cheat.warns(said));
    cheat.entry.behave();
    cheat.bob.wait_state(cheat.channel, "CLOSING");
    drop(closing);
}

#[test]
fn g4_what_an_endpoint_refuses_for_good_is_said_with_its_reason() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Error("the sender can't pay for this"),
        _ => Fate::Pass,
    });
    let answer = cheat.bob.output(&["--timeout", "20", "--json", "closechannel"]);
    let said = text(&answer.stdout);
    assert!(said.contains("the sender can't pay for this"), "{said}");
    cheat.bob.wait_logged("the sender can't pay for this");
    assert!(cheat.warns("the sender can't pay for this"), "{}", cheat.bob.infos());
    // And holds no nonce that others wait behind.
    cheat.entry.behave();
    cheat.cheat();
}

#[test]
fn g7_a_challenge_that_is_not_mined_is_an_error_that_says_what_was_tried() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Error("txpool is full"),
        _ => Fate::Pass,
    });
    let _closing = cheat.close();
    let told = "MONEY AT RISK: the challenge is not mined; tried so far";
    for _ in 0..12 {
        let head = cheat.world.head();
        wait_for("it is read", || cheat.bob.infos()["chain"]["block"].as_u64() >= Some(head));
        if cheat.bob.has_logged(told) {
            break;
        }
        cheat.world.mine(1);
    }
    wait_for("it is said", || cheat.bob.has_logged(told));
    assert!(cheat.bob.log().lines().any(|line| line.contains(told) && line.contains("txpool is full")));
    cheat.entry.behave();
    cheat.blocks_until_won();
}
