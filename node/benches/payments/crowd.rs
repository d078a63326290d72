//! One node that pays over as many channels as it has peers.
//!
//! The payer is a thunderd of its own. The peers are nodes of the library that thunderd is made of, each
//! with its own wallet, data directory and ports, in one process: a thousand processes are more than a
//! machine of two cores can start in a time that anybody waits for.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use clap::Parser as _;
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;
use thunder_api::{ChannelInfo, PaymentStatus, Selector, local};
use thunder_deploy::{DevelopmentAccount, Testnet, TestnetOptions};
use thunder_node::args::Config;
use thunder_node::console::Console;
use thunder_node::keys::{self, SecretKey, WalletFile};
use thunder_node::start;
use thunder_protocol::{Amount, Role};
use tokio::task::LocalSet;

use crate::Result;
use crate::load;
use crate::node::{ALICE, Node, checked, long_call, with_defaults};
use crate::report::Report;
use crate::report::percentile;
use crate::seed::{Seeder, nobody};

/// Calls under way, over however many channels.
const IN_FLIGHT: usize = 1000;
/// A chain that is none of a local testnet: a thousand nodes that ask for blocks ten times a second would
/// be what is measured.
const CHAIN_ID: u64 = 2001;
/// What such a chain takes.
const CONFIRMATIONS: u64 = 6;
/// Below those that systems take for outgoing connections, of which there are thousands here.
const PORTS: Range<u16> = 10_000..32_000;
/// Handshakes under way.
const CONNECTING: usize = 16;

pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) many: usize,
    pub(crate) peers: Vec<usize>,
}

struct Crowd {
    ports: Vec<u16>,
    rpc: String,
    directory: TempDir,
    process: Option<Child>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) async fn measure(plan: &Plan, disk: &Path, report: &mut Report) -> Result<()> {
    let most = plan.peers.iter().copied().max().unwrap_or_default();
    println!("starting {most} nodes");
    let testnet = Testnet::start(TestnetOptions::default()).await?;
    let account = DevelopmentAccount::new(ALICE)?;
    let gift = testnet.give_thd(account.address, "4000".parse()?).await;
    gift.map_err(|error| error.to_string())?;
    testnet.rpc("anvil_setChainId", [CHAIN_ID]).await?;
    let mut hub = Node::start(&testnet.rpc_url(), disk).await?;
    hub.import_wallet(ALICE).await?;
    hub.kill()?;
    let mut crowd = Crowd {
        ports: PORTS.filter(|port| *port != hub.port && is_free(*port)).take(most).collect(),
        rpc: testnet.rpc_url(),
        directory: TempDir::new_in(disk)?,
        process: None,
    };
    let channels = seed(&testnet, &account, &hub, &crowd).await?;
    crowd.start()?;
    hub.reopen().await?;
    crowd.connect(&testnet, &hub).await?;
    let amount: Amount = "0.000001".parse()?;
    for round in 0..plan.rounds {
        println!("round {} of {}", round + 1, plan.rounds);
        let mut paid = vec![BTreeSet::new(); channels.len()];
        for count in &plan.peers {
            // The chain has to move on, or nobody relies on it.
            testnet.mine(1).await?;
            let active = channels.get(..*count).unwrap_or_default();
            let run = format!("crowd-{round}-{count}");
            let mut done = load::pay(&hub, active, amount, &run, plan.many, IN_FLIGHT).await?;
            let name = format!("{count} active channels with as many peers");
            report.add(&format!("{name}, p50"), "us", percentile(&mut done.took, 0.5));
            report.add(&name, "payments/s", done.rate);
            for number in 0..plan.many {
                paid.get_mut(number % count).map(|paid| paid.insert(format!("{run}-{number}")));
            }
        }
        hub.kill()?;
        crowd.kill();
        crowd.start()?;
        hub.reopen().await?;
        crowd.connect(&testnet, &hub).await?;
        survived(&hub, &crowd, &channels, &paid).await?;
    }
    Ok(())
}

/// The channels are on the chain and in everybody's database. Returns their names.
async fn seed(
    testnet: &Testnet,
    account: &DevelopmentAccount,
    hub: &Node,
    crowd: &Crowd,
) -> Result<Vec<Selector>> {
    let keys = (0..crowd.ports.len()).map(|number| SecretKey::new(nobody(number).into_word().as_slice()));
    let keys = keys.collect::<std::result::Result<Vec<_>, _>>()?;
    let wallets = keys.iter().map(|key| Ok(keys::signer(key)?.address())).collect::<Result<Vec<_>>>()?;
    let seeder = Seeder::new(testnet).await?;
    let opened = seeder.open(account, &wallets, Amount::ONE_THD).await?;
    testnet.mine(CONFIRMATIONS).await?;
    seeder.store(&hub.database(), &account.key, Role::A, opened.iter(), CONFIRMATIONS).await?;
    for (number, (key, opened)) in keys.iter().zip(&opened).enumerate() {
        let directory = crowd.data(number);
        std::fs::create_dir(&directory)?;
        let file = WalletFile::new(&directory, None);
        file.put(&file.seal(key.clone())?, true)?;
        let database = directory.join("thunder.db");
        seeder.store(&database, key, Role::B, std::iter::once(opened), CONFIRMATIONS).await?;
    }
    let name = |channel: String| Selector { channel: Some(channel), ..Selector::default() };
    Ok(opened.iter().map(|opened| name(opened.channel().to_string())).collect())
}

