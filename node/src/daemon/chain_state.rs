//! What the node knows of its chain.

use std::time::Duration;

use thunder_api::EndpointInfo;
use thunder_chain::{ChainId, Contracts, EndpointStatus, GasFunds};
use thunder_protocol::Address;
use thunder_protocol::onchain::CHALLENGE_PERIOD;
use tokio::time::Instant;

/// A challenge period shorter than this is too short for people, and for many a supervisor (guard
/// rule G8).
const SHORT_PERIOD: Duration = Duration::from_secs(120);
/// Without a word of the chain task for this long it stands still.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What the node knows of its chain.
pub(crate) struct ChainState {
    pub(super) identity: Option<ChainId>,
    /// Whether THD and the factory are there, or why not; `None` before they were looked for.
    pub(super) contracts_found: Option<Result<(), String>>,
    pub(super) contracts: Contracts,
    /// The newest block at which everything is read.
    pub(super) head: Option<u64>,
    /// How the RPC endpoints are.
    pub(super) endpoints: Vec<EndpointStatus>,
    /// Whether the chain was caught up with since the start; before that no message is handled.
    pub(super) caught_up: bool,
    /// When every channel was last read, and for how long that is good enough to sign on.
    pub(super) read: Option<(Instant, Duration)>,
    /// The time between two blocks, once it is measured.
    pub(super) block_time: Option<Duration>,
    /// When the chain last had a new block.
    pub(super) last_advanced: Instant,
    /// When the chain task last said anything.
    pub(super) last_report: Instant,
    pub(super) unmined: usize,
    /// Calls that the endpoints don't take, and why.
    pub(super) refused: Vec<(Address, String)>,
    /// What the wallet has for gas, as far as is known.
    pub(super) funds: Option<GasFunds>,
}

impl ChainState {
    pub(super) fn new(identity: Option<ChainId>, head: Option<u64>, contracts: Contracts) -> Self {
        Self {
            identity,
            contracts_found: None,
            contracts,
            head,
            endpoints: Vec::new(),
            caught_up: false,
            read: None,
            block_time: None,
            last_advanced: Instant::now(),
            last_report: Instant::now(),
            unmined: 0,
            refused: Vec::new(),
            funds: None,
        }
    }

    /// Whether an endpoint answers.
    pub(super) fn is_connected(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.is_connected)
    }

    /// Whether this is a local testnet, whose blocks come when its user wants them.
    pub(super) fn is_local(&self) -> bool {
        self.identity.is_some_and(|identity| identity.is_local())
    }

    /// Whether every channel was read lately enough to sign on. An endpoint that answers and stands
    /// still is as good as none; a local testnet may stand still.
    pub(super) fn is_fresh(&self) -> bool {
        let Some((read_at, lasts)) = self.read else { return false };
        let moves = self.is_local() || self.last_advanced.elapsed() <= lasts;
        self.caught_up && moves && read_at.elapsed() <= lasts
    }

    /// How long ago every channel was last read.
    pub(super) fn age(&self) -> Option<Duration> {
        self.read.map(|(read_at, _)| read_at.elapsed())
    }

    /// Why the node has to be looked after, if it has: its chain task stands still, or nothing was read
    /// for half a challenge period.
    pub(super) fn illness(&self) -> Option<&'static str> {
        let half = self.block_time.unwrap_or(Duration::from_secs(12)).saturating_mul(12).max(SHORT_PERIOD);
        let age = self.age().unwrap_or(self.last_advanced.elapsed());
        if self.last_report.elapsed() > HEARTBEAT {
            Some("the chain task stands still")
        } else if age > half {
            Some("no channel was read for half a challenge period: look after the RPC endpoint")
        } else {
            None
        }
    }

    /// How long a challenge period lasts, if that is less than two minutes. The own testnet is known.
    pub(super) fn short_period(&self) -> Option<Duration> {
        let blocks = u32::try_from(CHALLENGE_PERIOD).unwrap_or(u32::MAX);
        let period = self.block_time?.saturating_mul(blocks);
        (!self.is_local() && period < SHORT_PERIOD).then_some(period)
    }

    /// The endpoints for `infos`.
    pub(super) fn endpoint_infos(&self) -> Vec<EndpointInfo> {
        let info = |endpoint: &EndpointStatus| EndpointInfo {
            rpc: endpoint.label.clone(),
            connected: endpoint.is_connected,
            block: endpoint.block,
            trouble: endpoint.trouble.clone(),
        };
        self.endpoints.iter().map(info).collect()
    }
}
