//! Many channels, and a long history.

use std::path::Path;
use std::time::{Duration, Instant};

use thunder_api::Selector;
use thunder_deploy::DevelopmentAccount;
use thunder_protocol::{Amount, Role};

use crate::load;
use crate::node::{ALICE, checked, long_call};
use crate::pair::Pair;
use crate::report::Report;
use crate::report::percentile;
use crate::seed::{Seeder, nobody};
use crate::{BATCH, Result, cpu_seconds};

/// Blocks whose work is measured: each channel is asked for its state every sixth.
const BLOCKS: u32 = 24;
/// A block of the chain that work per block is measured on.
const BLOCK_TIME: Duration = Duration::from_millis(500);

/// How much is measured.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) serial: usize,
    pub(crate) many: usize,
    /// Idle channels beside an active one.
    pub(crate) idle: usize,
    /// Channels of the node with the long history.
    pub(crate) channels: usize,
    /// Calls that made its history, of 256 payments each.
    pub(crate) calls: usize,
}

impl Plan {
    const fn history(&self) -> usize {
        self.calls * BATCH
    }
}

pub(crate) async fn measure(plan: &Plan, disk: &Path, report: &mut Report) -> Result<()> {
    let amount: Amount = "0.000001".parse()?;
    let mut one = Pair::start(disk, Duration::ZERO).await?;
    println!("opening {} channels", plan.idle);
    let mut wide = with_idle(disk, plan.idle).await?;
    println!("opening {} channels, and making {} payments", plan.channels, plan.history());
    let mut long = with_idle(disk, plan.channels).await?;
    let before = long.alice.disk_bytes();
    let done = load::pay_many(&long.alice, &long.channel, amount, "past", plan.calls, BATCH).await?;
    long.count(&[done.ids, Vec::new()]);
    long.reopen().await?;
    #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
    let per_payment = (long.alice.disk_bytes() - before) as f64 / long.paid[0] as f64;
    report.add(&format!("disk per payment, after {}", plan.history()), "bytes", per_payment);
    one.reopen().await?;
    if let (Some(many), Some(one)) = (wide.alice.memory(), one.alice.memory()) {
        #[expect(clippy::cast_precision_loss, reason = "sizes")]
        let each = many.saturating_sub(one) as f64 / plan.idle as f64;
        report.add("memory per idle channel", "bytes", each);
    }
    for round in 0..plan.rounds {
        println!("round {} of {}", round + 1, plan.rounds);
        rates(plan, round, [&mut one, &mut wide], amount, report).await?;
        delays(plan, round, [&mut one, &mut long], amount, report).await?;
        answers(plan, [&one, &wide, &long], report).await?;
    }
    for (name, pair) in [("one channel", &one), (&*format!("{} channels", plan.idle), &wide)] {
        report.add(&format!("work per block, {name}"), "us", work_per_block(pair).await?);
    }
    Ok(())
}

/// A pair of which one side has so many idle channels with as many others, beside the one between them.
async fn with_idle(disk: &Path, count: usize) -> Result<Pair> {
    let mut pair = Pair::start(disk, Duration::ZERO).await?;
    pair.alice.kill()?;
    let account = DevelopmentAccount::new(ALICE)?;
    let partners: Vec<_> = (0..count).map(nobody).collect();
    let seeder = Seeder::new(&pair.testnet).await?;
    let begun = Instant::now();
    let opened = seeder.open(&account, &partners, "0.001".parse()?).await?;
    println!("  on the chain after {:.0?}", begun.elapsed());
    seeder.store(&pair.alice.database(), &account.key, Role::A, opened.iter(), 1).await?;
    pair.alice.reopen().await?;
    pair.usable().await?;
    println!("  done after {:.0?}", begun.elapsed());
    Ok(pair)
}

/// Payments a second, with one channel and with many.
async fn rates(
    plan: &Plan,
    round: usize,
    pairs: [&mut Pair; 2],
    amount: Amount,
    report: &mut Report,
) -> Result<()> {
    let mut rates = Vec::new();
    for (pair, name) in pairs.into_iter().zip(["one channel".to_owned(), format!("{} channels", plan.idle)]) {
        let (done, _) = pair.pays(amount, &format!("rate-{round}"), plan.many, 256).await?;
        report.add(&format!("256 in flight, {name}"), "payments/s", done.rate);
        rates.push(done.rate);
    }
    if let [one, many] = rates.as_slice() {
        report.add(&format!("rate with {} channels / with one", plan.idle), "ratio", many / one);
    }
    Ok(())
}

/// How long one payment at a time takes, of a young channel and of one with a long history; and how
/// long a node needs to be ready after SIGKILL.
async fn delays(
    plan: &Plan,
    round: usize,
    pairs: [&mut Pair; 2],
    amount: Amount,
    report: &mut Report,
) -> Result<()> {
    let mut medians = Vec::new();
    for (pair, name) in
        pairs.into_iter().zip(["a young channel".to_owned(), format!("{} payments", plan.history())])
    {
        let (mut done, ready) = pair.pays(amount, &format!("delay-{round}"), plan.serial, 1).await?;
        let p50 = percentile(&mut done.took, 0.5);
        report.add(&format!("1 in flight, p50, {name}"), "us", p50);
        medians.push(p50);
        report.add(&format!("ready after SIGKILL, {name}"), "ms", ready.as_secs_f64() * 1e3);
    }
    if let [young, old] = medians.as_slice() {
        report.add(
            &format!("p50 after {} payments / of a young channel", plan.history()),
            "ratio",
            old / young,
        );
    }
    Ok(())
}

/// How long questions take.
async fn answers(plan: &Plan, [one, wide, long]: [&Pair; 3], report: &mut Report) -> Result<()> {
    let names =
        ["one channel".to_owned(), format!("{} channels", plan.idle), format!("{} channels", plan.channels)];
    for (pair, name) in [one, wide, long].into_iter().zip(names) {
        let begun = Instant::now();
        let infos = checked(pair.alice.client.infos(long_call(), false).await)?;
        report.add(&format!("infos, {name}"), "ms", begun.elapsed().as_secs_f64() * 1e3);
        if infos.channels.is_empty() {
            return Err("infos shows no channel".into());
        }
    }
    for limit in [20, 10_000] {
        let begun = Instant::now();
        long.alice.history(&Selector::default(), limit).await?;
        let name = format!("history of {limit} among {}", plan.history());
        report.add(&name, "ms", begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

/// Processor time of the payer's node for a block, beyond what it uses while there is none.
async fn work_per_block(pair: &Pair) -> Result<f64> {
    let mut used = Vec::new();
    for blocks in [0, 1] {
        let before = cpu_seconds(pair).unwrap_or_default();
        for _ in 0..BLOCKS {
            pair.testnet.mine(blocks).await?;
            tokio::time::sleep(BLOCK_TIME).await;
        }
        used.push(cpu_seconds(pair).unwrap_or_default() - before);
    }
    Ok((used.last().copied().unwrap_or_default() - used.first().copied().unwrap_or_default()) * 1e6
        / f64::from(BLOCKS))
}
