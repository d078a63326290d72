//! What somebody hostile, or something broken, does to a node that is honest: it must not cost it
//! a cent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{U256, hex, keccak256};
use rusqlite::Connection;
use serde_json::{Value, json};
use thunder_protocol::Address;

use super::harness::*;

/// Alice's receipt 1, which outdates nothing any more once she has paid 5 more.
fn old_receipt(alice: &Node) -> String {
    alice.pay("1");
    let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
    alice.pay("5");
    old
}

fn everything_for(world: &World, winner: &Node, channel: Address) {
    winner.wait_state(channel, "CLOSED");
    assert_eq!(world.thd_of(winner.wallet()), thd("110"));
}

/// A contract call from one of the testnet's own accounts, without its node.
fn call(world: &World, from: Address, to: Address, function: &str, arguments: &[U256]) {
    let mut data = keccak256(function)[..4].to_vec();
    arguments.iter().for_each(|argument| data.extend(argument.to_be_bytes::<32>()));
    let transaction =
        json!([{ "from": from, "to": to, "data": hex::encode_prefixed(data), "gas": "0x7a120" }]);
    let hash = world.rpc("eth_sendTransaction", transaction);
    wait_for("it is mined", || !world.rpc("eth_getTransactionReceipt", json!([hash])).is_null());
    assert_eq!(world.rpc("eth_getTransactionReceipt", json!([hash]))["status"], "0x1", "{function}");
}

fn units(whole: u64) -> U256 {
    U256::from(whole) * U256::from(10).pow(U256::from(18))
}

fn word(account: Address) -> U256 {
    U256::from_be_bytes(account.into_word().0)
}

#[test]
fn a_contract_that_is_not_what_was_agreed_on_is_never_used() {
    let world = World::new();
    let (mut alice, bob) = world.pair();
    let (wallet, partner) = (alice.wallet(), bob.wallet());
    let (token, factory) = (address(&bob.infos()["token"]), address(&bob.infos()["factory"]));
    // Both nodes agree on 10 THD; Alice's transaction never gets there.
    world.rpc("evm_setAutomine", json!([false]));
    let mut asking = alice.cli().args(["openchannel", "10"]).stderr(Stdio::null()).spawn().unwrap();
    let mut sent = Value::Null;
    wait_for("her transaction is on its way", || {
        let pool = world.rpc("txpool_content", json!([]));
        let all =
            pool["pending"].as_object().unwrap().values().flat_map(|of| of.as_object().unwrap().values());
        sent = all.into_iter().next().cloned().unwrap_or_default();
        !sent.is_null()
    });
    alice.kill();
    asking.wait().unwrap();
    world.rpc("anvil_dropTransaction", json!([sent["hash"]]));
    world.rpc("evm_setAutomine", json!([true]));
    let input = hex::decode(sent["input"].as_str().unwrap()).unwrap();
    let salt = U256::from_be_slice(&input[4 + 3 * 32..4 + 4 * 32]);

    // She opens one of 20 at the same address, half of it paid in, and pays in up to 10.
    call(&world, wallet, token, "approve(address,uint256)", &[word(factory), units(100)]);
    let open = "open(uint256,address,uint256,bytes32)";
    call(&world, wallet, factory, open, &[units(20), word(partner), units(5), salt]);
    wait_for("bob notices", || bob.has_logged("not the channel that was agreed on"));
    let data = json!([{ "to": factory, "data": hex::encode_prefixed([
        &keccak256("channelAddress(address,address,bytes32)")[..4],
        wallet.into_word().as_slice(), partner.into_word().as_slice(), &salt.to_be_bytes::<32>(),
    ].concat()) }, "latest"]);
    let answer = hex::decode(world.rpc("eth_call", data).as_str().unwrap()).unwrap();
    let channel = Address::from_slice(&answer[12..]);
    call(&world, wallet, token, "approve(address,uint256)", &[word(channel), units(100)]);
    call(&world, wallet, channel, "fund(uint256)", &[units(5)]);
    let head = world.head();
    wait_for("bob has read it", || bob.infos()["chain"]["block"].as_u64() >= Some(head));
    assert_ne!(bob.channel(channel)["state"], "ACTIVE", "what adds up to 10 is not the channel of 10");
    world.mine(3);
    assert_ne!(bob.channel(channel)["state"], "ACTIVE");
    bob.refused(&["pay", "1"], 1, "wrong_state");
    assert_eq!(bob.ok(&["balance"])["total"], "100");
}

