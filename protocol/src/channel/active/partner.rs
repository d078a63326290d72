//! `Active` and the partner's messages: sync, proposals, answers, refusals, and the proof of lost data.

use crate::wire::{Answer, Message, Propose, Refuse, RefuseReason, Sync};
use crate::{AgreedReceipt, PaymentId, Receipt, Signature, Signatures};

use super::super::Channel;
use super::super::data_loss::DataLoss;
use super::super::effects::{Direction, Effects, Misbehaviour, Notice, PaymentWrite};
use super::super::import::ImportedReceipt;
use super::super::input::{CommandId, Context};
use super::super::outcome::CommandError;
use super::super::reason::Risk;
use super::super::receipts::Proposal;
use super::super::rules::{Claim, check_proposal, judge_claim};
use super::{Active, NOT_NOW_DELAY, PeerLink, REPEAT_AFTER};

impl Active {
    pub(super) fn disconnected(&mut self, effects: &mut Effects) {
        self.link = PeerLink::default();
        // Rule 8: what was not proposed is certainly not paid. What was proposed may be answered
        // when the partner is back.
        self.fail_queue(&CommandError::PeerOffline, effects);
        effects.fail_commands(self.finish.take(), &CommandError::PeerOffline);
    }

    /// Shows the partner where this side stands, and asks where it stands.
    pub(super) fn send_sync(&mut self, context: &Context<'_>, effects: &mut Effects) {
        self.link.asked = true;
        effects.send.push(self.sync(true));
        self.link.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
    }

    fn sync(&self, wants_reply: bool) -> Message {
        self.common.sync(None, false, wants_reply)
    }

    pub(super) fn tick(&mut self, context: &Context<'_>, effects: &mut Effects) {
        if self.link.coalescing.is_some_and(|coalescing| coalescing.until <= context.now) {
            self.link.coalescing = None;
            self.propose(context, effects);
        }
        if self.link.repeat_at.is_none_or(|due| due > context.now) {
            return;
        }
        self.link.repeat_at = None;
        self.link.asked = false;
        if !self.link.online {
            return;
        }
        if !self.link.synced {
            self.send_sync(context, effects);
        } else if let Some(proposal) = &self.common.receipts.proposal {
            effects.send.push(Message::Propose(proposal.message()));
            self.link.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
        } else {
            self.propose(context, effects);
        }
    }

