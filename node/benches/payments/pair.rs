//! Two real thunderd with a channel between them on a real anvil, each with a data directory of its
//! own, in their default configuration.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thunder_api::{
    Answer, ChannelInfo, HistoryRequest, OpenRequest, Secret, Selector, ThunderClient, WalletSource, local,
};
use thunder_deploy::{DEVELOPMENT_PHRASE, Testnet, TestnetOptions, ports};
use thunder_protocol::Amount;

use crate::Result;
use crate::delay::Delayed;

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(120);

/// A context whose call may last this long.
pub(crate) fn patient() -> tarpc::context::Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + PATIENCE;
    context
}

/// A thunderd.
pub(crate) struct Node {
    pub(crate) port: u16,
    rpc: String,
    data: TempDir,
    process: Child,
    pub(crate) client: ThunderClient,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Node {
    async fn start(rpc: &str, disk: &Path) -> Result<Self> {
        let (port, data) = (ports::free()?, TempDir::new_in(disk)?);
        let process = launch(rpc, port, data.path())?;
        let client = local::connect(port).await.map_err(|error| error.to_string())?;
        Ok(Self { port, rpc: rpc.to_owned(), data, process, client })
    }

    /// SIGKILL, and up again from the disk.
    async fn kill_and_reopen(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        self.process = launch(&self.rpc, self.port, self.data.path())?;
        self.client = local::connect(self.port).await.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The channel, as `infos` has it.
    pub(crate) async fn channel(&self) -> Result<ChannelInfo> {
        let infos = checked(self.client.infos(patient()).await)?;
        infos.channels.into_iter().next().ok_or_else(|| "there is no channel".into())
    }

    /// Processor time that it has used so far, where the system tells.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    }

    /// What the data directory takes on the disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.data.path()).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

/// Starts thunderd and waits until it says that it is ready.
fn launch(rpc: &str, port: u16, data: &Path) -> Result<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thunderd"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("THUNDER_") {
            command.env_remove(variable);
        }
    }
    command.args(["--RPC", rpc, "--port", &port.to_string(), "--data-dir"]).arg(data);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = BufReader::new(process.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    while !line.starts_with("Ready") {
        line.clear();
        if stdout.read_line(&mut line)? == 0 {
            let status = process.wait()?;
            return Err(format!("thunderd does not start: {status}").into());
        }
    }
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    Ok(process)
}

/// Everything that a measurement needs.
pub(crate) struct Pair {
    pub(crate) alice: Node,
    pub(crate) bob: Node,
    /// Payments that were acknowledged so far: by Alice, and by Bob.
    pub(crate) paid: [u64; 2],
    total: Amount,
    begun_with: [Amount; 2],
    _testnet: Testnet,
    _delayed: Option<Delayed>,
}

impl Pair {
    /// Two connected nodes and an ACTIVE channel of 2,000 THD, half of it on each side. `delay` is
    /// that of the network between them, one way.
    pub(crate) async fn start(disk: &Path, delay: Duration) -> Result<Self> {
        let testnet = Testnet::start(TestnetOptions::default()).await?;
        let deployed = testnet.deploy().await;
        deployed.map_err(|error| error.to_string())?;
        let rpc = testnet.rpc_url();
        let (alice, bob) = (Node::start(&rpc, disk).await?, Node::start(&rpc, disk).await?);
        for (node, index) in [(&alice, 1), (&bob, 2)] {
            let source = WalletSource::Phrase {
                phrase: Secret::new(DEVELOPMENT_PHRASE.to_owned()),
                path: format!("m/44'/60'/0'/0/{index}"),
            };
            let imported = checked(node.client.import_wallet(patient(), source).await)?;
            testnet.give_thd(imported.address.0, "2000".parse()?).await.map_err(|error| error.to_string())?;
        }
        let delayed = if delay.is_zero() { None } else { Some(Delayed::start(bob.port, delay)?) };
        let port = delayed.as_ref().map_or(bob.port, |delayed| delayed.port);
        checked(alice.client.connect(patient(), format!("127.0.0.1:{port}")).await)?;
        let request = OpenRequest { amount: "2000".parse()?, deposit: None, peer: None };
        checked(alice.client.open_channel(patient(), request).await)?;
        let total = "2000".parse()?;
        let pair = Self {
            alice,
            bob,
            paid: [0, 0],
            total,
            begun_with: [total, Amount::ZERO],
            _testnet: testnet,
            _delayed: delayed,
        };
        pair.usable().await?;
        let half = thunder_api::PaymentOrder {
            amount: "1000".parse()?,
            memo: thunder_protocol::Memo::default(),
            id: None,
        };
        let request = thunder_api::PayRequest { channel: Selector::default(), payment: half };
        let paid = checked(pair.alice.client.pay(patient(), request).await)?;
        Ok(Self { begun_with: [paid.mine, paid.theirs], ..pair })
    }

