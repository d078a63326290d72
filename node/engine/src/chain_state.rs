//! `ChainState`: the chain in use, its head, its endpoints, and how fresh what was read of it is.

use thunder_api::EndpointInfo;
use thunder_protocol::channel::Millis;
use thunder_protocol::onchain::CHALLENGE_PERIOD;
use thunder_protocol::{ChainIdentity, Contracts};

/// A challenge period shorter than this, in milliseconds, is too short for people, and for many a supervisor
/// (guard rule G8).
const SHORT_PERIOD: Millis = 120_000;
/// Without a word of the chain task for this long, in milliseconds, it stands still.
const HEARTBEAT: Millis = 10_000;
/// The time between two blocks before it is measured, in milliseconds.
const DEFAULT_BLOCK_TIME: Millis = 12_000;

/// What the node knows of its chain.
#[derive(Debug)]
pub struct ChainState {
    /// The chain.
    pub identity: Option<ChainIdentity>,
    /// Whether THD and the factory are there, or why not; `None` before they were looked for.
    pub contracts_found: Option<Result<(), String>>,
    /// Where THD and the factory are.
    pub contracts: Contracts,
    /// The newest block at which everything is read.
    pub head: Option<u64>,
    /// How the RPC endpoints are.
    pub endpoints: Vec<EndpointInfo>,
    /// Whether the chain was caught up with since the start; before that no message is handled.
    pub is_caught_up: bool,
    /// When every channel was last read, and for how long that is good enough to sign on.
    pub(crate) read: Option<(Millis, Millis)>,
    /// The time between two blocks, once it is measured.
    pub(crate) block_time: Option<Millis>,
    /// When the chain last had a new block.
    pub(crate) last_advanced: Millis,
    /// When the chain task last reported anything.
    pub(crate) last_report: Millis,
    /// The newest block that was read, as the disk has it.
    pub(crate) noted_head: Option<u64>,
    /// When the log last had that blocks were taken back.
    pub(crate) reorganisation_logged: Option<Millis>,
}

impl ChainState {
    pub(crate) const fn new(
        identity: Option<ChainIdentity>,
        head: Option<u64>,
        contracts: Contracts,
        now: Millis,
    ) -> Self {
        Self {
            identity,
            contracts_found: None,
            contracts,
            head,
            endpoints: Vec::new(),
            is_caught_up: false,
            read: None,
            block_time: None,
            last_advanced: now,
            last_report: now,
            noted_head: None,
            reorganisation_logged: None,
        }
    }

    /// Whether an endpoint answers.
    pub fn is_connected(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.connected)
    }

    /// Whether this is a local testnet, whose blocks come when its user wants them.
    fn is_local(&self) -> bool {
        self.identity.is_some_and(|identity| identity.is_local())
    }

    /// Whether every channel was read lately enough to sign on. An endpoint that answers and stands still is as
    /// good as none; a local testnet may stand still.
    pub fn is_fresh(&self, now: Millis) -> bool {
        let Some((read_at, lasts)) = self.read else { return false };
        let moves = self.is_local() || now.saturating_sub(self.last_advanced) <= lasts;
        self.is_caught_up && moves && now.saturating_sub(read_at) <= lasts
    }

    /// How long ago every channel was last read, in milliseconds; since the newest block if that is not known.
    pub fn age(&self, now: Millis) -> Millis {
        self.read.map_or_else(|| self.block_age(now), |(read_at, _)| now.saturating_sub(read_at))
    }

    /// How long ago the chain had a new block, in milliseconds.
    pub const fn block_age(&self, now: Millis) -> Millis {
        now.saturating_sub(self.last_advanced)
    }

    /// Why a person has to look after the node: its chain task stands still, or nothing was read for half a
    /// challenge period.
    pub fn illness(&self, now: Millis) -> Option<&'static str> {
        let half = self.block_time.unwrap_or(DEFAULT_BLOCK_TIME).saturating_mul(12).max(SHORT_PERIOD);
        if now.saturating_sub(self.last_report) > HEARTBEAT {
            Some("the chain task stands still")
        } else if self.age(now) > half {
            Some("no channel was read for half a challenge period: look after the RPC endpoint")
        } else {
            None
        }
    }

    /// How long a challenge period lasts, in milliseconds, if that is less than two minutes and the chain is not
    /// a local testnet.
    pub fn short_period(&self) -> Option<Millis> {
        let period = self.block_time?.saturating_mul(CHALLENGE_PERIOD);
        (!self.is_local() && period < SHORT_PERIOD).then_some(period)
    }
}
