//! `cargo bench -p thunder-node`: how fast two real nodes pay each other, as ratios to a bound program.
//!
//! The bound program is measured in the same rounds. See docs/performance.md.
//!
//! A payment counts when the payer's call has returned: then the countersigned receipt is on both
//! disks. After each timed run both nodes are killed with SIGKILL and reopened; if an acknowledged
//! payment is missing, double or other than it was, there is no score but an error.

mod bound;
mod crowd;
mod delay;
mod load;
mod node;
mod pair;
mod report;
mod scale;
mod seed;

use std::path::Path;
use std::process::ExitCode;
use std::slice;
use std::time::Duration;

use thunder_protocol::Amount;

use bound::Bound;
use pair::Pair;
use report::{Report, percentile};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Calls in flight on one channel.
const IN_FLIGHT: [usize; 5] = [1, 8, 64, 256, 4096];
/// Payments of a batch call, and to a receipt of the bound program.
const BATCH: usize = 256;
/// One way.
const DELAY: Duration = Duration::from_millis(10);

/// How much is measured.
struct Plan {
    rounds: usize,
    serial: usize,
    many: usize,
    is_quick: bool,
}

impl Plan {
    fn of(arguments: &[String]) -> Self {
        if arguments.iter().any(|argument| argument == "--quick") {
            return Self { rounds: 1, serial: 200, many: 16 * BATCH, is_quick: true };
        }
        // All payments of a run have to fit into one answer of `history`, which has 10,000 at most.
        Self { rounds: 7, serial: 2000, many: 39 * BATCH, is_quick: false }
    }

    /// Many channels and a long history.
    fn scale(&self) -> scale::Plan {
        let Self { rounds, serial, many, is_quick } = *self;
        let [idle, channels, calls] = if is_quick { [2000, 1000, 120] } else { [100_000, 10_000, 3930] };
        scale::Plan { rounds, serial, many, idle, channels, calls }
    }