    /// Waits until both sides can pay.
    async fn usable(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        for node in [&self.alice, &self.bob] {
            while node.channel().await?.next != "pay, closechannel" {
                if Instant::now() > end {
                    return Err("the channel never became usable".into());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Kills both nodes and reopens them: every payment that was acknowledged has to be there, once,
    /// on both sides, and the shares have to be what they say. `ids` are those of this run, each of
    /// `amount`, by payer.
    pub(crate) async fn survives(&mut self, amount: Amount, ids: &[Vec<String>; 2]) -> Result<()> {
        let before = self.alice.channel().await?;
        tokio::try_join!(self.alice.kill_and_reopen(), self.bob.kill_and_reopen())?;
        self.usable().await?;
        for (payer, ids) in ids.iter().enumerate() {
            if let Some(count) = self.paid.get_mut(payer) {
                *count += ids.len() as u64;
            }
        }
        let moved = |count: u64| amount.base_units() * u128::from(count);
        let [a, b] = self.begun_with.map(Amount::base_units);
        let expected =
            [a + moved(self.paid[1]) - moved(self.paid[0]), b + moved(self.paid[0]) - moved(self.paid[1])];
        for (node, mine) in [(&self.alice, expected[0]), (&self.bob, expected[1])] {
            let channel = node.channel().await?;
            if channel.mine.base_units() != mine || channel.nonce != before.nonce {
                return Err("the shares are not what the acknowledged payments make them".into());
            }
            if channel.mine.base_units() + channel.theirs.base_units() != self.total.base_units() {
                return Err("the shares don't add up".into());
            }
        }
        for (node, own) in [(&self.alice, 0), (&self.bob, 1)] {
            self.has_each_once(node, own, ids).await?;
        }
        Ok(())
    }

    async fn has_each_once(&self, node: &Node, own: usize, ids: &[Vec<String>; 2]) -> Result<()> {
        let count: usize = ids.iter().map(Vec::len).sum();
        let request = HistoryRequest { channel: Selector::default(), limit: u32::try_from(count)? };
        let history = checked(node.client.history(patient(), request).await)?;
        let mut found = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
        for payment in &history.payments {
            let payer = if payment.direction == thunder_api::Direction::Out { own } else { 1 - own };
            let is_new = found.get_mut(payer).is_some_and(|found| found.insert(payment.id.to_string()));
            if !is_new || payment.status != thunder_api::PaymentStatus::Done {
                return Err(format!("payment {} is there twice, or not done", payment.id).into());
            }
        }
        let all = found
            .iter()
            .zip(ids)
            .all(|(found, ids)| found.len() == ids.len() && ids.iter().all(|id| found.contains(id)));
        if all { Ok(()) } else { Err("an acknowledged payment is missing after the kill".into()) }
    }
}

/// The answer of a call that has to succeed.
pub(crate) fn checked<T>(answer: std::result::Result<Answer<T>, tarpc::client::RpcError>) -> Result<T> {
    Ok(answer?.map_err(|error| error.to_string())?)
}
