//! Answers that are absurd (G4, G5).

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::super::endpoint::Fate;
use super::super::harness::*;
use super::{Cheat, pool};

const GWEI: u128 = 1_000_000_000;

fn huge() -> Fate {
    Fate::Answer(json!(format!("0x{}", "f".repeat(64))))
}

/// Once for each time it is made, and never again.
fn once() -> impl Fn() -> bool + Send + Sync {
    let is_done = AtomicBool::new(false);
    move || !is_done.swap(true, Ordering::SeqCst)
}

#[test]
fn g5_a_number_of_256_bits_in_place_of_any_is_an_error_of_that_one_answer() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, _| match method {
        "eth_chainId"
        | "eth_getTransactionCount"
        | "eth_estimateGas"
        | "eth_gasPrice"
        | "eth_maxPriorityFeePerGas"
        | "eth_blockNumber"
        | "eth_getBalance" => huge(),
        _ => Fate::Pass,
    });
    cheat.world.mine(2);
    wait_for("it was asked", || cheat.entry.count("eth_chainId") + cheat.entry.count("eth_getBalance") > 2);
    // The count is all that a transaction needs, and it comes back.
    cheat.entry.set(|method, _| match method {
        "eth_chainId"
        | "eth_estimateGas"
        | "eth_gasPrice"
        | "eth_maxPriorityFeePerGas"
        | "eth_blockNumber"
        | "eth_getBalance" => huge(),
        _ => Fate::Pass,
    });
    cheat.cheat();
}

#[test]
fn g5_each_field_of_a_block_and_of_a_receipt_may_be_anything() {
    let cheat = Cheat::new();
    let fields = ["number", "timestamp", "baseFeePerGas", "gasLimit", "parentHash", "hash", "logsBloom"];
    let odd = [
        json!(null),
        json!(-1),
        json!("0x"),
        json!("0xzz"),
        json!({}),
        json!(format!("0x{}", "9".repeat(70))),
    ];
    let turn = std::sync::atomic::AtomicUsize::new(0);
    // One question in two is answered with one field that is odd, another each time.
    cheat.entry.set(move |method, _| {
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        let (field, value) = (fields[turn % fields.len()], odd[turn / fields.len() % odd.len()].clone());
        match method {
            "eth_getBlockByNumber" | "eth_getTransactionReceipt" if turn.is_multiple_of(2) => {
                Fate::change(move |mut answer| {
                    if let Some(object) = answer.as_object_mut() {
                        object.insert(field.into(), value);
                    }
                    answer
                })
            }
            _ => Fate::Pass,
        }
    });
    cheat.cheat();
}

#[test]
fn g5_a_receipt_counts_by_its_hash_block_and_status_alone() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, _| match method {
        "eth_getTransactionReceipt" => Fate::change(|mut receipt| {
            if let Some(fields) = receipt.as_object_mut() {
                fields.retain(|name, _| {
                    ["transactionHash", "blockHash", "blockNumber", "status"].contains(&name.as_str())
                });
                fields.insert("from".into(), Value::Null);
            }
            receipt
        }),
        _ => Fate::Pass,
    });
    // Each order waits for the one before.
    let another = address(&cheat.bob.ok(&["openchannel", "3"])["channel"]);
    cheat.bob.wait_usable(another);
    cheat.bob.ok(&["closechannel", "--channel", &another.to_string()]);
    cheat.world.mine(24);
    wait_for("withdraw is possible", || cheat.bob.channel(another)["next_text"] == "withdraw possible now");
    assert_eq!(cheat.bob.ok(&["withdraw", "--channel", &another.to_string()])["received"], "3");
    for _ in 0..2 {
        let next = address(&cheat.bob.ok(&["openchannel", "1"])["channel"]);
        cheat.bob.wait_usable(next);
    }
    assert_eq!(cheat.bob.infos()["warnings"], json!([]));
}

#[test]
fn g4_an_estimate_of_nothing_makes_no_transaction_without_gas() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, _| match method {
        "eth_estimateGas" => Fate::Answer(json!("0x0")),
        _ => Fate::Pass,
    });
    let another = cheat.bob.ok(&["openchannel", "1"]);
    assert_eq!(another["state"], "ACTIVE");
    cheat.entry.behave();
    cheat.cheat();
}

#[test]
fn g4_nothing_is_asked_of_the_block_that_is_not_made_yet() {
    let cheat = Cheat::new();
    cheat.entry.set(|_, params| match params.as_array().and_then(|params| params.last()) {
        Some(block) if block == "pending" => Fate::Error("no such block here: pending"),
        _ => Fate::Pass,
    });
    cheat.cheat();
}