    pub(super) fn message(
        mut self: Box<Self>,
        message: Message,
        repeated: &[PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if !self.link.online || (!self.link.synced && !matches!(message, Message::Sync(_))) {
            return Channel::Active(self);
        }
        let result = match message {
            Message::Sync(sync) => return self.on_sync(*sync, repeated, context, effects),
            Message::Final(finish) => return self.on_final(finish, context, effects),
            Message::Propose(propose) => self.on_propose(propose, repeated, context, effects),
            Message::Answer(answer) => self.on_answer(&answer, context, effects),
            Message::Refuse(refuse) => {
                self.on_refuse(&refuse, context, effects);
                Ok(())
            }
        };
        effects.misbehaviour = result.err();
        self.finish_if_ready(context, effects)
    }

    pub(super) fn on_propose(
        &mut self,
        propose: Propose,
        repeated: &[PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        let agreed = self.common.receipts.agreed;
        if propose.nonce == agreed.nonce() {
            return self.repeat_answer(&propose, context, effects);
        }
        if propose.nonce < agreed.nonce() {
            effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Stale));
            return Ok(());
        }
        let own = self.common.receipts.proposal.as_ref().map(Proposal::receipt);
        let (base, crossing) = match own {
            // A proposal on the own unanswered one is its answer (rule 5).
            Some(own) if propose.base_nonce == own.nonce => (own, None),
            _ if propose.base_nonce == agreed.nonce() => (agreed.receipt, own),
            _ if propose.base_nonce > agreed.nonce() => return Err(Misbehaviour::UnknownBase),
            _ => {
                effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Stale));
                return Ok(());
            }
        };
        let partner = self.common.role().other();
        let receipt = check_proposal(&self.common.setup, &base, &propose, partner, repeated, context.crypto)?;
        if crossing.is_some_and(|own| own.nonce > receipt.nonce) {
            effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Crossed));
            return Ok(());
        }
        if !self.common.is_chain_sound(context) {
            effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::NotNow));
            return Ok(());
        }
        self.countersign(receipt, propose, crossing.is_some(), context, effects);
        Ok(())
    }

    /// Signs the partner's proposal. Everything that follows from it is one write (rule 4).
    pub(super) fn countersign(
        &mut self,
        receipt: Receipt,
        propose: Propose,
        crossed: bool,
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        let own_signature = self.common.setup.sign(&receipt, context.crypto);
        let signatures = Signatures::from_roles(self.common.role(), own_signature, propose.signature);
        self.common.receipts.agreed = AgreedReceipt::signed(receipt, signatures);
        if let Some(own) = self.common.receipts.proposal.take() {
            if crossed { self.queue.put_back(own) } else { self.settle(own, effects) }
        }
        self.link.repeat_at = None;
        let nonce = receipt.nonce;
        for payment in propose.payments {
            effects.notify.push(Notice::Payment {
                direction: Direction::In,
                payment: payment.clone(),
                nonce,
            });
            effects.write(PaymentWrite::Insert {
                direction: Direction::In,
                payment,
                nonce,
                time: context.now,
            });
        }
        // With payments of its own waiting a side answers by a proposal on the one it answers;
        // otherwise one side of a busy channel starves (rule 5).
        if !self.propose(context, effects) {
            effects.send.push(Message::Answer(Answer { nonce, signature: own_signature }));
            if self.queue.is_displaced() {
                // Nothing may be left on disk under the nonce of a proposal that does not stand.
                self.fail_queue(&CommandError::PeerStopped, effects);
            }
        }
    }

    pub(super) fn repeat_answer(
        &mut self,
        propose: &Propose,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        let (agreed, role) = (self.common.receipts.agreed, self.common.role());
        let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
        let Some(signatures) = agreed.signatures else { return Err(Misbehaviour::WrongParity) };
        if receipt != agreed.receipt {
            let signed = self.common.setup.verify(&receipt, &propose.signature, role.other(), context.crypto);
            return Err(if signed { Misbehaviour::TwoReceiptsOneNonce } else { Misbehaviour::BadSignature });
        }
        // A proposal on it is its answer. A plain one beside it could overtake it, and let the partner
        // propose again, and again first, while payments wait here (rule 5).
        effects.send.push(match &self.common.receipts.proposal {
            Some(own) if own.base_nonce == agreed.nonce() => Message::Propose(own.message()),
            Some(_) | None => {
                Message::Answer(Answer { nonce: agreed.nonce(), signature: *signatures.of(role) })
            }
        });
        Ok(())
    }

    pub(super) fn on_answer(
        &mut self,
        answer: &Answer,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        if answer.nonce <= self.common.receipts.agreed.nonce() {
            return Ok(());
        }
        let Some(own) = self.common.receipts.proposal.as_ref().filter(|own| own.nonce == answer.nonce) else {
            return Err(Misbehaviour::UnknownBase);
        };
        let (receipt, partner) = (own.receipt(), self.common.role().other());
        if !self.common.setup.verify(&receipt, &answer.signature, partner, context.crypto) {
            return Err(Misbehaviour::BadSignature);
        }
        self.coalesce(context);
        self.answered(answer.signature, effects);
        self.propose_when_coalesced(context, effects);
        Ok(())
    }

    /// The own proposal has the partner's signature.
    pub(super) fn answered(&mut self, signature: Signature, effects: &mut Effects) {
        let Some(agreed) = self.common.receipts.answered_by(signature, self.common.role()) else { return };
        self.common.receipts.agreed = agreed;
        effects.persist();
        if let Some(own) = self.common.receipts.proposal.take() {
            self.settle(own, effects);
        }
    }

    pub(super) fn on_refuse(&mut self, refuse: &Refuse, context: &Context<'_>, effects: &mut Effects) {
        if self.common.receipts.proposal.as_ref().is_none_or(|own| own.nonce != refuse.nonce) {
            return;
        }
        match refuse.reason {
            RefuseReason::NotNow => self.link.repeat_at = Some(context.now.saturating_add(NOT_NOW_DELAY)),
            // The partner is ahead, or its own proposal is on the way: both sides show where they
            // stand.
            RefuseReason::Stale | RefuseReason::Crossed => {
                if refuse.agreed_nonce > self.common.receipts.agreed.nonce() && !self.link.asked {
                    self.send_sync(context, effects);
                }
            }
            RefuseReason::Stopped | RefuseReason::Lost => {
                self.link.peer_stopped = true;
                self.peer_stops(effects);
                effects.notify.push(Notice::Refused(refuse.reason));
            }
        }
    }

    /// The partner will sign nothing more: what is proposed only the chain decides, what waits is
    /// not paid.
    pub(super) fn peer_stops(&mut self, effects: &mut Effects) {
        self.link.repeat_at = None;
        if let Some(own) = &mut self.common.receipts.proposal {
            effects.fail_commands(own.take_callers(), &CommandError::Undecided);
        }
        self.fail_queue(&CommandError::PeerStopped, effects);
        effects.fail_commands(self.finish.take(), &CommandError::PeerStopped);
    }

    pub(super) fn on_sync(
        mut self: Box<Self>,
        sync: Sync,
        repeated: &[PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let claim = judge_claim(&self.common.setup, &self.common.receipts, &sync.agreed, context.crypto);
        match claim {
            Err(why) => {
                effects.misbehaviour = Some(why);
                return Channel::Active(self);
            }
            Ok(Claim::LostData) => return self.lost(sync, context, effects),
            // The chain will show both sides the same; until then nothing is built on it.
            Ok(Claim::OtherPaidIn) => return Channel::Active(self),
            Ok(Claim::Known | Claim::Answers(_)) => {}
        }
        self.link.synced = true;
        self.link.asked = false;
        self.link.peer_may_be_stale = sync.lost;
        self.link.peer_stopped = sync.closing || sync.finish.is_some();
        self.link.repeat_at =
            self.common.receipts.proposal.as_ref().map(|_| context.now.saturating_add(REPEAT_AFTER));
        if let Ok(Claim::Answers(theirs)) = claim {
            self.answered(theirs, effects);
        }
        if let Some(propose) = sync.proposal
            && !sync.lost
            && let Err(why) = self.on_propose(propose, repeated, context, effects)
        {
            effects.misbehaviour = Some(why);
            return Channel::Active(self);
        }
        self.propose(context, effects);
        if self.link.peer_stopped || self.link.peer_may_be_stale {
            self.peer_stops(effects);
        }
        if sync.wants_reply {
            // It carries the agreed receipt and the own proposal, so it stands for both.
            effects.send.retain(|message| matches!(message, Message::Refuse(_)));
            effects.send.insert(0, self.sync(false));
        }
        match sync.finish {
            Some(finish) => self.on_final(finish, context, effects),
            None => self.finish_if_ready(context, effects),
        }
    }

    /// The partner has shown an own signature that this side knows nothing of (rule 9).
    pub(super) fn lost(self: Box<Self>, sync: Sync, context: &Context<'_>, effects: &mut Effects) -> Channel {
        effects.notify.push(Notice::AtRisk(Risk::PartnerHasNewerReceipt));
        self.into_data_loss(effects).on_sync(sync, context, effects)
    }

    /// The user gives a receipt. One with an own signature that this side knows nothing of proves that
    /// data was lost, whoever shows it (rule 9); any other is for channels that have lost data already.
    pub(super) fn import(
        self: Box<Self>,
        caller: CommandId,
        given: &ImportedReceipt,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if !given.proves_loss(&self.common.setup, &self.common.receipts, context.crypto) {
            effects.reply.push((caller, Err(CommandError::NotLost)));
            return Channel::Active(self);
        }
        effects.notify.push(Notice::AtRisk(Risk::NewerReceiptImported));
        let mut lost = self.into_data_loss(effects);
        lost.import(caller, given, context.crypto, effects);
        Channel::DataLoss(lost)
    }

    fn into_data_loss(mut self: Box<Self>, effects: &mut Effects) -> Box<DataLoss> {
        self.fail_queue(&CommandError::Lost, effects);
        effects.fail_commands(self.finish.take(), &CommandError::Lost);
        if let Some(own) = &mut self.common.receipts.proposal {
            effects.fail_commands(own.take_callers(), &CommandError::Undecided);
        }
        Box::new(DataLoss::new(self.common))
    }
}
