//! Applying inputs, and carrying out their effects in the one order that is safe: first the disk,
//! then the chain, then the peers, then the callers.

use libp2p::PeerId;
use thunder_api::{ApiError, Code, Event};
use thunder_chain::Request as ChainCall;
use thunder_protocol::channel::{
    CommandError, CommandId, CommandOutcome, Direction, Effects, Notice, PeerInput,
};
use thunder_protocol::onchain::Call;
use thunder_protocol::wire::{Envelope, MAX_PAYMENTS, Message};
use thunder_protocol::{Address, Channel, Input, PaymentId, Transition};
use tokio::time::Instant;

use super::{Daemon, context, texts};
use crate::chain_task::ChainRequest;
use crate::p2p::ResponseChannel;
use crate::store::StoreError;

/// Something to run once the batch is on disk.
type Later = Box<dyn FnOnce(&mut Daemon)>;

/// What is done once the batch is on disk.
#[derive(Default)]
pub(super) struct After {
    pub(super) submit: Vec<(Address, Call)>,
    /// To whom, by wallet.
    pub(super) send: Vec<(Address, Envelope)>,
    /// Requests that wait for a response, which carries what there is to say.
    pub(super) respond: Vec<(PeerId, ResponseChannel)>,
    pub(super) reply: Vec<(Address, CommandId, Result<CommandOutcome, CommandError>)>,
    pub(super) notify: Vec<(Address, Notice)>,
    pub(super) disconnect: Vec<(Address, String)>,
    /// What to run that has nothing to do with a channel.
    pub(super) then: Vec<Later>,
    /// The channels that were written in this batch.
    written: Vec<Address>,
    /// The disk refused something; then it gets nothing of the batch.
    failed: Option<StoreError>,
}

impl Daemon {
    /// Applies an input to a channel and writes what changed; nothing else happens before the
    /// batch is on disk.
    pub(super) fn apply(&mut self, address: Address, input: Input) {
        let Some(wallet) = &self.wallet else { return };
        let Some(mut slot) = self.channels.take(&address) else { return };
        let is_frozen = slot.frozen.is_some();
        if let Some(reason) = slot.frozen.clone().filter(|_| !matches!(input, Input::Chain(_))) {
            self.channels.put_back(address, slot);
            if let Input::Command(caller, _) = input {
                self.fail(caller, frozen(&reason));
            }
            return;
        }
        let setup = slot.channel.setup();
        if setup.party(setup.role()) != wallet.address {
            self.channels.put_back(address, slot);
            if let Input::Command(caller, _) = input {
                self.fail(caller, other_wallet());
            }
            return;
        }
        let context = context(&self.config, wallet, &self.chain, slot.unreadable.is_none());
        let Transition { channel, mut effects } = slot.channel.apply(input, &context);
        if is_frozen {
            effects = without_disk(effects);
        }
        let over = channel.is_over(&context);
        if over != slot.over && !is_frozen {
            effects.persist.get_or_insert_default();
            slot.over = over;
        }
        let (tick, block_tick) = (channel.next_tick(), channel.next_block(&context));
        slot.channel = channel;
        let id = slot.id;
        self.schedule(address, &mut slot, tick, block_tick);
        self.channels.put_back(address, slot);
        self.update_watch(address);
        self.collect(address, id, over, effects);
    }

    fn schedule(
        &mut self,
        address: Address,
        slot: &mut super::channels::Slot,
        tick: Option<u64>,
        block: Option<u64>,
    ) {
        if slot.tick != tick {
            slot.tick.map(|due| self.ticks.remove(&(due, address)));
            tick.map(|due| self.ticks.insert((due, address), ()));
            slot.tick = tick;
        }
        if slot.block_tick != block {
            slot.block_tick.map(|due| self.block_ticks.remove(&(due, address)));
            block.map(|due| self.block_ticks.insert((due, address), ()));
            slot.block_tick = block;
        }
    }

    fn collect(&mut self, address: Address, id: i64, over: bool, effects: Effects) {
        let Effects { persist, submit, send, reply, notify, misbehaviour } = effects;
        if let Some(writes) = persist {
            self.after.written.push(address);
            let result = self.store.begin().and_then(|()| match self.channels.get(&address) {
                Some(slot) => self.store.write_channel(id, &slot.channel, over, &writes),
                None => Ok(()),
            });
            if let Err(error) = result {
                self.after.failed.get_or_insert(error);
            }
        }
        let partner = self.channels.get(&address).map(|slot| slot.channel.setup().partner());
        self.after.submit.extend(submit.into_iter().map(|call| (address, call)));
        if let Some(partner) = partner {
            for message in send {
                self.after.push_message(partner, address, message);
            }
            self.after.disconnect.extend(misbehaviour.map(|why| (partner, why.to_string())));
        }
        for (command, _) in &reply {
            self.payment_ids.remove(*command);
        }
        self.after.reply.extend(reply.into_iter().map(|(caller, result)| (address, caller, result)));
        self.after.notify.extend(notify.into_iter().map(|notice| (address, notice)));
    }

