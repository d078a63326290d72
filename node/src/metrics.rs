//! What the node counts and measures, for `--metrics`: every name, unit and meaning.
//!
//! They are also in `docs/reference/metrics.md`, which a test compares with what is served.
//!
//! Nothing here names a counterparty: no address, no peer id, no channel.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;

const PAYMENTS: &str = "thunder_payments_total";
const FAILED: &str = "thunder_payments_failed_total";
const CHALLENGES: &str = "thunder_challenges_total";
const LOST_LINES: &str = "thunder_log_lines_lost_total";
const PAY: &str = "thunder_pay_seconds";
const EXCHANGE: &str = "thunder_exchange_seconds";
const COMMIT: &str = "thunder_disk_commit_seconds";
const BATCH: &str = "thunder_batch_inputs";
const CHANNELS: &str = "thunder_channels";

/// Bounds of the buckets of everything that takes time, in seconds.
const TIMES: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Bounds of the buckets of [`BATCH`].
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0];

const COUNTERS: [(&str, &str); 4] = [
    (PAYMENTS, "Payments that both sides agreed on, by direction"),
    (FAILED, "Payments that were ordered in a channel, and refused or given up"),
    (CHALLENGES, "Challenges of closings on old receipts that were ordered"),
    (LOST_LINES, "Lines of the log that were lost, because standard error was closed, full or not read"),
];

/// The histograms of times.
const LATENCIES: [(&str, &str); 3] = [
    (PAY, "From the order of a payment to the answer that it is paid"),
    (EXCHANGE, "From a packet to another node to its answer: a receipt there and its countersignature back"),
    (COMMIT, "How long the disk took to take a batch"),
];

/// The gauges: name, unit if there is one that Prometheus knows, meaning.
const GAUGES: [(&str, Option<Unit>, &str); 14] = [
    (CHANNELS, None, "Channels by the contract's state"),
    ("thunder_channels_frozen", None, "Channels that are frozen, because the disk refused a write"),
    ("thunder_channels_lost", None, "Channels of which this node has lost data"),
    ("thunder_channels_to_challenge", None, "Channels that the other side closed on an old receipt"),
    ("thunder_own_thd", None, "This side's share of all active channels, in THD"),
    ("thunder_partners_thd", None, "The other sides' share of all active channels, in THD"),
    ("thunder_peers_connected", None, "Nodes that are connected"),
    ("thunder_chain_height", None, "The newest block that was read"),
    (
        "thunder_chain_lag_seconds",
        Some(Unit::Seconds),
        "Time since all that the chain says was last read, or since the start",
    ),
    ("thunder_chain_block_age_seconds", Some(Unit::Seconds), "Time since a new block was last read"),
    ("thunder_transactions_pending", None, "Transactions that were ordered and are not mined"),
    ("thunder_wallet_ether", None, "ETH that the wallet has for gas; NaN while it is not known"),
    ("thunder_database_bytes", Some(Unit::Bytes), "Size of the database, without its log"),
    ("thunder_ready", None, "1 if /ready answers 200, else 0"),
];

/// The meaning of [`BATCH`].
const BATCH_MEANING: &str = "Inputs that the disk took with one commit";

/// What a metric is, for the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// As Prometheus has it: counter, gauge or histogram.
    pub kind: &'static str,
    /// Its labels, and their values.
    pub labels: &'static str,
    /// What it counts or measures.
    pub meaning: &'static str,
}

/// Every metric that `--metrics` serves.
///
/// ```
/// let mut names = thunder_node::metrics::catalogue().map(|metric| metric.name);
/// assert!(names.all(|name| name.starts_with("thunder_")));
/// ```
pub fn catalogue() -> impl Iterator<Item = Description> {
    let labels = |name| match name {
        PAYMENTS => "`direction`: in, out",
        CHANNELS => "`state`: empty, active, closing, closed",
        _ => "",
    };
    let of = move |kind, name, meaning| Description { name, kind, labels: labels(name), meaning };
    let counters = COUNTERS.into_iter().map(move |(name, meaning)| of("counter", name, meaning));
    let histograms = LATENCIES.into_iter().chain([(BATCH, BATCH_MEANING)]);
    let histograms = histograms.map(move |(name, meaning)| of("histogram", name, meaning));
    let gauges = GAUGES.into_iter().map(move |(name, _, meaning)| of("gauge", name, meaning));
    counters.chain(histograms).chain(gauges)
}

/// Installs the recorder of the metrics, once in a process. Without a recorder, counting does nothing.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(BATCH.into()), &SIZES)?;
    for (name, _) in LATENCIES {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.into()), &TIMES)?;
    }
    let handle = builder.install_recorder()?;
    for (name, meaning) in COUNTERS {
        metrics::describe_counter!(name, meaning);
    }
    for (name, meaning) in LATENCIES {
        metrics::describe_histogram!(name, Unit::Seconds, meaning);
    }
    metrics::describe_histogram!(BATCH, BATCH_MEANING);
    for (name, unit, meaning) in GAUGES {
        match unit {
            Some(unit) => metrics::describe_gauge!(name, unit, meaning),
            None => metrics::describe_gauge!(name, meaning),
        }
    }
    Ok(RECORDER.get_or_init(|| handle).clone())
}

