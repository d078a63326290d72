//! The rules by which receipts are judged. Nothing here changes anything.

use std::collections::BTreeSet;

use crate::wire::{Final, MAX_PAYMENT_TEXT, MAX_PAYMENTS, Propose};
use crate::{AgreedReceipt, Amount, Crypto, PaymentId, Receipt, Role, Signature};

use super::effects::Misbehaviour;
use super::receipts::Receipts;
use super::terms::Setup;

/// Checks a proposal of `proposer` against the receipt that it builds on (rules 1, 2, 3, 6, 7).
pub(super) fn check_proposal(
    setup: &Setup,
    base: &Receipt,
    proposal: &Propose,
    proposer: Role,
    repeated: &[PaymentId],
    crypto: &dyn Crypto,
) -> Result<Receipt, Misbehaviour> {
    if base.nonce.next_of(proposer) != Some(proposal.nonce) {
        return Err(Misbehaviour::WrongParity);
    }
    if !setup.adds_up(proposal.balances) {
        return Err(Misbehaviour::BadSum);
    }
    let total = check_payments(proposal)?;
    if base.balances.pay(proposer, total) != Some(proposal.balances) {
        return Err(Misbehaviour::NoConcession);
    }
    if proposal.payments.iter().any(|payment| repeated.contains(&payment.id)) {
        return Err(Misbehaviour::RepeatedId);
    }
    let receipt = Receipt { nonce: proposal.nonce, balances: proposal.balances };
    if !setup.verify(&receipt, &proposal.signature, proposer, crypto) {
        return Err(Misbehaviour::BadSignature);
    }
    Ok(receipt)
}

fn check_payments(proposal: &Propose) -> Result<Amount, Misbehaviour> {
    let payments = &proposal.payments;
    let text: usize =
        payments.iter().map(|payment| payment.id.as_str().len() + payment.memo.as_str().len()).sum();
    let empty = payments.iter().any(|payment| payment.amount.is_zero());
    if payments.is_empty() || payments.len() > MAX_PAYMENTS || text > MAX_PAYMENT_TEXT || empty {
        return Err(Misbehaviour::BadPayments);
    }
    let ids: BTreeSet<_> = payments.iter().map(|payment| &payment.id).collect();
    if ids.len() != payments.len() {
        return Err(Misbehaviour::RepeatedId);
    }
    Amount::checked_sum(payments.iter().map(|payment| payment.amount)).ok_or(Misbehaviour::NoConcession)
}

/// What a receipt that the partner shows as agreed means here (rule 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing new.
    Known,
    /// It answers the own proposal by this signature of the partner's.
    Answers(Signature),
    /// The partner's receipt 0 has other balances: the views of the chain differ.
    OtherPaidIn,
    /// It carries an own signature that this side knows nothing of: data was lost here.
    LostData,
}

/// Judges the partner's newest agreed receipt.
pub(super) fn judge_claim(
    setup: &Setup,
    receipts: &Receipts,
    claim: &AgreedReceipt,
    crypto: &dyn Crypto,
) -> Result<Claim, Misbehaviour> {
    if !claim.is_well_formed() {
        return Err(Misbehaviour::Malformed);
    }
    let Some(signatures) = claim.signatures else {
        let same = receipts.agreed.nonce() != claim.nonce() || receipts.agreed.balances() == claim.balances();
        return Ok(if same { Claim::Known } else { Claim::OtherPaidIn });
    };
    let is_proposed = receipts.proposal.as_ref().is_some_and(|proposal| proposal.receipt() == claim.receipt);
    if claim.nonce() <= receipts.agreed.nonce() {
        return Ok(Claim::Known);
    }
    if !setup.adds_up(claim.balances()) {
        return Err(Misbehaviour::BadSum);
    }
    let signed_by = |role: Role| setup.verify(&claim.receipt, signatures.of(role), role, crypto);
    if !signed_by(setup.partner_role()) {
        return Err(Misbehaviour::BadSignature);
    }
    if is_proposed {
        return Ok(Claim::Answers(*signatures.of(setup.partner_role())));
    }
    // Only an own signature on something unknown proves lost data; a bare number must not be able
    // to freeze money.
    let above_own = receipts.proposal.as_ref().is_none_or(|proposal| claim.nonce() >= proposal.nonce);
    if above_own && signed_by(setup.role()) { Ok(Claim::LostData) } else { Err(Misbehaviour::BareClaim) }
}

/// What the partner's FINAL receipt rests on (rule 11).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FinalBase {
    /// The agreed receipt.
    Agreed,
    /// The own unanswered proposal.
    Proposal,
    /// Neither: it is not posted.
    Neither,
}

/// Judges the partner's FINAL receipt.
pub(super) fn judge_final(
    setup: &Setup,
    receipts: &Receipts,
    final_receipt: &Final,
    crypto: &dyn Crypto,
) -> Result<FinalBase, Misbehaviour> {
    if !setup.adds_up(final_receipt.balances) {
        return Err(Misbehaviour::BadSum);
    }
    let digest = setup.domain().final_digest(final_receipt.balances);
    if !crypto.verify(&digest, &final_receipt.signature, &setup.partner()) {
        return Err(Misbehaviour::BadSignature);
    }
    let rests_on = Receipt { nonce: final_receipt.base_nonce, balances: final_receipt.balances };
    if rests_on == receipts.agreed.receipt {
        return Ok(FinalBase::Agreed);
    }
    let proposed = receipts.proposal.as_ref().is_some_and(|proposal| proposal.receipt() == rests_on);
    Ok(if proposed { FinalBase::Proposal } else { FinalBase::Neither })
}
