//! `impl Engine`: a batch, from the inputs that are applied to channels to its end, on the disk or refused by it.
//!
//! `Engine::apply` gives an input to a channel and collects its effects; `Engine::finish_batch` hands the batch out;
//! `Engine::committed` and `Engine::refused` say what is to be done when the disk has taken it, or has not.

use thunder_protocol::channel::{ChannelNotice, CommandId, Effects, PeerInput};
use thunder_protocol::onchain::Call;
use thunder_protocol::{Address, ChainIdentity, Input, Signer, Transition};

use crate::channels::ChannelEntry;
use crate::engine::Engine;
use crate::errors::{disk_error, frozen, frozen_undecided, other_wallet};
use crate::outbox::{
    Batch, BatchEffects, ChainCommand, CommittedBatch, DisconnectReason, Notice, Outbox, RefusedBatch,
};
use crate::replies::ReplyTarget;
use crate::storage::{ChannelWrite, NewChannel, PaymentWrites, Settlements, StorageError};
use crate::wording;

/// How far below the newest block the events of a channel that is agreed on now can be: as far as a
/// reorganisation could push them.
const OPENING_MARGIN: u64 = 128;

impl Engine {
    /// Applies an input to a channel, and adds what it asks for to the batch.
    pub(crate) fn apply(&mut self, address: Address, input: Input) {
        let command = match &input {
            Input::Command(command, _) => Some(*command),
            _ => None,
        };
        let refusal = match (self.channels.get(&address), &self.wallet) {
            (None, _) => Some(crate::errors::unknown_channel()),
            (Some(_), None) => Some(self.require_wallet().err().unwrap_or_else(other_wallet)),
            (Some(entry), Some(wallet)) => refusal(entry, wallet, &input),
        };
        if let Some(error) = refusal {
            return command.into_iter().for_each(|command| self.fail(command, error.clone()));
        }
        let Some(wallet) = self.wallet.take() else { return };
        self.apply_with(address, input, &wallet);
        self.wallet = Some(wallet);
        self.update_watch(address);
    }

    fn apply_with(&mut self, address: Address, input: Input, wallet: &Signer) {
        let Some(entry) = self.channels.get(&address) else { return };
        let (is_frozen, is_readable) = (entry.frozen.is_some(), entry.unreadable.is_none());
        let context = context(&self.settings, &self.chain, self.now, wallet, is_readable);
        let Some(mut effects) = self.channels.apply(address, input, &context) else { return };
        let Some(entry) = self.channels.get_mut(&address) else { return };
        if is_frozen {
            effects = without_disk(effects);
        } else {
            let is_over = entry.channel.is_over(&context);
            if is_over != entry.is_over {
                effects.persist.get_or_insert_default();
                entry.is_over = is_over;
            }
        }
        self.collect(address, effects);
    }

    /// Adds the effects of an input to the batch.
    fn collect(&mut self, address: Address, effects: Effects) {
        let Effects { persist, submit, send, reply, notify, misbehaviour } = effects;
        let time = self.now;
        let Some(entry) = self.channels.get_mut(&address) else { return };
        let (row, partner) = (entry.row, entry.channel.setup().partner());
        if let Some(writes) = persist {
            self.batch.effects.written.push(address);
            let settled = entry.unsettled.settle(&entry.channel, entry.is_over, &writes);
            if !writes.is_empty() || settled != Settlements::default() {
                let writes = PaymentWrites { row, time, writes, settled };
                self.batch_payments.record(&writes);
                self.batch.writes.payments.push(writes);
            }
        }
        for message in send {
            self.push_message(partner, address, message);
        }
        for (command, _) in &reply {
            self.payment_ids.remove(*command);
        }
        let effects = &mut self.batch.effects;
        effects.misbehaviours.extend(misbehaviour.map(|why| (partner, why.to_string())));
        effects.calls.extend(submit.into_iter().map(|call| (address, call)));
        effects.outcomes.extend(reply.into_iter().map(|(command, outcome)| (address, command, outcome)));
        effects.notices.extend(notify.into_iter().map(|notice| announcement(address, notice)));
    }

    /// Adds a new channel, on disk with the batch, and what opening it asks for.
    pub(crate) fn add_channel(&mut self, identity: ChainIdentity, transition: Transition) {
        let Transition { channel, effects } = transition;
        let setup = channel.setup();
        let (address, row, created) = (setup.terms().channel, self.next_row, self.now);
        let first_block = self.chain.head.unwrap_or(0).saturating_sub(OPENING_MARGIN);
        self.next_row += 1;
        self.batch.writes.opened.push(NewChannel {
            row,
            address,
            genesis: identity.genesis,
            wallet: setup.party(setup.role()),
            partner: setup.partner(),
            first_block,
            created,
        });
        self.channels.insert(ChannelEntry::new(row, channel, first_block, created));
        self.update_watch(address);
        self.collect(address, Effects { persist: Some(Vec::new()), ..effects });
    }