    /// Many peers.
    fn crowd(&self) -> crowd::Plan {
        let peers = if self.is_quick { vec![1, 10] } else { vec![1, 10, 100, 1000] };
        // One channel's part of all runs of a round has to fit into one answer of `history`.
        crowd::Plan { rounds: self.rounds, many: self.many / 2, peers }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let plan = Plan::of(&arguments);
    let result = match arguments.as_slice() {
        [flag, directory] if flag == "--bound-peer" => bound::serve(Path::new(directory)),
        [flag, rpc, directory, ports @ ..] if flag == "--crowd" => {
            crowd::serve(rpc, Path::new(directory), ports)
        }
        _ if has("--scale") => {
            measure("scale", async |disk, report| Box::pin(scale::measure(&plan.scale(), disk, report)).await)
        }
        _ if has("--peers") => {
            measure("peers", async |disk, report| Box::pin(crowd::measure(&plan.crowd(), disk, report)).await)
        }
        _ => measure("payments", async |disk, report| Box::pin(pairs(&plan, disk, report)).await),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: no score: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints a table, and saves every round under this name.
fn measure(name: &str, what: impl AsyncFnOnce(&Path, &mut Report) -> Result<()>) -> Result<()> {
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(disk)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    runtime.block_on(what(disk, &mut report))?;
    report.print();
    report.save(&disk.join(name).with_extension("json"))
}

/// Two nodes and the channel between them, beside the bound program.
async fn pairs(plan: &Plan, disk: &Path, report: &mut Report) -> Result<()> {
    let mut near = Pair::start(disk, Duration::ZERO).await?;
    let mut far = Pair::start(disk, DELAY).await?;
    for round in 0..plan.rounds {
        println!("round {} of {}", round + 1, plan.rounds);
        let bound = bound_round(plan, disk, report)?;
        Box::pin(round_of(plan, round, &mut near, &bound, report)).await?;
        Box::pin(delayed(plan, round, &mut far, report)).await?;
    }
    Ok(())
}

/// What the bound program made of this round.
struct BoundRound {
    serial_p50: f64,
    pipelined_256: f64,
    coalesced: f64,
}

fn bound_round(plan: &Plan, disk: &Path, report: &mut Report) -> Result<BoundRound> {
    let directory = tempfile::TempDir::new_in(disk)?;
    let mut bound = Bound::start(directory.path())?;
    let mut serial = bound.serial(plan.serial, 1)?;
    let serial_p50 = percentile(&mut serial, 0.5);
    report.add("bound: one at a time, p50", "us", serial_p50);
    report.add("bound: one at a time, p99", "us", percentile(&mut serial, 0.99));
    let pipelined_64 = bound.pipelined(plan.many, 64)?;
    report.add("bound: 64 under way", "receipts/s", pipelined_64);
    let pipelined_256 = bound.pipelined(plan.many, 256)?;
    report.add("bound: 256 under way", "receipts/s", pipelined_256);
    let mut receipts = bound.serial(plan.serial, BATCH)?;
    #[expect(clippy::cast_precision_loss, reason = "256")]
    let coalesced = BATCH as f64 * 1e6 / percentile(&mut receipts, 0.5);
    report.add("bound: 256 payments to a receipt", "payments/s", coalesced);
    Ok(BoundRound { serial_p50, pipelined_256, coalesced })
}

async fn round_of(
    plan: &Plan,
    round: usize,
    pair: &mut Pair,
    bound: &BoundRound,
    report: &mut Report,
) -> Result<()> {
    let amount: Amount = "0.000001".parse()?;
    let mut one_way = 0.0;
    for in_flight in IN_FLIGHT {
        let count = if in_flight == 1 { plan.serial } else { plan.many };
        let run = format!("one-{round}-{in_flight}");
        let cpu = cpu_seconds(pair);
        let mut done =
            load::pay(&pair.alice, slice::from_ref(&pair.channel), amount, &run, count, in_flight).await?;
        if let (Some(before), Some(after)) = (cpu, cpu_seconds(pair)) {
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            report.add(
                &format!("{in_flight} in flight, processor of both nodes"),
                "us/payment",
                (after - before) * 1e6 / count as f64,
            );
        }
        let p50 = percentile(&mut done.took, 0.5);
        report.add(&format!("{in_flight} in flight, p50"), "us", p50);
        report.add(&format!("{in_flight} in flight, p99"), "us", percentile(&mut done.took, 0.99));
        report.add(&format!("{in_flight} in flight"), "payments/s", done.rate);
        if in_flight == 1 {
            report.add("one at a time p50 / bound", "ratio", p50 / bound.serial_p50);
        }
        if in_flight == 256 {
            one_way = done.rate;
            report.add("256 in flight / bound's 256 under way", "ratio", done.rate / bound.pipelined_256);
        }
        pair.survives(amount, &[done.ids, Vec::new()]).await?;
    }
    let (there, back) = (format!("there-{round}"), format!("back-{round}"));
    let (a, b) = tokio::try_join!(
        load::pay(&pair.alice, slice::from_ref(&pair.channel), amount, &there, plan.many / 2, 128),
        load::pay(&pair.bob, slice::from_ref(&pair.channel), amount, &back, plan.many / 2, 128),
    )?;
    report.add("crossing, 128 in flight on each side", "payments/s", a.rate + b.rate);
    report.add("crossing / one way", "ratio", (a.rate + b.rate) / one_way);
    pair.survives(amount, &[a.ids, b.ids]).await?;
    let run = format!("batch-{round}");
    let batch = load::pay_many(&pair.alice, &pair.channel, amount, &run, plan.many / BATCH, BATCH).await?;
    report.add("calls of 256 payments", "payments/s", batch.rate);
    report.add("calls of 256 / bound's 256 to a receipt", "ratio", batch.rate / bound.coalesced);
    pair.survives(amount, &[batch.ids, Vec::new()]).await?;
    #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
    report.add(
        "disk per payment and side, so far",
        "bytes",
        pair.alice.disk_bytes() as f64 / (pair.paid[0] + pair.paid[1]) as f64,
    );
    report.keep_rate(round, one_way);
    Ok(())
}

async fn delayed(plan: &Plan, round: usize, pair: &mut Pair, report: &mut Report) -> Result<()> {
    let amount: Amount = "0.000001".parse()?;
    let before = pair.alice.channel(&pair.channel).await?.nonce;
    let (mut done, _) = pair.pays(amount, &format!("far-{round}"), plan.many, 256).await?;
    let receipts = pair.alice.channel(&pair.channel).await?.nonce - before;
    report.add("256 in flight, 20 ms there and back, p50", "us", percentile(&mut done.took, 0.5));
    // Each of this side's receipts has a nonce of its own parity.
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    report.add("the same, payments to a receipt", "payments", 2.0 * plan.many as f64 / receipts as f64);
    report.add("256 in flight, 20 ms there and back", "payments/s", done.rate);
    if let Some(near) = report.rate(round) {
        report.add("20 ms there and back / none, 256 in flight", "ratio", done.rate / near);
    }
    Ok(())
}

fn cpu_seconds(pair: &Pair) -> Option<f64> {
    Some(pair.alice.cpu_seconds()? + pair.bob.cpu_seconds()?)
}
