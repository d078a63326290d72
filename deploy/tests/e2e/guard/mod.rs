//! The road from a closing to its challenge (docs/guard.md), behind endpoints that are as bad as they
//! come. Alice closes on an old receipt; whatever Bob's endpoint does, he gets everything.

mod answers;
mod reading;
mod sending;
mod several;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thunder_protocol::Address;

use super::endpoint::Endpoint;
use super::harness::*;

/// How long a node may take to answer a block before the next one is made all the same.
const BLOCK: Duration = Duration::from_secs(8);

/// A channel of 10 THD that Alice has opened with Bob, who reaches the chain through an endpoint. She
/// has 9 by the old receipt and 4 by the newest.
struct Cheat {
    world: World,
    alice: Node,
    bob: Node,
    channel: Address,
    entry: Endpoint,
    old: String,
}

impl Cheat {
    fn new() -> Self {
        Self::in_world(World::new(), &[])
    }

    fn in_world(world: World, flags: &[&str]) -> Self {
        let entry = Endpoint::of(&world);
        let (alice, mut bob) = (world.user(1), world.user_with(2, flags));
        bob.kill();
        bob.rpc = entry.url();
        bob.start();
        alice.connect(&bob);
        let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
        bob.wait_usable(channel);
        alice.wait_usable(channel);
        alice.pay("1");
        let old = write(alice.data.path(), "old.json", &alice.ok(&["receipts"]).to_string());
        alice.pay("5");
        Self { world, alice, bob, channel, entry, old }
    }

    /// A second endpoint of Bob's; it is named first.
    fn second_endpoint(&mut self) -> Endpoint {
        let second = Endpoint::of(&self.world);
        self.bob.kill();
        self.bob.rpc = format!("{},{}", second.url(), self.entry.url());
        self.bob.start();
        self.bob.wait_connected(&self.alice);
        self.bob.wait_usable(self.channel);
        second
    }

    /// From now on there is a block only when one is asked for.
    fn stop_mining(&self) {
        self.world.rpc("evm_setAutomine", json!([false]));
    }

    /// Alice closes; it is mined. The command waits until the channel is closed.
    fn close(&self) -> Closing {
        self.stop_mining();
        let channel = self.channel.to_string();
        let arguments = ["closechannel", "--channel", &channel, "--receipt", &self.old, "--yes"];
        let mut command = self.alice.cli();
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let closing = Closing(command.spawn().unwrap());
        wait_for("the closing waits", || waiting(&self.world, self.alice.wallet()) > 0);
        self.world.mine(1);
        closing
    }

    /// Whether Bob has got everything that was in the channel.
    fn is_won(&self) -> bool {
        self.world.thd_of(self.channel) == thd("0")
            && self.world.thd_of(self.alice.wallet()) <= thd("90")
            && self.world.thd_of(self.bob.wallet()) > thd("105")
    }

    /// Blocks come; each as soon as Bob has a transaction for it, or after a while. Returns how many
    /// there were after that of the closing.
    fn blocks_until_won(&self) -> u64 {
        let closed_at = self.world.head();
        while !self.is_won() {
            assert!(self.world.head() - closed_at < 24, "the challenge period is over\n{}", self.bob.log());
            let began = Instant::now();
            while waiting(&self.world, self.bob.wallet()) == 0 && began.elapsed() < BLOCK {
                std::thread::sleep(Duration::from_millis(30));
            }
            self.world.mine(1);
        }
        self.world.head() - closed_at
    }

    /// Alice cheats, and Bob gets everything.
    fn cheat(&self) -> u64 {
        let _closing = self.close();
        self.blocks_until_won()
    }

    fn warns(&self, text: &str) -> bool {
        warns(&self.bob, text)
    }
}

/// A command that waits for a block; it ends with the test.
struct Closing(Child);

impl Drop for Closing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn warns(node: &Node, text: &str) -> bool {
    let infos = node.infos();
    infos["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(text))
}

/// The account's transactions that are not mined.
pub fn pool(world: &World, account: Address) -> Vec<Value> {
    let pool = world.rpc("txpool_content", json!([]));
    let of = |queue: &str| -> Vec<Value> {
        let accounts = pool[queue].as_object().unwrap().iter();
        let own = accounts.filter(|(name, _)| name.parse::<Address>().unwrap() == account);
        own.flat_map(|(_, by_nonce)| by_nonce.as_object().unwrap().values().cloned()).collect()
    };
    [of("pending"), of("queued")].concat()
}

/// How many transactions of the account wait for a block, and could be in the next.
fn waiting(world: &World, account: Address) -> usize {
    let next = number(&world.rpc("eth_getTransactionCount", json!([account, "latest"])));
    pool(world, account).iter().filter(|tx| number(&tx["nonce"]) == next).count()
}

pub fn number(hex: &Value) -> u128 {
    u128::from_str_radix(hex.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Whether a question is for the states of many channels: code that is deployed nowhere.
fn asks_for_states(method: &str, params: &Value) -> bool {
    method == "eth_call" && params[0]["to"].is_null()
}