    /// Marks the batch as failed, because the disk did not answer a question about this channel.
    pub(crate) fn fail_batch(&mut self, channel: Address, error: StorageError) {
        self.batch.effects.written.push(channel);
        self.batch.failure.get_or_insert(error);
    }

    /// One proposal for all payments of a channel that came in this batch.
    pub(crate) fn propose_payments(&mut self) {
        for channel in std::mem::take(&mut self.dirty_channels) {
            self.apply(channel, Input::Flush);
        }
    }

    /// Ends the batch: everything that was handled since the last one.
    pub fn finish_batch(&mut self) -> Batch {
        self.propose_payments();
        self.write_states();
        self.batch_payments = Default::default();
        std::mem::take(&mut self.batch)
    }

    /// Adds the states of the channels that were changed in this batch to what it writes.
    pub(crate) fn write_states(&mut self) {
        let Batch { writes, failure, effects } = &mut self.batch;
        effects.written.sort_unstable();
        effects.written.dedup();
        for address in &effects.written {
            let Some(entry) = self.channels.get(address) else { continue };
            match entry.channel.encode() {
                Ok(state) => {
                    writes.states.push(ChannelWrite { row: entry.row, state, is_over: entry.is_over });
                }
                Err(error) => drop(failure.get_or_insert(StorageError(error.to_string()))),
            }
        }
    }

    /// What a batch asks for, now that it is on disk.
    pub fn committed(&mut self, batch: CommittedBatch) -> Outbox {
        let CommittedBatch(effects) = batch;
        let BatchEffects { independent: mut outbox, calls, messages, inbound, outcomes, .. } = effects;
        outbox.chain.extend(self.submissions(calls));
        self.pack(messages, inbound, &mut outbox);
        for (channel, command, outcome) in outcomes {
            self.reply_outcome(channel, command, outcome);
        }
        for (partner, why) in effects.misbehaviours {
            let banned = self.ban_partner(&partner, &why);
            outbox.disconnects.extend(banned.map(|peer| (peer, DisconnectReason::Misbehaviour)));
        }
        for (peer, requests) in effects.connected {
            self.reply_connected(&peer, requests);
        }
        if effects.is_block_read {
            self.reply_block_waiters();
        }
        if effects.is_caught_up {
            outbox.chain.push(ChainCommand::CaughtUp);
        }
        // What handling the outcomes and misbehaviours above has added.
        outbox.append(std::mem::take(&mut self.batch.effects.independent));
        outbox
    }

    /// What a batch asks for that the disk has refused: nothing of it is sent but challenges, and its channels freeze.
    /// Users are told what the disk says; whether a payment of an earlier batch was made is open.
    pub fn refused(&mut self, batch: Box<RefusedBatch>) -> Outbox {
        let RefusedBatch { effects, error } = *batch;
        let BatchEffects {
            independent: mut outbox,
            calls,
            commands,
            outcomes,
            written,
            messages,
            connected,
            is_caught_up,
            ..
        } = effects;
        let is_challenge = |(_, call): &(Address, Call)| matches!(call, Call::Challenge(_));
        let challenges: Vec<_> = calls.into_iter().filter(is_challenge).collect();
        let challenged: Vec<_> = challenges.iter().map(|(channel, _)| *channel).collect();
        outbox.chain.extend(self.submissions(challenges));
        if is_caught_up {
            outbox.chain.push(ChainCommand::CaughtUp);
        }
        if written.is_empty() {
            tracing::warn!(%error, "the disk refused a write that concerns no channel; make room or repair the disk");
        }
        for command in commands {
            let pending = self.pending_commands.get(&command);
            // A challenge that is sent is something that was done.
            if pending.is_some_and(|pending| !challenged.contains(&pending.channel)) {
                self.fail(command, disk_error(&error));
            }
        }
        for channel in &written {
            self.freeze(*channel, &error);
        }
        // The outcomes that are left are of channels that the batch did not change.
        for (channel, command, outcome) in outcomes {
            self.reply_outcome(channel, command, outcome);
        }
        self.fail_unsent_offers(&messages, &error);
        for request in connected.into_iter().flat_map(|(_, requests)| requests) {
            self.reply(request, Err(disk_error(&error)));
        }
        self.chain.noted_head = None;
        outbox.append(std::mem::take(&mut self.batch.effects.independent));
        outbox
    }

