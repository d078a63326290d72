//! `PaymentStatus`: whether a payment is done, pending or failed, as the receipts and the chain decide.

use crate::Nonce;
use crate::onchain::{self, ClosePlan, EndKind, OnChain};

use super::Channel;
use super::closed::ClosedOutcome;
use super::closing::Closing;

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// In a receipt that both have signed; or, at the end, in what the chain paid out.
    Done,
    /// Proposed, or waiting for the chain to decide.
    Pending,
    /// In no receipt, for good.
    Failed,
}

impl Channel {
    /// What became of the payments of the receipt `nonce`. What is agreed is done; after a closing
    /// the chain decides (rule 12): in is what is in the receipt closed on or in its base, out is
    /// everything else, for good at CLOSED.
    pub fn status_of(&self, nonce: Nonce) -> PaymentStatus {
        let agreed = self.receipts().map_or(Nonce::ZERO, |receipts| receipts.agreed.nonce());
        match self {
            Self::Closed(state) => match state.outcome() {
                ClosedOutcome::Abandoned => PaymentStatus::Failed,
                ClosedOutcome::Ended { closing, end } => {
                    let base = match (end.kind, closing, &state.plan) {
                        // Everybody got back what they had paid in.
                        (EndKind::Cancelled, _, _) => return PaymentStatus::Failed,
                        (EndKind::Withdrawn, Some(closing), _) => return by_closing(&closing, nonce),
                        (EndKind::Final, _, Some(ClosePlan::Final { base_nonce, .. })) => *base_nonce,
                        (EndKind::Final | EndKind::Challenged | EndKind::Withdrawn, _, _) => agreed,
                    };
                    in_or_out(nonce <= base)
                }
            },
            Self::Closing(state) => state.status_of(nonce),
            Self::Opening(_) | Self::Active(_) | Self::CooperativeClosing(_) | Self::DataLoss(_) => {
                by_agreed(agreed, nonce)
            }
        }
    }
}

impl Channel {
    /// The nonce of the partner's last proposal, if its payments were taken into the history because the chain shows a
    /// closing on it (rule 12).
    pub fn late_proposal(&self) -> Option<Nonce> {
        let closing = match self {
            Self::Closing(state) if state.recorded => state.seen().copied(),
            Self::Closed(state) if state.recorded => match state.outcome() {
                ClosedOutcome::Ended { closing, .. } => closing,
                ClosedOutcome::Abandoned => None,
            },
            Self::Closing(_)
            | Self::Closed(_)
            | Self::Opening(_)
            | Self::Active(_)
            | Self::CooperativeClosing(_)
            | Self::DataLoss(_) => None,
        };
        closing.map(|closing| closing.nonce)
    }
}

impl Closing {
    pub(super) fn status_of(&self, nonce: Nonce) -> PaymentStatus {
        let agreed = self.common.receipts.agreed.nonce();
        match self.common.view.status {
            // What the closing decides is not final before CLOSED, but a payment that both have
            // signed and that is in needs no second thought.
            OnChain::Closing(closing) => match by_closing(&closing, nonce) {
                PaymentStatus::Done if nonce <= agreed => PaymentStatus::Done,
                PaymentStatus::Done | PaymentStatus::Pending | PaymentStatus::Failed => {
                    PaymentStatus::Pending
                }
            },
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closed { .. } => {
                by_agreed(agreed, nonce)
            }
        }
    }
}

pub(super) fn by_agreed(agreed: Nonce, nonce: Nonce) -> PaymentStatus {
    if nonce <= agreed { PaymentStatus::Done } else { PaymentStatus::Pending }
}

/// Rule 12, by what the chain closed on. While the event is not read, the one nonce below a proposal's
/// that may or may not be in its base is open.
fn by_closing(closing: &onchain::ChainClosing, nonce: Nonce) -> PaymentStatus {
    let is_in = nonce.get() <= closing.min_base_nonce() || nonce == closing.nonce;
    if !is_in && closing.event.is_none() && nonce < closing.nonce {
        return PaymentStatus::Pending;
    }
    in_or_out(is_in)
}

const fn in_or_out(is_in: bool) -> PaymentStatus {
    if is_in { PaymentStatus::Done } else { PaymentStatus::Failed }
}
