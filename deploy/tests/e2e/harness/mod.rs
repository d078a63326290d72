//! `World`: a testnet, nodes on it (`node.rs`), and users who type commands (`commands.rs`).

mod commands;
mod node;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use thunder_deploy::{Testnet, TestnetOptions};
use thunder_protocol::{Address, Amount};
use tokio::runtime::Runtime;

pub use node::Node;

/// What local testnets know the rich accounts by.
pub const PHRASE: &str = "test test test test test test test test test test test junk";

/// How long a condition may take to come true. It is never waited for longer than needed.
const TIMEOUT: Duration = Duration::from_secs(60);

pub fn thd(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A testnet with THD and the factory.
pub struct World {
    runtime: Runtime,
    pub testnet: Testnet,
    /// Where sockets and temporary files of this world's processes go.
    home: TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self::bare();
        world.run(world.testnet.deploy()).unwrap();
        world
    }

    /// Without THD and the factory.
    pub fn bare() -> Self {
        Self::with(TestnetOptions::default())
    }

    pub fn with(options: TestnetOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let testnet = runtime.block_on(Testnet::start(options)).unwrap();
        Self { runtime, testnet, home: short_tempdir() }
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn mine(&self, blocks: u64) {
        self.run(self.testnet.mine(blocks)).unwrap();
    }

    pub fn rpc(&self, method: &str, params: Value) -> Value {
        self.run(self.testnet.rpc(method, params)).unwrap()
    }

    pub fn stop_chain(&mut self) {
        self.runtime.block_on(self.testnet.stop()).unwrap();
    }

    pub fn restart_chain(&mut self) {
        self.runtime.block_on(self.testnet.restart()).unwrap();
    }

    pub fn head(&self) -> u64 {
        self.run(self.testnet.chain().head()).unwrap().number
    }

    pub fn give_thd(&self, to: Address, amount: &str) {
        self.run(self.testnet.give_thd(to, thd(amount))).unwrap();
    }

    pub fn thd_of(&self, account: Address) -> Amount {
        Amount::from_base_units(self.run(self.testnet.chain().thd_balance(account)).unwrap()).unwrap()
    }

    /// A node that runs and has nothing: no wallet, no THD.
    pub fn node(&self) -> Node {
        self.node_with(&[])
    }

    pub fn node_with(&self, flags: &[&str]) -> Node {
        Node::start_new(self.testnet.rpc_url(), self.home.path(), flags)
    }

    /// A user with the development account of this number, and 100 THD.
    pub fn user(&self, index: u32) -> Node {
        self.user_with(index, &[])
    }

    pub fn user_with(&self, index: u32, flags: &[&str]) -> Node {
        let node = self.node_with(flags);
        node.ok(&["importwallet", PHRASE, "--index", &index.to_string()]);
        self.give_thd(node.wallet(), "100");
        node
    }

    /// Two users who are connected: the first has connected with the second.
    pub fn pair(&self) -> (Node, Node) {
        let (a, b) = (self.user(1), self.user(2));
        a.connect(&b);
        (a, b)
    }

    /// Two users with an ACTIVE channel of 10 THD, paid in by the first.
    pub fn channel(&self) -> (Node, Node, Address) {
        let (a, b) = self.pair();
        let opened = a.ok(&["openchannel", "10"]);
        assert_eq!(opened["state"], "ACTIVE");
        let channel = address(&opened["channel"]);
        b.wait_state(channel, "ACTIVE");
        (a, b, channel)
    }
}

/// Waits for a node that has started anew with a restored backup.
pub fn wait_for_the_node(node: &Node, peer_id: &str) {
    wait_for("it starts anew as the node it was", || {
        let output = node.output(&["--json", "infos"]);
        output.status.success() && text(&output.stdout).contains(peer_id)
    });
}

/// Socket paths are limited to about a hundred bytes.
pub fn short_tempdir() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("thd");
    if cfg!(unix) { builder.tempdir_in("/tmp").unwrap() } else { builder.tempdir().unwrap() }
}

/// A user of the machine who may do nothing.
#[cfg(unix)]
pub const NOBODY: u32 = 65534;

#[cfg(unix)]
pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn address(value: &Value) -> Address {
    value.as_str().expect("an address").parse().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file for a test, gone with the directory.
pub fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