#[test]
fn a_cheat_while_the_node_was_on_another_chain_is_answered_when_it_is_back() {
    let (world, elsewhere) = (World::new(), World::new());
    let (alice, mut bob, channel) = world.channel();
    let old = old_receipt(&alice);
    bob.kill();
    bob.rpc = elsewhere.testnet.rpc_url();
    bob.start();
    wait_for("bob follows the other chain", || bob.infos()["chain"]["connected"] == true);
    elsewhere.mine(3);
    bob.kill();
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    world.mine(3);
    bob.rpc = world.testnet.rpc_url();
    bob.start();
    everything_for(&world, &bob, channel);
}

#[test]
fn a_challenge_that_could_not_be_paid_goes_out_as_soon_as_it_can() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    let old = old_receipt(&alice);
    world.rpc("anvil_setBalance", json!([bob.wallet(), "0x1000"]));
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    wait_for("bob cries", || bob.has_logged("MONEY AT RISK: the challenge"));
    assert_eq!(bob.channel(channel)["state"], "CLOSING");
    world.rpc("anvil_setBalance", json!([bob.wallet(), "0xde0b6b3a7640000"]));
    world.mine(1);
    everything_for(&world, &bob, channel);
}

#[test]
fn a_challenge_pays_what_it_can_when_fees_are_dear() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    let old = old_receipt(&alice);
    // Enough for today's fee, and not for twice that, which is what a prudent sender wants to have.
    let base = world.rpc("eth_getBlockByNumber", json!(["latest", false]))["baseFeePerGas"].clone();
    let base = U256::from_str_radix(base.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let enough = base * U256::from(120_000);
    world.rpc("anvil_setBalance", json!([bob.wallet(), format!("{enough:#x}")]));
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    everything_for(&world, &bob, channel);
}

#[test]
fn a_channel_that_the_disk_has_frozen_still_answers_a_cheat() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    let old = old_receipt(&alice);
    let database = Connection::open(bob.data.path().join("thunder.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut paying =
        alice.cli().args(["--timeout", "30", "pay", "0.1"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("bob's disk refuses", || bob.has_logged("the channel is frozen"));
    database.execute_batch("ROLLBACK").unwrap();
    bob.refused(&["pay", "0.1"], 1, "internal");
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    wait_for("the chain has the challenge", || world.thd_of(bob.wallet()) == thd("110"));
    bob.crash();
    everything_for(&world, &bob, channel);
    paying.kill().unwrap();
    paying.wait().unwrap();
}

/// A way to a server that can go silent: connections that are there hang, new ones work.
struct Line {
    address: SocketAddr,
    /// Connections with a smaller number hang.
    silent_below: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
}

impl Line {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (silent_below, made) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (below, count) = (Arc::clone(&silent_below), Arc::clone(&made));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let below = Arc::clone(&below);
                    std::thread::spawn(move || carry(from, to, || number < below.load(Ordering::SeqCst)));
                }
            }
        });
        Self { address, silent_below, made }
    }

    fn hang(&self) {
        self.silent_below.store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_silent: impl Fn() -> bool) {
    let mut buffer = [0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !is_silent() && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
}

#[test]
fn a_connection_to_the_chain_that_hangs_is_replaced() {
    let world = World::new();
    let url = world.testnet.rpc_url();
    let server: SocketAddr = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let line = Line::to(server);
    let (alice, mut bob, channel) = world.channel();
    let old = old_receipt(&alice);
    bob.kill();
    bob.rpc = format!("ws://{}", line.address);
    bob.start();
    bob.wait_usable(channel);
    line.hang();
    alice.ok(&["closechannel", "--receipt", &old, "--yes"]);
    everything_for(&world, &bob, channel);
}

#[test]
fn two_openings_at_once_are_both_made() {
    let world = World::new();
    let (alice, bob, carol) = (world.user(1), world.user(2), world.user(3));
    alice.connect(&bob);
    alice.connect(&carol);
    let open = |partner: &Node| {
        let wallet = partner.wallet().to_string();
        let mut command = alice.cli();
        command.args(["--json", "openchannel", "10", "--peer", &wallet]).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let both = [open(&bob), open(&carol)].map(|running| running.wait_with_output().unwrap());
    for output in both {
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), alice.log());
    }
    assert_eq!(alice.purse(), thd("80"));
}
