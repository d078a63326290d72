//! Rule 12: the closer's last proposal is recorded, not signed, when the chain closed on exactly it.

use crate::onchain::ChainClosing;
use crate::wire::Propose;
use crate::{PaymentId, Receipt};

use super::common::Common;
use super::effects::{Direction, Effects, PaymentWrite};
use super::input::Context;
use super::receipts::Proposal;
use super::rules::check_proposal;
use super::terms::Setup;

/// Whether the partner closed on a proposal of its own, so that its payments belong into the
/// history.
pub(super) fn is_wanted(setup: &Setup, closing: &ChainClosing) -> bool {
    closing.is_by_proposal() && closing.closer == setup.partner_role()
}

/// Takes the payments of the closer's last proposal into the history. Reports whether `propose` is
/// that proposal.
pub(super) fn record(
    Common { setup, receipts, .. }: &Common,
    closing: &ChainClosing,
    propose: &Propose,
    repeated: &[PaymentId],
    context: &Context<'_>,
    effects: &mut Effects,
) -> bool {
    let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
    let is_closed_on = receipt == (Receipt { nonce: closing.nonce, balances: closing.balances });
    if !is_closed_on || !is_wanted(setup, closing) {
        return false;
    }
    let base = [Some(receipts.agreed.receipt), receipts.proposal.as_ref().map(Proposal::receipt)]
        .into_iter()
        .flatten()
        .find(|base| {
            base.nonce == propose.base_nonce
                && closing.event.is_some_and(|event| event.base_nonce == base.nonce)
        });
    let Some(base) = base else { return false };
    let proposer = setup.partner_role();
    if check_proposal(setup, &base, propose, proposer, repeated, context.crypto).is_err() {
        return false;
    }
    for payment in &propose.payments {
        effects.write(PaymentWrite::Insert {
            direction: Direction::In,
            payment: payment.clone(),
            nonce: propose.nonce,
            time: context.now,
        });
    }
    true
}
