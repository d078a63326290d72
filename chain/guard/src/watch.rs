//! A channel that the guard watches: its readings by endpoint, its believed state, the view for the node.

use thunder_protocol::onchain::{
    ChainClosing, ChainView, ChannelEnd, ClosingEvent, EndKind, EventPosition, OnChain,
};
use thunder_protocol::{Address, Amount, B256, Nonce, Role};

use crate::endpoint::Millis;
use crate::reconcile::Reading;
use crate::state::StorageState;
use thunder_protocol::{Contracts, Stake, WatchRequest, clone_code};

/// Why a contract is not the channel that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTheChannel {
    /// The code is not a clone of the factory's template with both parties.
    #[error("its code is not a clone of the factory's template for these two parties")]
    OtherCode,
    /// The amount differs.
    #[error("it is to hold {0} base units")]
    OtherAmount(u128),
}

/// What remains to be checked before a channel is believed to be the one that was agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Unverified {
    pub(crate) code: Vec<u8>,
    pub(crate) amount: Amount,
    pub(crate) has_code: bool,
    pub(crate) has_amount: bool,
    /// The THD that it was seen to hold.
    pub(crate) held: Option<u128>,
}

/// A channel that is watched.
#[derive(Debug)]
pub(crate) struct WatchedChannel {
    pub(crate) role: Role,
    pub(crate) parties: [Address; 2],
    pub(crate) stake: Stake,
    /// By endpoint.
    pub(crate) readings: Vec<Option<Reading>>,
    /// The state that is believed.
    pub(crate) believed: Option<StorageState>,
    /// The first block at which that state was seen, or a closer one.
    pub(crate) since: u64,
    /// The transaction that brought it about, if it is known.
    pub(crate) tx: Option<B256>,
    /// The closing, as far as it is known.
    pub(crate) closing: Option<Box<ChainClosing>>,
    /// How it ended, if its event said so.
    pub(crate) end: Option<EndKind>,
    /// What was paid in when it was last seen ACTIVE.
    pub(crate) paid_in: Option<thunder_protocol::Balances>,
    /// The state that was reported to the node, and where it begins.
    pub(crate) reported: Option<OnChain>,
    pub(crate) reported_since: Option<EventPosition>,
    /// Its events are not older than this block.
    pub(crate) events_from: u64,
    pub(crate) unverified: Option<Box<Unverified>>,
    /// Since which block endpoints contradict each other about it.
    pub(crate) contradicted: Option<u64>,
    /// Since which block the endpoints do not all show the same.
    pub(crate) differing_since: Option<u64>,
    /// A step back or an end that was shown once, and at which block; by endpoint.
    pub(crate) seen_once: Vec<Option<(StorageState, u64)>>,
    /// At which endpoint it is to be seen again, because blocks were taken back.
    pub(crate) seen_again: Option<usize>,
    /// Since when a view waits for the event that explains it.
    pub(crate) unexplained_since: Option<Millis>,
    /// In which round of reading it was last read, by endpoint.
    pub(crate) round: Vec<u64>,
}

impl WatchedChannel {
    pub(crate) fn new(watch: &WatchRequest, contracts: &Contracts, endpoints: usize) -> Self {
        let WatchRequest { terms, view, stake, verify, first_block } = watch;
        let closing = match view.status {
            OnChain::Closing(closing) | OnChain::Closed { closing: Some(closing), .. } => Some(closing),
            _ => None,
        };
        let unverified = verify.then(|| {
            Box::new(Unverified {
                code: clone_code(contracts.template(), terms.part_a, terms.part_b),
                amount: terms.amount,
                has_code: false,
                has_amount: false,
                held: None,
            })
        });
        Self {
            role: terms.role,
            parties: [terms.part_a, terms.part_b],
            stake: *stake,
            readings: vec![None; endpoints],
            believed: None,
            since: view.newest.map_or(0, |newest| newest.block),
            tx: view.newest.and_then(|newest| newest.tx),
            closing: closing.map(Box::new),
            end: match view.status {
                OnChain::Closed { end, .. } => Some(end.kind),
                _ => None,
            },
            paid_in: match view.status {
                OnChain::Active { paid_in } => Some(paid_in),
                _ => closing.and_then(|closing| closing.paid_in),
            },
            reported: Some(view.status),
            reported_since: view.newest,
            events_from: *first_block,
            unverified,
            contradicted: None,
            differing_since: None,
            seen_once: vec![None; endpoints],
            seen_again: None,
            unexplained_since: None,
            round: vec![0; endpoints],
        }
    }

    /// Whether this state was reported to the node.
    pub(crate) fn is_reported(&self, state: &StorageState) -> bool {
        self.reported.is_some_and(|reported| state.is_shown_by(&reported))
    }

    /// The partner's closings that endpoints show and that are not believed, and the newest block at which each
    /// was shown. One of them may be invented, which hides no other.
    pub(crate) fn claims(&self) -> Vec<(ChainClosing, u64)> {
        let mut claims: Vec<(ChainClosing, u64)> = Vec::new();
        let doubted = self.readings.iter().flatten().filter(|reading| Some(reading.state) != self.believed);
        for reading in doubted {
            let Some(closing) = self.closing_of(&reading.state).filter(|it| it.closer != self.role) else {
                continue;
            };
            match claims.iter_mut().find(|(known, _)| known.is_same(&closing)) {
                Some((_, shown_at)) => *shown_at = reading.block.max(*shown_at),
                None => claims.push((closing, reading.block)),
            }
        }
        claims
    }

