//! Two real thunderd with a channel between them on a real anvil, in their default configuration.
//!
//! Each has a data directory of its own.

use std::path::Path;
use std::slice;
use std::time::{Duration, Instant};

use thunder_api::{OpenRequest, Selector};
use thunder_deploy::{Testnet, TestnetOptions};
use thunder_protocol::Amount;

use crate::Result;
use crate::delay::Delayed;
use crate::load::{self, LoadResult};
use crate::node::{ALICE, BOB, Node, TIMEOUT, checked, long_call};

/// Everything that a measurement needs.
pub(crate) struct Pair {
    pub(crate) alice: Node,
    pub(crate) bob: Node,
    /// Their channel.
    pub(crate) channel: Selector,
    /// Payments that were acknowledged so far: by Alice, and by Bob.
    pub(crate) paid: [u64; 2],
    total: Amount,
    begun_with: [Amount; 2],
    pub(crate) testnet: Testnet,
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
        for (node, index) in [(&alice, ALICE), (&bob, BOB)] {
            let wallet = node.import_wallet(index).await?;
            testnet.give_thd(wallet, "4000".parse()?).await.map_err(|error| error.to_string())?;
        }
        let delayed = if delay.is_zero() { None } else { Some(Delayed::start(bob.port, delay)?) };
        let port = delayed.as_ref().map_or(bob.port, |delayed| delayed.port);
        checked(alice.client.connect(long_call(), format!("127.0.0.1:{port}")).await)?;
        let request =
            OpenRequest { amount: "2000".parse()?, deposit: None, peer: None, accept_short_period: false };
        let opened = checked(alice.client.open_channel(long_call(), request).await)?;
        let channel = Selector { channel: Some(opened.channel.to_string()), ..Selector::default() };
        let total = "2000".parse()?;
        let pair = Self {
            alice,
            bob,
            channel,
            paid: [0, 0],
            total,
            begun_with: [total, Amount::ZERO],
            testnet,
            _delayed: delayed,
        };
        pair.usable().await?;
        let half = thunder_api::PaymentRequest {
            amount: "1000".parse()?,
            memo: thunder_protocol::Memo::default(),
            id: None,
        };
        let request = thunder_api::PayRequest { channel: pair.channel.clone(), payment: half };
        let paid = checked(pair.alice.client.pay(long_call(), request).await)?;
        Ok(Self { begun_with: [paid.mine, paid.theirs], ..pair })
    }

    /// Waits until both sides can pay.
    pub(crate) async fn usable(&self) -> Result<()> {
        let end = Instant::now() + TIMEOUT;
        for node in [&self.alice, &self.bob] {
            while !node.channel(&self.channel).await?.next_text.contains("pay") {
                if Instant::now() > end {
                    return Err("the channel never became usable".into());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Alice pays, and all of it [survives](Self::survives). Returns what it brought, and how long her
    /// node then needed until it was ready.
    pub(crate) async fn pays(
        &mut self,
        amount: Amount,
        run: &str,
        count: usize,
        in_flight: usize,
    ) -> Result<(LoadResult, Duration)> {
        let channel = slice::from_ref(&self.channel);
        let mut done = load::pay(&self.alice, channel, amount, run, count, in_flight).await?;
        let ready = self.survives(amount, &[std::mem::take(&mut done.ids), Vec::new()]).await?;
        Ok((done, ready))
    }

    /// Kills both nodes and reopens them: every payment that was acknowledged has to be there, once,
    /// on both sides, and the shares have to be what they say. `ids` are those of this run, each of
    /// `amount`, by payer.
    /// Returns how long the payer's node needed until it was ready.
    pub(crate) async fn survives(&mut self, amount: Amount, ids: &[Vec<String>; 2]) -> Result<Duration> {
        let before = self.alice.channel(&self.channel).await?;
        let ready = self.reopen().await?;
        self.count(ids);
        let moved = |count: u64| amount.base_units() * u128::from(count);
        let [a, b] = self.begun_with.map(Amount::base_units);
        let expected =
            [a + moved(self.paid[1]) - moved(self.paid[0]), b + moved(self.paid[0]) - moved(self.paid[1])];
        for (node, mine) in [(&self.alice, expected[0]), (&self.bob, expected[1])] {
            let channel = node.channel(&self.channel).await?;
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
        Ok(ready)
    }

    /// Kills both nodes and reopens them. Returns how long the payer's needed until it was ready.
    pub(crate) async fn reopen(&mut self) -> Result<Duration> {
        self.alice.kill()?;
        self.bob.kill()?;
        let ready = self.alice.reopen().await?;
        self.bob.reopen().await?;
        self.usable().await?;
        Ok(ready)
    }

    /// These were acknowledged.
    pub(crate) fn count(&mut self, ids: &[Vec<String>; 2]) {
        for (payer, ids) in ids.iter().enumerate() {
            if let Some(count) = self.paid.get_mut(payer) {
                *count += ids.len() as u64;
            }
        }
    }

    async fn has_each_once(&self, node: &Node, own: usize, ids: &[Vec<String>; 2]) -> Result<()> {
        let count: usize = ids.iter().map(Vec::len).sum();
        let history = node.history(&self.channel, count).await?;
        let mut found = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
        for payment in &history {
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