    /// Adds a new channel, on disk with the batch, and collects what opening it asks for.
    pub(super) fn add_channel(&mut self, transition: Transition) -> Result<(), StoreError> {
        let Transition { channel, effects } = transition;
        let Some(identity) = self.chain.identity else {
            return Err(StoreError::Damaged("a channel without a chain".into()));
        };
        let since = self.chain.head.unwrap_or(0).saturating_sub(crate::chain_task::OPENING_MARGIN);
        let created = super::now_ms();
        self.store.begin()?;
        let id = self.store.add_channel(&channel, identity.genesis, since, created)?;
        let address = channel.setup().terms().channel;
        self.channels.insert(super::channels::Slot {
            id,
            channel,
            since,
            created,
            over: false,
            frozen: None,
            tick: None,
            block_tick: None,
            stake: None,
            unreadable: None,
        });
        self.update_watch(address);
        self.after.written.push(address);
        self.collect(address, id, false, Effects { persist: None, ..effects });
        Ok(())
    }

    /// A message of a channel has come in its session.
    pub(super) fn on_channel_message(&mut self, partner: Address, channel: Address, message: Message) {
        let Some(slot) = self.channels.get(&channel) else {
            self.after.send.push((partner, Envelope::UnknownChannel { channel }));
            return;
        };
        if slot.channel.setup().partner() != partner {
            self.after
                .disconnect
                .push((partner, format!("a message for channel {channel}, which is not its own")));
            return;
        }
        match self.repeated_ids(slot.id, &message) {
            Ok(repeated) => self.apply(channel, Input::Peer(PeerInput::Message { message, repeated })),
            Err(error) => {
                self.after.written.push(channel);
                self.after.failed.get_or_insert(error);
            }
        }
    }

    /// Puts the batch on disk, whole or not at all, and only then does what it asks for.
    pub(super) fn finish_batch(&mut self, inputs: usize) {
        let since = self.store.is_collecting().then(Instant::now);
        let result = match self.after.failed.take() {
            None => self.store.commit(),
            Some(error) => {
                self.store.roll_back();
                Err(error)
            }
        };
        match result {
            Ok(()) => {
                if let Some(since) = since {
                    self.metrics.committed(since, inputs);
                }
                self.carry_out_after();
            }
            Err(error) => self.freeze_batch(&error),
        }
    }

    /// Which of the payments that a message brings were applied before.
    fn repeated_ids(&self, id: i64, message: &Message) -> Result<Vec<PaymentId>, StoreError> {
        let payments = match message {
            Message::Propose(propose) => propose.payments.as_slice(),
            Message::Sync(sync) => sync.proposal.as_ref().map_or(&[][..], |propose| &propose.payments),
            Message::Answer(_) | Message::Refuse(_) | Message::Final(_) => &[],
        };
        let mut repeated = Vec::new();
        if payments.len() > MAX_PAYMENTS {
            return Ok(repeated); // no proposal has as many; the channel says so
        }
        if !payments.is_empty() {
            self.store.expect_writes();
        }
        for payment in payments {
            if self.store.knows_payment_of_partner(id, &payment.id)? {
                repeated.push(payment.id.clone());
            }
        }
        Ok(repeated)
    }

    /// Does what the batch asks for, now that it is on disk.
    fn carry_out_after(&mut self) {
        let After { submit, send, respond, reply, notify, disconnect, then, written: _, failed: _ } =
            std::mem::take(&mut self.after);
        self.submit(submit);
        #[cfg(feature = "failpoints")]
        let (sends, replies) = (!send.is_empty(), !reply.is_empty());
        failpoint!("send-before", sends);
        self.deliver(send, respond);
        failpoint!("send-after", sends);
        failpoint!("reply-before", replies);
        for (channel, caller, result) in reply {
            self.answer(channel, caller, result);
        }
        for (channel, notice) in notify {
            self.announce(channel, notice);
        }
        for (partner, why) in disconnect {
            self.end_connection(&partner, &why);
        }
        for run in then {
            run(self);
        }
    }

    fn submit(&self, mut calls: Vec<(Address, Call)>) {
        // A challenge has to be in time; whatever else there is to send can wait for it.
        calls.sort_by_key(|(_, call)| !matches!(call, Call::Challenge(_)));
        for (channel, call) in calls {
            if matches!(call, Call::Challenge(_)) {
                self.metrics.challenges.increment(1);
            }
            if let Some(terms) = self.terms(&channel).cloned() {
                let request = Box::new(ChainCall { terms, call });
                // The task is there for as long as the daemon is.
                let _ = self.to_chain.send(ChainRequest::Submit(request));
            }
        }
    }

    /// The disk refused the batch: nothing of it is sent or answered, and its channels freeze.
    /// A challenge goes out all the same.
    fn freeze_batch(&mut self, error: &StoreError) {
        let submit = std::mem::take(&mut self.after.submit);
        self.submit(submit.into_iter().filter(|(_, call)| matches!(call, Call::Challenge(_))).collect());
        for channel in std::mem::take(&mut self.after.written) {
            self.freeze(channel, error);
        }
        let After { reply, respond, .. } = std::mem::take(&mut self.after);
        drop(respond);
        for (_, caller, _) in reply {
            self.fail(caller, disk_error(error));
        }
    }

