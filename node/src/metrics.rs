//! What the node counts and measures, for `--metrics`: every name, unit and meaning is here, and in
//! `docs/metrics.md`, which a test compares with what is served.
//!
//! Nothing here names a counterparty: no address, no peer id, no channel.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;

const PAYMENTS: &str = "thunder_payments_total";
const COMMIT: &str = "thunder_disk_commit_seconds";
const CHANNELS: &str = "thunder_channels";

/// Bounds of the buckets of [`COMMIT`], in seconds.
const COMMIT_BUCKETS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];

/// The gauges: name, unit if there is one that Prometheus knows, meaning.
const GAUGES: [(&str, Option<Unit>, &str); 12] = [
    (CHANNELS, None, "Channels by the contract's state"),
    ("thunder_channels_frozen", None, "Channels that are frozen, because the disk refused a write"),
    ("thunder_channels_lost", None, "Channels of which this node has lost data"),
    ("thunder_channels_to_challenge", None, "Channels that the other side closed on an old receipt"),
    ("thunder_own_thd", None, "This side's share of all active channels, in THD"),
    ("thunder_partners_thd", None, "The other sides' share of all active channels, in THD"),
    ("thunder_peers_connected", None, "Nodes that are connected"),
    ("thunder_chain_height", None, "The newest block that was read"),
    (
        "thunder_chain_silence_seconds",
        Some(Unit::Seconds),
        "Time since all that the chain says was last read, or since the start",
    ),
    ("thunder_transactions_pending", None, "Transactions that were sent and are not mined"),
    ("thunder_wallet_ether", None, "ETH that the wallet has for gas; NaN while it is not known"),
    ("thunder_ready", None, "1 if /ready answers 200, else 0"),
];

/// Makes the recorder that everything below goes to. Without it all of that does nothing.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(COMMIT.into()), &COMMIT_BUCKETS)?
        .install_recorder()?;
    metrics::describe_counter!(PAYMENTS, "Payments that both sides agreed on, by direction");
    metrics::describe_histogram!(COMMIT, Unit::Seconds, "How long the disk took to take a batch");
    for (name, unit, meaning) in GAUGES {
        match unit {
            Some(unit) => metrics::describe_gauge!(name, unit, meaning),
            None => metrics::describe_gauge!(name, meaning),
        }
    }
    Ok(handle)
}

/// Where things are counted. Made once, so that a payment costs no more than an addition.
pub(crate) struct Metrics {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    commit: Histogram,
    channels: [Gauge; 4],
    frozen: Gauge,
    lost: Gauge,
    to_challenge: Gauge,
    own: Gauge,
    partners: Gauge,
    peers: Gauge,
    height: Gauge,
    silence: Gauge,
    pending: Gauge,
    ether: Gauge,
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
    pub(crate) silence: Duration,
    pub(crate) pending: usize,
    /// In wei.
    pub(crate) wei: Option<u128>,
    /// Why the node is not ready; nothing if it is.
    pub(crate) missing: Vec<&'static str>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            received: metrics::counter!(PAYMENTS, "direction" => "in"),
            sent: metrics::counter!(PAYMENTS, "direction" => "out"),
            commit: metrics::histogram!(COMMIT),
            channels: ["empty", "active", "closing", "closed"]
                .map(|state| metrics::gauge!(CHANNELS, "state" => state)),
            frozen: metrics::gauge!("thunder_channels_frozen"),
            lost: metrics::gauge!("thunder_channels_lost"),
            to_challenge: metrics::gauge!("thunder_channels_to_challenge"),
            own: metrics::gauge!("thunder_own_thd"),
            partners: metrics::gauge!("thunder_partners_thd"),
            peers: metrics::gauge!("thunder_peers_connected"),
            height: metrics::gauge!("thunder_chain_height"),
            silence: metrics::gauge!("thunder_chain_silence_seconds"),
            pending: metrics::gauge!("thunder_transactions_pending"),
            ether: metrics::gauge!("thunder_wallet_ether"),
            ready: metrics::gauge!("thunder_ready"),
        }
    }
}

impl Metrics {
    /// The disk took a batch.
    pub(crate) fn committed(&self, since: Instant) {
        self.commit.record(since.elapsed().as_secs_f64());
    }

    /// Sets every gauge.
    pub(crate) fn set(&self, measured: &Measured) {
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
        self.silence.set(measured.silence.as_secs_f64());
        self.pending.set(measured.pending as f64);
        self.ether.set(measured.wei.map_or(f64::NAN, whole));
        self.ready.set(u32::from(measured.missing.is_empty()));
    }
}

/// THD and ether have 18 decimals.
fn whole(base_units: u128) -> f64 {
    base_units as f64 / 1e18
}

/// What `/ready` says, written by the daemon and read by the server.
#[derive(Clone)]
pub(crate) struct Readiness(Arc<Mutex<Vec<&'static str>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(vec!["the node is starting"])))
    }
}

impl Readiness {
    /// Nothing is missing if `missing` is empty.
    pub(crate) fn set(&self, missing: Vec<&'static str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = missing;
    }

    /// What is missing.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