/// Where things are counted. Made once, so that a payment costs no more than an addition.
pub(crate) struct Metrics {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) failed: Counter,
    pub(crate) challenges: Counter,
    lost_lines: Counter,
    pay: Histogram,
    exchange: Histogram,
    commit: Histogram,
    batch: Histogram,
    channels: [Gauge; 4],
    frozen: Gauge,
    lost: Gauge,
    to_challenge: Gauge,
    own: Gauge,
    partners: Gauge,
    peers: Gauge,
    height: Gauge,
    lag: Gauge,
    block_age: Gauge,
    pending: Gauge,
    ether: Gauge,
    database: Gauge,
    ready: Gauge,
}

/// What the node is like at one time.
#[derive(Default)]
pub(crate) struct Measured {
    /// Channels that are empty, active, closing and closed.
    pub(crate) channels: [u32; 4],
    pub(crate) frozen: u32,
    pub(crate) lost: u32,
    pub(crate) to_challenge: u32,
    /// In base units.
    pub(crate) own: u128,
    /// In base units.
    pub(crate) partners: u128,
    pub(crate) peers: usize,
    pub(crate) height: u64,
    pub(crate) lag: Duration,
    pub(crate) block_age: Duration,
    pub(crate) pending: usize,
    /// In wei.
    pub(crate) wei: Option<u128>,
    /// In bytes.
    pub(crate) database: u64,
    /// Why the node is not ready; nothing if it is.
    pub(crate) missing: Vec<&'static str>,
    /// Lines of the log that were lost.
    pub(crate) lost_lines: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            received: metrics::counter!(PAYMENTS, "direction" => "in"),
            sent: metrics::counter!(PAYMENTS, "direction" => "out"),
            failed: metrics::counter!(FAILED),
            challenges: metrics::counter!(CHALLENGES),
            lost_lines: metrics::counter!(LOST_LINES),
            pay: metrics::histogram!(PAY),
            exchange: metrics::histogram!(EXCHANGE),
            commit: metrics::histogram!(COMMIT),
            batch: metrics::histogram!(BATCH),
            channels: ["empty", "active", "closing", "closed"]
                .map(|state| metrics::gauge!(CHANNELS, "state" => state)),
            frozen: metrics::gauge!("thunder_channels_frozen"),
            lost: metrics::gauge!("thunder_channels_lost"),
            to_challenge: metrics::gauge!("thunder_channels_to_challenge"),
            own: metrics::gauge!("thunder_own_thd"),
            partners: metrics::gauge!("thunder_partners_thd"),
            peers: metrics::gauge!("thunder_peers_connected"),
            height: metrics::gauge!("thunder_chain_height"),
            lag: metrics::gauge!("thunder_chain_lag_seconds"),
            block_age: metrics::gauge!("thunder_chain_block_age_seconds"),
            pending: metrics::gauge!("thunder_transactions_pending"),
            ether: metrics::gauge!("thunder_wallet_ether"),
            database: metrics::gauge!("thunder_database_bytes"),
            ready: metrics::gauge!("thunder_ready"),
        }
    }
}

impl Metrics {
    /// The disk took a batch of so many inputs.
    pub(crate) fn committed(&self, since: Instant, inputs: usize) {
        self.commit.record(since.elapsed());
        self.batch.record(inputs as f64);
    }

    /// A payment was made that was ordered then.
    pub(crate) fn paid(&self, ordered: Instant) {
        self.pay.record(ordered.elapsed());
    }

    /// Another node has answered a packet that was sent then.
    pub(crate) fn answered(&self, sent: Instant) {
        self.exchange.record(sent.elapsed());
    }

    /// Sets every gauge, and the counter of what is counted elsewhere.
    pub(crate) fn set(&self, measured: &Measured) {
        self.lost_lines.absolute(measured.lost_lines);
        for (gauge, count) in self.channels.iter().zip(measured.channels) {
            gauge.set(count);
        }
        self.frozen.set(measured.frozen);
        self.lost.set(measured.lost);
        self.to_challenge.set(measured.to_challenge);
        self.own.set(whole(measured.own));
        self.partners.set(whole(measured.partners));
        self.peers.set(measured.peers as f64);
        self.height.set(measured.height as f64);
        self.lag.set(measured.lag.as_secs_f64());
        self.block_age.set(measured.block_age.as_secs_f64());
        self.pending.set(measured.pending as f64);
        self.ether.set(measured.wei.map_or(f64::NAN, whole));
        self.database.set(measured.database as f64);
        self.ready.set(u32::from(measured.missing.is_empty()));
    }
}

/// THD and ether have 18 decimals.
fn whole(base_units: u128) -> f64 {
    base_units as f64 / 1e18
}