    /// Nothing more is done with a channel whose state the disk does not have.
    fn freeze(&mut self, channel: Address, error: &StoreError) {
        tracing::error!(%channel, %error, "MONEY AT RISK: the channel is frozen, because the disk refused a write; make room or repair the disk, and restart thunderd");
        self.channels.freeze(&channel, &error.to_string());
        self.fail_waiting(channel, error);
        let message = format!("the channel is frozen, because the disk refused a write: {error}");
        self.events.push(Event::Warning { message, channel: Some(channel.into()) });
    }

    /// Whoever waits for something that was not proposed learns that it will not be.
    fn fail_waiting(&mut self, channel: Address, error: &StoreError) {
        let (Some(wallet), Some(mut slot)) = (&self.wallet, self.channels.take(&channel)) else { return };
        let context = context(&self.config, wallet, &self.chain, slot.unreadable.is_none());
        let Transition { channel: state, effects } =
            slot.channel.apply(Input::Peer(PeerInput::Disconnected), &context);
        slot.channel = state;
        self.channels.put_back(channel, slot);
        for (caller, _) in effects.reply {
            self.fail(caller, frozen(&error.to_string()));
        }
    }

    /// Tells watchers and the log.
    fn announce(&mut self, channel: Address, notice: Notice) {
        match notice {
            Notice::Payment { direction, payment, nonce } => {
                tracing::debug!(%channel, ?direction, amount = %payment.amount, id = %payment.id, %nonce, "payment");
                match direction {
                    Direction::In => self.metrics.received.increment(1),
                    Direction::Out => self.metrics.sent.increment(1),
                }
                if self.events.is_watched() {
                    let info = super::channel_info::payment(
                        channel,
                        direction,
                        payment,
                        Some(nonce),
                        super::now_ms(),
                    );
                    self.events.push(Event::Payment(info));
                }
            }
            Notice::State(_) | Notice::Deployed | Notice::Withdrawable => {
                tracing::info!(%channel, state = texts::state(&notice), "channel");
                self.announce_channel(channel);
            }
            Notice::Refused(reason) => {
                tracing::warn!(%channel, ?reason, "the other side refuses for good; closechannel settles it alone");
                let message = "the other side refuses for good; closechannel settles it alone".to_owned();
                self.events.push(Event::Warning { message, channel: Some(channel.into()) });
            }
            Notice::AtRisk(risk) => {
                let what = texts::risk(risk);
                tracing::error!(%channel, "MONEY AT RISK: {what}");
                self.events.push(Event::Warning { message: what.into(), channel: Some(channel.into()) });
            }
        }
    }

    pub(super) fn announce_channel(&mut self, channel: Address) {
        if let Some(slot) = self.channels.get(&channel) {
            let info = self.channel_info(slot);
            self.events.push(Event::Channel(info));
        }
    }
}

impl After {
    /// A message about a channel. A sync says all that an earlier one of the batch said.
    fn push_message(&mut self, partner: Address, channel: Address, mut message: Message) {
        if let Message::Sync(sync) = &mut message {
            self.send.retain(|(_, envelope)| match envelope {
                Envelope::Channel { channel: other, message: Message::Sync(earlier) }
                    if *other == channel =>
                {
                    sync.wants_reply |= earlier.wants_reply;
                    false
                }
                _ => true,
            });
        }
        self.send.push((partner, Envelope::Channel { channel, message }));
    }
}

/// What a channel still does that the disk knows nothing of: it warns, and it punishes a closing on
/// an old receipt, which needs nothing but the receipt.
fn without_disk(effects: Effects) -> Effects {
    let Effects { mut submit, mut notify, .. } = effects;
    submit.retain(|call| matches!(call, Call::Challenge(_)));
    notify.retain(|notice| matches!(notice, Notice::AtRisk(_)));
    Effects { submit, notify, ..Effects::default() }
}

fn other_wallet() -> ApiError {
    ApiError::new(
        Code::WalletInUse,
        "the channel belongs to another wallet",
        "import that one again: thunder-cli importwallet",
    )
}

fn frozen(reason: &str) -> ApiError {
    ApiError::new(
        Code::Internal,
        format!("the channel is frozen, because the disk refused a write: {reason}"),
        "make room on the disk or repair it, and restart thunderd",
    )
}

/// For the caller of a command that the disk refused.
pub(super) fn disk_error(error: &StoreError) -> ApiError {
    ApiError::new(
        Code::Internal,
        format!("nothing was done: {error}"),
        "make room on the disk or repair it, and restart thunderd",
    )
}

/// Whether a channel can still be used.
pub(super) fn is_live(channel: &Channel) -> bool {
    !matches!(channel, Channel::Closed(_))
}