    fn closing_of(&self, state: &StorageState) -> Option<ChainClosing> {
        match *state {
            StorageState::Closing { closer, nonce, balances, block } => {
                Some(ChainClosing { closer, nonce, balances, block, paid_in: self.paid_in, event: None })
            }
            _ => None,
        }
    }

    /// Takes the state that is believed from now on.
    pub(crate) fn believe(&mut self, reading: &Reading) {
        let Reading { since, state, .. } = *reading;
        if self.believed == Some(state) {
            return;
        }
        let is_known = self.is_reported(&state);
        self.believed = Some(state);
        if is_known {
            return;
        }
        (self.since, self.tx, self.unexplained_since) = (since, None, None);
        match state {
            StorageState::Active { paid_in } => self.paid_in = Some(paid_in),
            StorageState::Closing { block, .. } => {
                let new = self.closing_of(&state);
                let known = self.closing.take().filter(|known| new.is_some_and(|new| known.is_same(&new)));
                self.closing = known.or_else(|| new.map(Box::new));
                (self.since, self.end) = (block, None);
            }
            StorageState::Closed { nonce, block, .. } => {
                // A closing of before a reorganisation is not the one that it ended with.
                let is_meant = |closing: &ChainClosing| closing.nonce == nonce && closing.block == block;
                self.closing.take_if(|closing| !is_meant(closing));
                self.end = None;
            }
            StorageState::Missing | StorageState::Empty { .. } => {}
        }
    }

    /// Whether the event that explains the state is still to be read.
    pub(crate) fn wants_event(&self) -> bool {
        match self.believed {
            Some(StorageState::Closing { .. }) => {
                self.closing.as_ref().is_some_and(|closing| closing.event.is_none())
            }
            Some(StorageState::Closed { nonce, block, .. }) => {
                let was_closed_on = block > 0 && nonce != Nonce::FINAL;
                let lacks_closing =
                    was_closed_on && self.closing.as_ref().is_none_or(|closing| closing.event.is_none());
                self.end.is_none() || self.tx.is_none() || lacks_closing
            }
            _ => false,
        }
    }

    /// The view that the state stands for.
    pub(crate) fn view(&self, head: u64) -> ChainView {
        let newest = Some(EventPosition { block: self.since, tx: self.tx });
        let status = match self.believed {
            None | Some(StorageState::Missing) => return ChainView::missing(head),
            Some(StorageState::Empty { paid_in }) => OnChain::Empty { paid_in },
            Some(StorageState::Active { paid_in }) => OnChain::Active { paid_in },
            Some(state @ StorageState::Closing { .. }) => {
                let known = self.closing.as_deref().copied();
                match known.or_else(|| self.closing_of(&state)) {
                    Some(closing) => OnChain::Closing(closing),
                    None => return ChainView::missing(head),
                }
            }
            Some(StorageState::Closed { nonce, balances, block }) => {
                let closing = self.closing.as_deref().copied();
                let kind = self.end.unwrap_or_else(|| end_kind(nonce, block, balances, closing.as_ref()));
                OnChain::Closed { closing, end: ChannelEnd { kind, paid_out: balances } }
            }
        };
        let tx = match status {
            OnChain::Closing(closing) => closing.event.map(|event| event.tx).or(self.tx),
            _ => self.tx,
        };
        ChainView { head, newest: newest.map(|newest| EventPosition { tx, ..newest }), status }
    }

    /// Blocks from this height on were taken back at an endpoint: a state that may have come about there
    /// is as old as when it is seen again.
    pub(crate) fn on_reorganisation(&mut self, endpoint: usize, first: u64) {
        if self.since >= first && !matches!(self.believed, None | Some(StorageState::Missing)) {
            self.seen_again = Some(endpoint);
        }
        if let Some(reading) = self.readings.get_mut(endpoint).and_then(Option::as_mut) {
            reading.since = reading.since.min(first);
            reading.block = reading.block.min(first);
        }
    }

    /// The channel was read again after blocks were taken back.
    pub(crate) fn seen_again(&mut self, endpoint: usize, block: u64) {
        if self.seen_again.take_if(|at| *at == endpoint).is_none() {
            return;
        }
        self.tx = None;
        match (self.believed, &mut self.closing) {
            (Some(StorageState::Closing { block, .. }), Some(closing)) => {
                (self.since, closing.event) = (block, None);
            }
            _ => (self.since, self.end) = (block, None),
        }
    }

    /// Takes the event of the closing.
    pub(crate) fn explain_closing(&mut self, closer: Role, event: ClosingEvent, shown: &ChainClosing) {
        match &mut self.closing {
            Some(closing) if closing.nonce == shown.nonce && closing.block == shown.block => {
                closing.event = Some(event);
            }
            Some(_) => {}
            // It was not seen CLOSING.
            none => {
                let paid_in = self.paid_in;
                *none = Some(Box::new(ChainClosing { closer, paid_in, event: Some(event), ..*shown }));
            }
        }
    }
}

/// How a channel ended, as far as its storage tells.
fn end_kind(
    nonce: Nonce,
    block: u64,
    paid_out: thunder_protocol::Balances,
    closing: Option<&ChainClosing>,
) -> EndKind {
    if nonce == Nonce::FINAL {
        EndKind::Final
    } else if block == 0 {
        EndKind::Cancelled
    } else if closing.is_some_and(|closing| closing.balances != paid_out) {
        EndKind::Challenged
    } else {
        EndKind::Withdrawn
    }
}
