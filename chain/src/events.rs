//! What a channel's events add up to.

use ethers::contract::EthEvent;
use ethers::types::{H256, Log, U256};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{ChainView, Closing, ClosingEvent, End, EndKind, EventPosition, OnChain};
use thunder_protocol::{Address, Amount, Balances, Nonce, Role};

use crate::contracts::channel_factory::OpenedFilter;
use crate::contracts::payment_channel::{
    CancelledFilter, ChallengedFilter, ClosingFilter, FinalisedFilter, FundedFilter, PaymentChannelEvents,
    WithdrawnFilter,
};
use crate::contracts::{Contracts, amount_from_ethers, from_ethers, hash_from_ethers};
use crate::error::ChainError;
use ethers::abi::RawLog;
use ethers::contract::EthLogDecode;

/// The events that a node follows.
pub(crate) fn topics() -> Vec<H256> {
    vec![
        OpenedFilter::signature(),
        FundedFilter::signature(),
        CancelledFilter::signature(),
        ClosingFilter::signature(),
        ChallengedFilter::signature(),
        WithdrawnFilter::signature(),
        FinalisedFilter::signature(),
    ]
}

/// Which channel a log is about: the emitter, or the one that the factory names.
pub(crate) fn channel_of(log: &Log, contracts: &Contracts) -> Option<Address> {
    if from_ethers(log.address) != contracts.factory {
        return Some(from_ethers(log.address));
    }
    <OpenedFilter as EthEvent>::decode_log(&raw(log)).ok().map(|opened| from_ethers(opened.channel))
}

fn raw(log: &Log) -> RawLog {
    RawLog { topics: log.topics.clone(), data: log.data.to_vec() }
}

/// Adds up the events of one channel, given in the chain's order; those of other channels between
/// the same parties are passed over.
pub(crate) fn view(terms: &Terms, logs: &[Log], head: u64) -> Result<ChainView, ChainError> {
    let mut view = ChainView::missing(head);
    for log in logs.iter().filter(|log| log.removed != Some(true)) {
        let Some(status) = apply(terms, view.status, log)? else { continue };
        let (Some(block), Some(tx)) = (log.block_number, log.transaction_hash) else {
            return Err(ChainError::Nonsense("an event without a block".into()));
        };
        view.status = status;
        view.newest = Some(EventPosition { block: block.as_u64(), tx: Some(hash_from_ethers(tx)) });
    }
    Ok(view)
}

fn apply(terms: &Terms, status: OnChain, log: &Log) -> Result<Option<OnChain>, ChainError> {
    let emitter = from_ethers(log.address);
    if emitter == terms.factory {
        let opened = <OpenedFilter as EthEvent>::decode_log(&raw(log)).ok();
        let ours = opened.is_some_and(|opened| from_ethers(opened.channel) == terms.channel);
        // The channel's own event of the same transaction may stand before the factory's.
        let zero = Balances { a: Amount::ZERO, b: Amount::ZERO };
        let next = if status == OnChain::Missing { OnChain::Empty { paid_in: zero } } else { status };
        return Ok(ours.then_some(next));
    }
    if emitter != terms.channel {
        return Ok(None);
    }
    let Ok(event) = PaymentChannelEvents::decode_log(&raw(log)) else { return Ok(None) };
    let closing = match status {
        OnChain::Closing(closing) => Some(closing),
        OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closed { .. } => None,
    };
    let ended = |kind, paid_out| OnChain::Closed { closing, end: End { kind, paid_out } };
    Ok(match event {
        PaymentChannelEvents::FundedFilter(event) => {
            let paid_in = balances(event.balance_a, event.balance_b)?;
            let is_full = paid_in.sum() == Some(terms.amount);
            Some(if is_full { OnChain::Active { paid_in } } else { OnChain::Empty { paid_in } })
        }
        PaymentChannelEvents::ClosingFilter(event) => {
            let OnChain::Active { paid_in } = status else {
                return Err(ChainError::Nonsense("a closing of a channel that was not ACTIVE".into()));
            };
            Some(OnChain::Closing(decode_closing(terms, paid_in, &event, log)?))
        }
        PaymentChannelEvents::CancelledFilter(event) => {
            Some(ended(EndKind::Cancelled, balances(event.refund_a, event.refund_b)?))
        }
        PaymentChannelEvents::WithdrawnFilter(event) => {
            Some(ended(EndKind::Withdrawn, balances(event.paid_a, event.paid_b)?))
        }
        PaymentChannelEvents::FinalisedFilter(event) => {
            Some(ended(EndKind::Final, balances(event.paid_a, event.paid_b)?))
        }
        PaymentChannelEvents::ChallengedFilter(event) => {
            let (zero, all) = (Amount::ZERO, terms.amount);
            let paid_out = match role(terms, from_ethers(event.winner))? {
                Role::A => Balances { a: all, b: zero },
                Role::B => Balances { a: zero, b: all },
            };
            Some(ended(EndKind::Challenged, paid_out))
        }
        _ => None,
    })
}

fn decode_closing(
    terms: &Terms,
    paid_in: Balances,
    event: &ClosingFilter,
    log: &Log,
) -> Result<Closing, ChainError> {
    Ok(Closing {
        closer: role(terms, from_ethers(event.closer))?,
        nonce: nonce(event.nonce)?,
        balances: balances(event.balance_a, event.balance_b)?,
        block: log.block_number.unwrap_or_default().as_u64(),
        paid_in: Some(paid_in),
        event: Some(ClosingEvent {
            base_nonce: nonce(event.base_nonce)?,
            by_proposal: event.by_proposal,
            tx: hash_from_ethers(log.transaction_hash.unwrap_or_default()),
        }),
    })
}

fn role(terms: &Terms, account: Address) -> Result<Role, ChainError> {
    match account {
        account if account == terms.part_a => Ok(Role::A),
        account if account == terms.part_b => Ok(Role::B),
        _ => Err(ChainError::Nonsense(format!("{account} is no party of the channel"))),
    }
}

fn nonce(value: U256) -> Result<Nonce, ChainError> {
    let nonce = u64::try_from(value).ok().and_then(Nonce::new);
    nonce.ok_or_else(|| ChainError::Nonsense(format!("{value} is no nonce")))
}

fn balances(a: U256, b: U256) -> Result<Balances, ChainError> {
    let amount = |value| {
        amount_from_ethers(value).ok_or_else(|| ChainError::Nonsense(format!("{value} is no amount")))
    };
    Ok(Balances { a: amount(a)?, b: amount(b)? })
}
