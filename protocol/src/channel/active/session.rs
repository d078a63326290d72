//! The session with the partner's node: its start and end, syncs (rules 8 and 9), repetitions.

use crate::PaymentId;
use crate::wire::{Message, Sync};

use super::super::Channel;
use super::super::command_outcome::CommandError;
use super::super::data_loss::DataLoss;
use super::super::effects::{ChannelNotice, Effects, Risk};
use super::super::input::{CommandId, Context};
use super::super::receipt_import::ImportedReceipt;
use super::super::rules::{Claim, judge_claim};
use super::{Active, PeerLink, REPEAT_AFTER};

impl Active {
    /// A session is open; its initiator syncs first.
    pub(in super::super) fn connected(
        &mut self,
        initiator: bool,
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        self.link = PeerLink { online: true, ..PeerLink::default() };
        if initiator {
            self.send_sync(context, effects);
        }
    }

    pub(super) fn disconnected(&mut self, effects: &mut Effects) {
        self.link = PeerLink::default();
        // Rule 8: what was not proposed is certainly not paid. What was proposed may be answered
        // when the partner is back.
        self.fail_queue(&CommandError::PeerOffline, effects);
        effects.fail_commands(self.close_command.take(), &CommandError::PeerOffline);
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
            Message::Final(final_receipt) => return self.on_final(final_receipt, context, effects),
            Message::Propose(propose) => self.on_propose(propose, repeated, context, effects),
            Message::Answer(answer) => self.on_answer(&answer, context, effects),
            Message::Refuse(refuse) => {
                self.on_refuse(&refuse, context, effects);
                Ok(())
            }
        };
        effects.misbehaviour = result.err();
        self.sign_final_if_ready(context, effects)
    }

    /// The partner will sign nothing more: what is proposed only the chain decides, what waits is
    /// not paid.
    pub(super) fn peer_stops(&mut self, effects: &mut Effects) {
        self.link.repeat_at = None;
        if let Some(own) = &mut self.common.receipts.proposal {
            effects.fail_commands(own.take_command_ids(), &CommandError::Undecided);
        }
        self.fail_queue(&CommandError::PeerStopped, effects);
        effects.fail_commands(self.close_command.take(), &CommandError::PeerStopped);
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
        self.link.peer_stopped = sync.closing || sync.own_final.is_some();
        self.link.repeat_at =
            self.common.receipts.proposal.as_ref().map(|_| context.now.saturating_add(REPEAT_AFTER));
        if let Ok(Claim::Answers(theirs)) = claim {
            self.accept_answer(theirs, effects);
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
        match sync.own_final {
            Some(final_receipt) => self.on_final(final_receipt, context, effects),
            None => self.sign_final_if_ready(context, effects),
        }
    }

    /// The partner has shown an own signature that this side knows nothing of (rule 9).
    pub(super) fn lost(self: Box<Self>, sync: Sync, context: &Context<'_>, effects: &mut Effects) -> Channel {
        effects.notify.push(ChannelNotice::AtRisk(Risk::PartnerHasNewerReceipt));
        self.into_data_loss(effects).on_sync(sync, context, effects)
    }

    /// The user gives a receipt. One with an own signature that this side knows nothing of proves that
    /// data was lost, whoever shows it (rule 9); any other is for channels that have lost data already.
    pub(super) fn import(
        self: Box<Self>,
        command_id: CommandId,
        given: &ImportedReceipt,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if !given.proves_loss(&self.common.setup, &self.common.receipts, context.crypto) {
            effects.reply.push((command_id, Err(CommandError::NoDataLost)));
            return Channel::Active(self);
        }
        effects.notify.push(ChannelNotice::AtRisk(Risk::NewerReceiptImported));
        let mut lost = self.into_data_loss(effects);
        lost.import(command_id, given, context.crypto, effects);
        Channel::DataLoss(lost)
    }

    fn into_data_loss(mut self: Box<Self>, effects: &mut Effects) -> Box<DataLoss> {
        self.fail_queue(&CommandError::DataLost, effects);
        effects.fail_commands(self.close_command.take(), &CommandError::DataLost);
        if let Some(own) = &mut self.common.receipts.proposal {
            effects.fail_commands(own.take_command_ids(), &CommandError::Undecided);
        }
        Box::new(DataLoss::new(self.common))
    }
}
