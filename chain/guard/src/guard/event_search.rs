//! Finding the events that explain a channel's state (guard rule G3): forward only.
//!
//! The search begins at the block that is known to have them, and goes on in pieces that are kept, no larger than the
//! endpoint gives. Nothing that protects money waits for them.

use thunder_protocol::onchain::ChainClosing;
use thunder_protocol::{Address, Role};

use super::{Guard, QuestionPurpose};
use crate::contracts::{ChannelEvent, ending_topics, read_event};
use crate::endpoint::Millis;
use crate::error::AskError;
use crate::question::{EndpointAnswer, LogFilter, Question};
use crate::retry_timer::RetryTimer;
use crate::state::StorageState;
use crate::watch::WatchedChannel;

/// The wait before a piece is asked for again.
const RETRY: Millis = 500;
/// How often one piece is asked for that is refused.
const TRIES: u32 = 4;

/// A search for the events of a channel.
#[derive(Debug)]
pub(super) struct Search {
    /// The state that is to be explained.
    state: StorageState,
    /// The first block that was not looked at.
    next: u64,
    /// The last block that can have them.
    last: u64,
    timer: RetryTimer,
    tries: u32,
    is_over: bool,
}

impl Guard {
    /// Begins to look for the events that explain a channel's state, unless that is done.
    pub(super) fn search(&mut self, address: Address) {
        let Some(channel) = self.channels.as_ref().and_then(|channels| channels.get(&address)) else {
            return;
        };
        let Some(state) = channel.believed else { return };
        if self.searches.get(&address).is_some_and(|search| search.state == state) {
            return;
        }
        let (next, last) = match state {
            StorageState::Closing { block, .. } => (block, block),
            StorageState::Closed { block, .. } => {
                let knows_closing = channel.closing.as_ref().is_some_and(|closing| closing.event.is_some());
                let known = channel.reported_since.filter(|_| knows_closing || block == 0);
                let from = known.map(|newest| newest.block).or((block > 0).then_some(block));
                (from.unwrap_or(channel.events_from), channel.since.max(block))
            }
            StorageState::Missing | StorageState::Empty { .. } | StorageState::Active { .. } => return,
        };
        let next = next.min(last);
        let search = Search { state, next, last, timer: RetryTimer::default(), tries: 0, is_over: false };
        self.searches.insert(address, search);
    }

    pub(super) fn has_given_up_search(&self, address: Address, channel: &WatchedChannel) -> bool {
        let search = self.searches.get(&address).filter(|search| Some(search.state) == channel.believed);
        search.is_some_and(|search| search.is_over)
    }

    /// The next piece to ask an endpoint for.
    pub(super) fn search_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let endpoint = self.endpoints.get(endpoint_index)?;
        let (range, hedge) = (endpoint.log_range, endpoint.timeout());
        let (address, search) = self
            .searches
            .iter_mut()
            .find(|(_, search)| !search.is_over && search.timer.is_ready(now, hedge))?;
        search.timer.asked(now);
        let (from, channel) = (search.next, *address);
        let to = search.last.min(from.saturating_add(range - 1));
        let filter = LogFilter { address: Some(channel), topics: vec![ending_topics()], from, to };
        Some((QuestionPurpose::Explain { channel, from, to }, Question::Logs(filter)))
    }

    pub(super) fn on_explained(
        &mut self,
        endpoint_index: usize,
        address: Address,
        (from, to): (u64, u64),
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let Some(search) = self.searches.get_mut(&address) else { return };
        search.timer.answered(now);
        if search.next != from {
            return;
        }
        let logs = match result {
            Ok(EndpointAnswer::Logs(logs)) => logs,
            Ok(_) => return,
            Err(error) => {
                search.timer.answered(now.saturating_add(RETRY));
                if error.may_be_too_much() {
                    search.tries += 1;
                    if to > from
                        && let Some(endpoint) = self.endpoints.get_mut(endpoint_index)
                    {
                        endpoint.refuses_range(to - from + 1);
                        search.timer.hurry(now);
                    }
                    // A range that shrinks gets to one block after a few tries.
                    search.is_over = search.tries > TRIES + 20 || (to == from && search.tries > TRIES);
                }
                if search.is_over {
                    self.on_explanation(address, now);
                }
                return;
            }
        };
        search.tries = 0;
        search.next = to.saturating_add(1);
        search.is_over = to >= search.last;
        for log in &logs {
            self.take_event(address, log);
        }
        self.on_explanation(address, now);
    }

    fn take_event(&mut self, address: Address, log: &crate::question::Log) {
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return;
        };
        match (read_event(log), channel.believed) {
            (Some(ChannelEvent::Closing { closer, nonce, balances, event }), Some(state)) => {
                let closed_on = match state {
                    StorageState::Closing { nonce, block, .. }
                    | StorageState::Closed { nonce, block, .. } => (nonce, block),
                    _ => return,
                };
                let Some(role) = role_of(closer, channel.parties).filter(|_| closed_on == (nonce, log.block))
                else {
                    return;
                };
                let shown = ChainClosing {
                    closer: role,
                    nonce,
                    balances,
                    block: log.block,
                    paid_in: None,
                    event: None,
                };
                channel.explain_closing(role, event, &shown);
            }
            (Some(ChannelEvent::End(kind)), Some(StorageState::Closed { .. })) => {
                (channel.end, channel.tx) = (Some(kind), Some(log.tx));
                channel.since = log.block.min(channel.since);
            }
            _ => {}
        }
    }
}

fn role_of(account: Address, [part_a, part_b]: [Address; 2]) -> Option<Role> {
    match account {
        account if account == part_a => Some(Role::A),
        account if account == part_b => Some(Role::B),
        _ => None,
    }
}