    /// The calls for the chain task. A challenge has to be in time; the rest can wait for it.
    fn submissions(&self, mut calls: Vec<(Address, Call)>) -> Vec<ChainCommand> {
        calls.sort_by_key(|(_, call)| !matches!(call, Call::Challenge(_)));
        let submit = |(channel, call)| {
            let terms = self.channels.get(&channel)?.terms().clone();
            Some(ChainCommand::Submit(Box::new((terms, call))))
        };
        calls.into_iter().filter_map(submit).collect()
    }

    /// Nothing more is done with a channel whose state the disk does not have.
    fn freeze(&mut self, channel: Address, error: &StorageError) {
        tracing::error!(%channel, %error, "MONEY AT RISK: the channel is frozen, because the disk refused a write; make room or repair the disk, and restart thunderd");
        self.channels.freeze(&channel, &error.to_string());
        self.fail_waiting(channel, error);
        let message = format!("the channel is frozen, because the disk refused a write: {error}");
        self.notice(Notice::Warning { channel: Some(channel), message });
    }

    /// Users who wait for something of a channel that freezes learn that nothing more comes.
    fn fail_waiting(&mut self, channel: Address, error: &StorageError) {
        let Some(wallet) = self.wallet.take() else { return };
        let context = context(&self.settings, &self.chain, self.now, &wallet, true);
        let input = Input::Peer(PeerInput::Disconnected);
        let effects = self.channels.apply(channel, input, &context).unwrap_or_default();
        self.wallet = Some(wallet);
        // These payments were not proposed.
        for (command, _) in effects.reply {
            self.fail(command, frozen(&error.to_string()));
        }
        for command in self.commands_of(&channel) {
            self.fail_frozen(command, error);
        }
    }

    /// Tells the user of a command of an earlier batch that its channel is frozen.
    fn fail_frozen(&mut self, command: CommandId, error: &StorageError) {
        let Some(pending) = self.pending_commands.get(&command) else { return };
        let reason = error.to_string();
        let error = match pending.target {
            ReplyTarget::Paid(_) | ReplyTarget::OneOf(..) => frozen_undecided(&reason),
            ReplyTarget::PaidIn(_)
            | ReplyTarget::Closing(_)
            | ReplyTarget::PaidOut { .. }
            | ReplyTarget::ReceiptImported(_) => frozen(&reason),
        };
        self.fail(command, error);
    }

    /// Ends the connection with a partner that broke a rule.
    fn ban_partner(&mut self, wallet: &Address, why: &str) -> Option<crate::PeerId> {
        // One packet may break a rule many times.
        let peer = self.peers.by_wallet(wallet).filter(|peer| !self.peers.is_banned(peer)).cloned()?;
        if self.may_log(Some(wallet)) {
            tracing::warn!(%peer, %wallet, "MISBEHAVIOUR of the other side, ending the connection: {why}");
        }
        self.peers.ban(&peer);
        Some(peer)
    }
}

/// Logs a channel's notice, and returns it for those who watch.
fn announcement(channel: Address, notice: ChannelNotice) -> Notice {
    let warning = |message: &str| Notice::Warning { channel: Some(channel), message: message.to_owned() };
    match notice {
        ChannelNotice::Payment { direction, payment, nonce } => {
            Notice::Payment { channel, direction, payment, nonce }
        }
        ChannelNotice::State(_) | ChannelNotice::Deployed | ChannelNotice::Withdrawable => {
            tracing::info!(%channel, state = wording::state(&notice), "channel");
            Notice::State { channel }
        }
        ChannelNotice::Refused(reason) => {
            tracing::warn!(%channel, ?reason, "the other side refuses for good; closechannel settles it alone");
            warning("the other side refuses for good; closechannel settles it alone")
        }
        ChannelNotice::AtRisk(risk) => {
            let what = wording::risk(risk);
            tracing::error!(%channel, "MONEY AT RISK: {what}");
            warning(what)
        }
    }
}

/// Why an input is not applied: a frozen channel takes only what the chain shows, and a channel of another wallet takes
/// nothing.
fn refusal(entry: &ChannelEntry, wallet: &Signer, input: &Input) -> Option<thunder_api::ApiError> {
    if let Some(reason) = entry.frozen.as_ref().filter(|_| !matches!(input, Input::Chain(_))) {
        return Some(frozen(reason));
    }
    let setup = entry.channel.setup();
    (setup.party(setup.role()) != wallet.address()).then(other_wallet)
}

/// The effects that a frozen channel still has, because they need nothing on disk: warnings, and a challenge of a closing
/// on an old receipt.
fn without_disk(effects: Effects) -> Effects {
    let Effects { mut submit, mut notify, .. } = effects;
    submit.retain(|call| matches!(call, Call::Challenge(_)));
    notify.retain(|notice| matches!(notice, ChannelNotice::AtRisk(_)));
    Effects { submit, notify, ..Effects::default() }
}

pub(crate) use crate::engine::context;

#[cfg(test)]
mod tests;
