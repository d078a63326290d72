//! Gas gets dear, or there is too little ether for it.

use std::process::Stdio;

use serde_json::{Value, json};
use thunder_protocol::Address;

use super::harness::*;

const GWEI: u128 = 1_000_000_000;

fn number(hex: &Value) -> u128 {
    u128::from_str_radix(hex.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn sent_by(world: &World, account: Address) -> u128 {
    number(&world.rpc("eth_getTransactionCount", json!([account, "latest"])))
}

/// The most that the account's waiting transaction pays for a unit of gas.
fn offered(world: &World, account: Address) -> u128 {
    let pool = world.rpc("txpool_content", json!([]));
    let of = |queue: &str| -> Vec<Value> {
        let accounts = pool[queue].as_object().unwrap().iter();
        let own = accounts.filter(|(name, _)| name.parse::<Address>().unwrap() == account);
        own.flat_map(|(_, by_nonce)| by_nonce.as_object().unwrap().values().cloned()).collect()
    };
    of("pending").iter().chain(&of("queued")).map(|tx| number(&tx["maxFeePerGas"])).max().unwrap_or(0)
}

fn next_base_fee(world: &World, wei: u128) {
    world.rpc("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")]));
}

fn old_receipt(alice: &Node) -> String {
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    old
}

fn warned_of_gas(answer: &Value) -> bool {
    let warnings = answer["warnings"].as_array().unwrap();
    warnings.iter().any(|warning| warning.as_str().unwrap().contains("too little ETH for gas"))
}

#[test]
fn a_challenge_outbids_with_every_block_a_fee_that_rises_faster_than_any_chains_and_is_made_once() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    let old = old_receipt(&alice);
    let before = sent_by(&world, bob.wallet());
    bob_sees_no_block_with_room(&world);
    let mut command = alice.cli();
    command.args(["closechannel", "--receipt", &old, "--yes"]);
    let mut closing = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the closing waits", || offered(&world, alice.wallet()) > 0);
    world.mine(1);
    let mut base = 10 * GWEI;
    // Each block asks for six times what the one before did, and no offer can know that.
    for _ in 0..3 {
        wait_for("bob has outbid the newest block", || {
            let newest = world.rpc("eth_getBlockByNumber", json!(["latest", false]));
            offered(&world, bob.wallet()) >= 4 * number(&newest["baseFeePerGas"])
        });
        base = base.max(offered(&world, bob.wallet())) * 3 / 2;
        next_base_fee(&world, base);
        world.mine(1);
        assert_eq!(bob.channel(channel)["state"], "CLOSING");
    }
    // From here it rises as fast as it can on a real chain.
    let closed_at = world.head();
    while world.thd_of(bob.wallet()) != thd("110") {
        wait_for("bob has outbid the newest block", || offered(&world, bob.wallet()) > base * 9 / 8);
        base = base * 9 / 8;
        next_base_fee(&world, base);
        world.mine(1);
        assert!(world.head() - closed_at < 24 - 4, "in time");
    }
    world.rpc("evm_setAutomine", json!([true]));
    bob.wait_state(channel, "CLOSED");
    world.mine(3);
    assert_eq!(sent_by(&world, bob.wallet()), before + 1, "one transaction, whatever was offered");
    closing.wait().unwrap();
}

fn bob_sees_no_block_with_room(world: &World) {
    world.rpc("evm_setAutomine", json!([false]));
    next_base_fee(world, GWEI);
    world.mine(1);
}

#[test]
fn whoever_has_too_little_ether_for_the_open_channels_is_told_before_it_is_needed() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    alice.pay("1");
    assert!(!warned_of_gas(&alice.infos()) && !warned_of_gas(&alice.ok(&["balance"])));
    // Enough for a transaction at today's fee, and not for what may come.
    world.rpc("anvil_setBalance", json!([bob.wallet(), "0x1000"]));
    world.mine(1);
    wait_for("bob is told", || warned_of_gas(&bob.infos()));
    let balance = bob.ok(&["balance"]);
    assert!(warned_of_gas(&balance), "{balance}");
    bob.wait_logged("too little ETH for gas: an open channel may need");
    assert!(bob.screen(&["balance"]).contains("! too little ETH"));
    assert!(bob.screen(&["infos"]).contains("! too little ETH"));
    // What can't be paid says how much is missing, and that much is enough.
    let refused = bob.refused(&["closechannel"], 1, "insufficient_eth");
    let message = refused["message"].as_str().unwrap();
    let missing = message.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let missing = thd(missing).base_units();
    assert_eq!(bob.channel(channel)["state"], "ACTIVE");
    world.rpc("anvil_setBalance", json!([bob.wallet(), format!("{:#x}", 0x1000 + missing)]));
    bob.ok(&["closechannel"]);
    world.rpc("anvil_setBalance", json!([bob.wallet(), "0xde0b6b3a7640000"]));
    world.mine(24);
    wait_for("it is over", || !warned_of_gas(&bob.infos()));
    bob.wait_logged("the wallet has enough ETH for gas again");
    wait_for("withdraw is possible", || bob.channel(channel)["next_text"] == "withdraw possible now");
    assert_eq!(bob.ok(&["withdraw"])["received"], "1");
}

#[test]
fn with_another_program_spending_all_the_time_each_step_is_made_once() {
    let world = World::new();
    let (alice, bob) = world.pair();
    let wallet = alice.wallet();
    world.rpc("anvil_impersonateAccount", json!([wallet]));
    let mut spent = 0;
    // Between the command and its block the other program takes the nonce, with a higher fee.
    let mut overtaken = |arguments: &[&str]| {
        world.rpc("evm_setAutomine", json!([false]));
        let mut asking =
            alice.cli().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the transaction waits", || offered(&world, wallet) > 0);
        world.rpc("anvil_dropAllTransactions", json!([]));
        let spend = json!([{ "from": wallet, "to": bob.wallet(), "value": "0x1", "maxFeePerGas": "0x174876e800",
            "maxPriorityFeePerGas": "0x2540be400" }]);
        world.rpc("eth_sendTransaction", spend);
        spent += 1;
        let mut status = None;
        wait_for("it is mined under another nonce", || {
            world.mine(1);
            status = asking.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{arguments:?}\n{}", alice.log());
        world.rpc("evm_setAutomine", json!([true]));
    };
    let before = sent_by(&world, wallet);
    overtaken(&["openchannel", "10"]);
    let channel = address(&alice.infos()["channels"][0]["channel"]);
    alice.wait_usable(channel);
    alice.pay("1");
    overtaken(&["closechannel"]);
    world.mine(24);
    wait_for("withdraw is possible", || alice.channel(channel)["next_text"] == "withdraw possible now");
    overtaken(&["withdraw"]);
    assert_eq!((alice.purse(), bob.purse()), (thd("99"), thd("101")));
    assert_eq!(sent_by(&world, wallet), before + 3 + spent);
}