#[test]
fn g4_no_advice_at_all_is_needed() {
    let cheat = Cheat::new();
    let advice =
        ["eth_estimateGas", "eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_feeHistory", "eth_getBalance"];
    cheat.entry.set(move |method, _| if advice.contains(&method) { Fate::Hang } else { Fate::Pass });
    cheat.cheat();
}

#[test]
fn g4_an_absurd_tip_is_not_paid() {
    let cheat = Cheat::new();
    cheat.entry.set(|method, _| match method {
        "eth_maxPriorityFeePerGas" | "eth_gasPrice" => Fate::Answer(json!(format!("{:#x}", 490 * GWEI))),
        _ => Fate::Pass,
    });
    let paid = |order: &[&str]| {
        let tx = cheat.bob.ok(order)["tx"].clone();
        super::number(&cheat.world.rpc("eth_getTransactionByHash", json!([tx]))["maxPriorityFeePerGas"])
    };
    assert!(paid(&["openchannel", "1"]) <= 3 * GWEI);
    let _closing = cheat.close();
    wait_for("the challenge waits", || super::waiting(&cheat.world, cheat.bob.wallet()) > 0);
    let tip = super::number(&pool(&cheat.world, cheat.bob.wallet())[0]["maxPriorityFeePerGas"]);
    assert!(tip <= 6 * GWEI, "{tip}");
    cheat.blocks_until_won();
}

#[test]
fn g4_one_head_that_is_far_too_high_does_not_keep_fees_from_being_raised() {
    let cheat = Cheat::new();
    // The first time that the closing's block is shown, when the challenge is made.
    let (first, before) = (std::sync::Arc::new(once()), cheat.world.head());
    cheat.entry.set(move |method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => {
            let first = first.clone();
            Fate::change(move |mut block| {
                let number = u64::try_from(super::number(&block["number"])).unwrap();
                if number > before && first() {
                    block["number"] = json!(format!("{:#x}", number + 1_000));
                }
                block
            })
        }
        _ => Fate::Pass,
    });
    let _closing = cheat.close();
    let (world, bob) = (&cheat.world, cheat.bob.wallet());
    let offered = || pool(world, bob).iter().map(|tx| super::number(&tx["maxFeePerGas"])).max().unwrap_or(0);
    wait_for("the challenge waits", || offered() > 0);
    // A block that asks for more than it offers.
    let before = offered();
    world.rpc("anvil_setNextBlockBaseFeePerGas", json!([format!("{:#x}", before * 2)]));
    world.mine(1);
    assert!(!cheat.is_won());
    wait_for("it is raised", || offered() > before);
    cheat.blocks_until_won();
}

#[test]
fn g3_too_many_requests_in_the_words_of_a_gateway_are_no_answer_and_no_alarm() {
    let cheat = Cheat::new();
    let turn = std::sync::atomic::AtomicUsize::new(0);
    cheat.entry.set(move |_, _| {
        if turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            Fate::Http(429, br#"{"message":"slow down"}"#.to_vec())
        } else {
            Fate::Pass
        }
    });
    for _ in 0..5 {
        let head = cheat.world.head() + 1;
        cheat.world.mine(1);
        wait_for("it is read", || cheat.bob.infos()["chain"]["block"].as_u64() >= Some(head));
    }
    cheat.cheat();
    for alarm in ["took blocks back", "MONEY AT RISK", "took a transaction back"] {
        assert!(!cheat.bob.has_logged(alarm), "{alarm}\n{}", cheat.bob.log());
    }
}

/// 32 MiB at a time, of which nothing is kept.
#[cfg(target_os = "linux")]
#[test]
fn g5_answers_without_end_fill_no_memory() {
    const MIB: usize = 1 << 20;
    let cheat = Cheat::new();
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", cheat.bob.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    };
    let before = peak();
    let array = [b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[".to_vec(), b"0,".repeat(16 * MIB)].concat();
    cheat.entry.forget();
    cheat.entry.set(move |_, _| Fate::Http(200, array.clone()));
    let asked = || ["eth_getBlockByNumber", "eth_chainId", "eth_call"].map(|name| cheat.entry.count(name));
    wait_for("it was answered often", || asked().iter().sum::<usize>() >= 20);
    let grown = peak().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB more", grown / MIB);
    cheat.entry.behave();
    cheat.cheat();
}
