//! The pure half of `thunder-chain`: reads channels, and signs and sends every contract call of the node.
//!
//! Above all it is the road from a closing in a block to its challenge in a block. It also has the openings, payments
//! in, cancellations, closings and withdrawals mined that the engine orders.
//!
//! [`Guard`] is a state machine: answers of endpoints, orders of the node and the time go in; questions,
//! transactions to be written and sent, and reports come out. It reads no clock, no disk and no network,
//! so that every rule is a test without them. The rules have numbers, in `docs/guard.md`:
//!
//! | rule | where |
//! |---|---|
//! | G1 state first | [`state`], `read_schedule`, `guard/read` |
//! | G2 each channel for itself | `read_schedule`, `guard/read` |
//! | G3 forward only | `guard/event_search`, `endpoint` |
//! | G4 no advice is needed | `transactions` |
//! | G5 numbers are input | `json`, [`Question::read`] |
//! | G6 several endpoints | `reconcile`, `guard/belief`, `guard/chain` |
//! | G7 a sign of life | `guard/chain`, `transactions` |
//! | G8 time is the chain's | `block`, `guard/chain` |

mod block;
mod contracts;
mod endpoint;
mod error;
mod guard;
mod json;
mod question;
mod read_schedule;
mod reconcile;
mod retry_timer;
pub mod state;
pub mod transactions;
mod watch;

pub use block::Head;
pub use contracts::{
    balance_calldata, challenge_calldata, from_ethers, permit_domain, read_address, read_number, to_ethers,
    token_calldata,
};
pub use endpoint::Millis;
pub use error::{AskError, Refusal};
pub use guard::{Action, EndpointStatus, Guard, GuardConfig, Report, Ticket};
pub use json::{read_response, response_id};
pub use question::{EndpointAnswer, Estimate, Log, LogFilter, Question, STATES_AT_ONCE, TransactionReceipt};
pub use thunder_protocol::{
    ChainIdentity, Contracts, LOCAL_CHAIN_IDS, Stake, WatchRequest, channel_address, clone_code, create2,
};
pub use watch::NotTheChannel;