fn is_free(port: u16) -> bool {
    let ip = Ipv4Addr::UNSPECIFIED;
    TcpListener::bind((ip, port)).is_ok() && UdpSocket::bind((ip, port)).is_ok()
}

impl Crowd {
    fn data(&self, number: usize) -> PathBuf {
        self.directory.path().join(number.to_string())
    }

    fn start(&mut self) -> Result<()> {
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        let mut command = with_defaults(Command::new(std::env::current_exe()?));
        command.args(["--crowd", &self.rpc]).arg(self.directory.path()).args(ports);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(())
    }

    /// SIGKILL for all of them.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Waits until the payer can pay all of them.
    async fn connect(&self, testnet: &Testnet, hub: &Node) -> Result<()> {
        for port in &self.ports {
            let mut tries = 0;
            while local::connect(*port).await.is_err() {
                tries += 1;
                if tries > 1200 {
                    return Err("a peer does not start".into());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        let connecting = futures::stream::iter(&self.ports).map(|port| async move {
            checked(hub.client.connect(long_call(), format!("127.0.0.1:{port}")).await)
        });
        connecting.buffer_unordered(CONNECTING).try_collect::<Vec<_>>().await?;
        for tries in 0..3000 {
            if tries % 300 == 0 {
                testnet.mine(1).await?;
            }
            let infos = checked(hub.client.infos(long_call(), false).await)?;
            if infos.channels.iter().all(|channel| channel.next_text.contains("pay")) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let infos = checked(hub.client.infos(long_call(), false).await)?;
        let mut states = std::collections::BTreeMap::new();
        for channel in infos.channels {
            *states.entry(channel.next).or_insert(0) += 1;
        }
        Err(format!("not all channels became usable: {states:?} {:?}", infos.warnings).into())
    }

    /// The channel of each, as it says itself.
    async fn channels(&self) -> Result<Vec<ChannelInfo>> {
        let asked = futures::stream::iter(&self.ports).map(|port| async move {
            let client = local::connect(*port).await.map_err(|error| error.to_string())?;
            let infos = checked(client.infos(long_call(), false).await)?;
            Ok::<_, Box<dyn std::error::Error>>(infos.channels)
        });
        asked.buffer_unordered(CONNECTING).try_concat().await
    }
}

/// Every payment is there once, and both sides of every channel say the same.
async fn survived(hub: &Node, crowd: &Crowd, channels: &[Selector], paid: &[BTreeSet<String>]) -> Result<()> {
    for (channel, paid) in channels.iter().zip(paid) {
        let history = hub.history(channel, paid.len()).await?;
        let done = history.iter().filter(|payment| payment.status == PaymentStatus::Done);
        if done.map(|payment| payment.id.to_string()).collect::<BTreeSet<_>>() != *paid {
            return Err("an acknowledged payment is missing or double after the kill".into());
        }
    }
    let standing = |channel: &ChannelInfo, paid: Amount| (channel.channel.to_string(), channel.nonce, paid);
    let ours = checked(hub.client.infos(long_call(), false).await)?.channels;
    let mut ours: Vec<_> = ours.iter().map(|channel| standing(channel, channel.theirs)).collect();
    let theirs = crowd.channels().await?;
    let mut theirs: Vec<_> = theirs.iter().map(|channel| standing(channel, channel.mine)).collect();
    ours.sort();
    theirs.sort();
    if ours == theirs { Ok(()) } else { Err("both sides of a channel don't say the same".into()) }
}

/// The process of the peers: runs until it is killed.
pub(crate) fn serve(rpc: &str, directory: &Path, ports: &[String]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let console = Rc::new(Console::start());
    let local = LocalSet::new();
    for (number, port) in ports.iter().enumerate() {
        let data = directory.join(number.to_string()).display().to_string();
        let arguments = ["thunderd", "--RPC", rpc, "--port", port, "--data-dir", &data];
        let mut config = Config::try_parse_from(arguments)?;
        let console = Rc::clone(&console);
        local.spawn_local(async move {
            start::run(&mut config, &console, std::future::pending()).await.map(drop)
        });
    }
    local.block_on(&runtime, std::future::pending::<()>());
    Ok(())
}
