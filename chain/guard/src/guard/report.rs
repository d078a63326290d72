//! `GuardConfig`, `Action` and `Report`: what the guard is given at the start, asks to be done, and tells the node.

use std::sync::Arc;

use thunder_protocol::onchain::{CallKind, ChainClosing, ChainView};
use thunder_protocol::{Address, B256};

use crate::endpoint::Millis;
use crate::question::Question;
use crate::transactions::{CallOutcome, GasFunds, SignedCall};
use crate::watch::NotTheChannel;
use thunder_protocol::{ChainIdentity, Contracts};

/// What the guard needs to know from the start.
#[derive(Debug, Clone)]
pub struct GuardConfig {
    /// The names of the endpoints, for people.
    pub endpoints: Vec<String>,
    /// THD and the factory.
    pub contracts: Contracts,
    /// The creation code of `ChannelStates`.
    pub states_code: Arc<[u8]>,
    /// The chain that was used last. It is preferred where endpoints show different ones.
    pub chain: Option<ChainIdentity>,
}

/// Names a question that is under way.
pub type Ticket = u64;

/// Something to be done, in the order in which it comes.
#[derive(Debug)]
pub enum Action {
    /// Put a question to an endpoint, and hand its answer to [`super::Guard::answered`], or
    /// [`crate::AskError::Timeout`] after so many milliseconds.
    Ask {
        /// The number of the endpoint.
        endpoint: usize,
        /// Names the question.
        ticket: Ticket,
        /// The question.
        question: Question,
        /// How long the answer may take.
        timeout: Millis,
    },
    /// Write a call to disk, and say so with [`super::Guard::saved`]: it is sent only after that.
    Save(SignedCall),
    /// The disk need not keep a call any more.
    Forget(SignedCall),
    /// Tell the node.
    Report(Report),
}

/// What the guard tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// This is the chain, from now on. Channels and the account are to be given anew.
    Chain(ChainIdentity),
    /// The chain in use is to be known after a restart. Before that the one that was used earlier is, because an endpoint
    /// that has not answered yet may show it.
    ChainConfirmed(ChainIdentity),
    /// Whether THD and the factory are there and belong together, or why not.
    Contracts(Result<(), String>),
    /// A channel's state has changed, or more is known of it.
    View {
        /// The channel.
        channel: Address,
        /// As the chain has it.
        view: ChainView,
    },
    /// The contract is not the channel that was agreed on.
    Invalid {
        /// The channel.
        channel: Address,
        /// Why.
        why: NotTheChannel,
    },
    /// One endpoint shows this closing and another contradicts it (rule G6).
    Claim {
        /// The channel.
        channel: Address,
        /// The closing.
        closing: ChainClosing,
    },
    /// A channel can't be read, or only in ways that contradict each other; `None` if it can again.
    /// Nothing is to be signed over it meanwhile.
    Unreadable {
        /// The channel.
        channel: Address,
        /// Why.
        why: Option<String>,
    },
    /// Every channel that is due at this block is read.
    Read {
        /// The block.
        head: u64,
    },
    /// When every channel was last read.
    Fresh {
        /// How long ago, in milliseconds; `None` if never.
        age: Option<Millis>,
        /// For how long that is good enough, in milliseconds.
        lasts: Millis,
        /// The time between two blocks, in milliseconds, once it is measured.
        block_time: Option<Millis>,
    },
    /// Blocks from this height on were taken back.
    Reorganisation {
        /// The lowest height that is known to have changed.
        first: u64,
    },
    /// How the endpoints are.
    Endpoints(Vec<EndpointStatus>),
    /// An endpoint has taken a transaction.
    Taken {
        /// The channel.
        channel: Address,
        /// Which call.
        kind: CallKind,
        /// The transaction.
        tx: B256,
    },
    /// What became of a call.
    Outcome(CallOutcome),
    /// A challenge is not mined after so many blocks (rule G7).
    Late {
        /// The channel.
        channel: Address,
        /// The blocks.
        blocks: u64,
        /// What was tried.
        tried: String,
    },
    /// Something about a call that a log should have.
    Note {
        /// The channel.
        channel: Address,
        /// What.
        what: String,
    },
    /// Calls that are not mined, and why endpoints don't take them, if they don't.
    Calls {
        /// How many.
        unmined: usize,
        /// The channel, and the reason.
        refused: Vec<(Address, String)>,
    },
    /// What the account has for gas, and what gas costs.
    Funds(GasFunds),
}

/// How an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Its name.
    pub label: String,
    /// Whether it is used.
    pub is_connected: bool,
    /// Its newest block.
    pub block: Option<u64>,
    /// What is wrong with it.
    pub trouble: Option<String>,
}
