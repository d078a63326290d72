//! One honest node: the channel core that ships, its disk, and the shell around it.
//!
//! The shell carries out effects in the one fixed order and can die between any two of them.

use std::fmt::Write;
use std::hash::{Hash, Hasher};

use thunder_protocol::channel::{
    ChainInput, ChannelCommand, ChannelNotice, CommandId, CommandOutcome, Direction, ImportedReceipt,
    Misbehaviour, PaymentWrite, PeerInput,
};
use thunder_protocol::onchain::{Call, ChainView};
use thunder_protocol::wire::Message;
use thunder_protocol::{
    AgreedReceipt, Channel, Context, Effects, Input, Memo, Nonce, Payment, PaymentId, Receipt, Role,
    Signature, Transition,
};

use crate::fault::{self, Fault};
use thunder_testing::Disk;
use thunder_testing::crypto::Key;
use thunder_testing::disk::payments;
use thunder_testing::values::thd;

/// What carrying out one input has brought about, outside.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Contract calls handed to the chain.
    pub submit: Vec<Call>,
    /// Messages sent.
    pub send: Vec<Message>,
    /// The node died on the way; it has to be restarted.
    pub crashed: bool,
    /// The peer was taken for a cheat.
    pub misbehaviour: Option<Misbehaviour>,
}

/// What is known of a restored node from outside.
#[derive(Debug, Clone, Copy)]
pub struct Restored {
    /// The nonce of the agreed receipt in the backup.
    pub agreed: Nonce,
    /// The highest nonce that the backup knew: that receipt's, or the own proposal's.
    pub known: Nonce,
    /// The newest receipt that both had signed, which its user has as an export and as a record.
    pub newest: AgreedReceipt,
    /// What its user would get by the FINAL that it has ordered.
    pub ordered: Option<u128>,
    /// Whether its user has given it that receipt.
    pub imported: bool,
}

impl Restored {
    /// Whether its user has done anything about it.
    pub const fn decided(&self) -> bool {
        self.imported || self.ordered.is_some()
    }
}

/// An honest node.
#[derive(Debug, Clone)]
pub struct Side {
    /// Which party it is.
    pub role: Role,
    /// Its disk.
    pub disk: Disk,
    /// The running channel.
    pub channel: Channel,
    /// Whether it believes in a session.
    pub online: bool,
    /// The newest block that it knows.
    pub head: u64,
    /// How deep it wants the opening.
    pub confirmations: u64,
    /// A copy of the disk, made by its owner.
    pub backup: Option<Disk>,
    /// It was restored from that copy.
    pub restored: Option<Restored>,
    /// The payments of which its user was told "paid".
    pub told: Vec<PaymentId>,
    /// How often a proposal of the other side went first while payments waited here.
    pub passed: u8,
    /// What a fault needs to remember.
    pub bait: Option<(Receipt, Signature)>,
    /// The channel as it was when it became usable; a fault falls back on it.
    pub young: Option<Box<Channel>>,
    /// The seeded fault.
    pub fault: Option<Fault>,
    fingerprint: u64,
}

/// Feeds what a value shows of itself to a hasher.
struct Sink<'a, H>(&'a mut H);

impl<H: Hasher> Write for Sink<'_, H> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Hashes everything that `Debug` shows. The core's states derive it, so that it shows all of
/// them, also what isn't on disk and what has no name outside the core.
pub fn hash_debug(value: &impl std::fmt::Debug, hasher: &mut impl Hasher) {
    let _ = write!(Sink(hasher), "{value:?}");
}

impl Hash for Side {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

impl Side {
    /// A node with a channel that it has just agreed on.
    pub fn new(
        role: Role,
        transition: Transition,
        confirmations: u64,
        fault: Option<Fault>,
    ) -> (Self, Vec<Call>) {
        let Transition { channel, effects } = transition;
        let mut side = Self {
            role,
            disk: Disk::default(),
            channel,
            online: true,
            head: 0,
            confirmations,
            backup: None,
            restored: None,
            told: Vec::new(),
            passed: 0,
            bait: None,
            young: None,
            fault,
            fingerprint: 0,
        };
        side.disk.write_record(&side.channel);
        (side, effects.submit)
    }

    /// Applies an input and carries out what follows. With `cut`, only so many of the steps
    /// (writes, calls, messages) happen before the node dies; `None` if there are not that many.
    pub fn step(&mut self, input: Input, cut: Option<usize>) -> Option<Outcome> {
        let waiting = self.waits();
        let before = self.agreed_nonce();
        let Transition { channel, mut effects } = fault::apply(self, input);
        let mut outcome = Outcome { misbehaviour: effects.misbehaviour, ..Outcome::default() };
        let steps = fault::order(self, &mut effects);
        if cut.is_some_and(|cut| cut >= steps.len()) {
            return None;
        }
        for step in steps.into_iter().take(cut.unwrap_or(usize::MAX)) {
            match step {
                Step::Write(writes) => self.disk.write(&channel, &writes),
                Step::Record => self.disk.write_record(&channel),
                Step::Rows(writes) => self.disk.write_rows(&writes),
                Step::Submit(call) => outcome.submit.push(call),
                Step::Send(message) => outcome.send.push(message),
            }
        }
        outcome.crashed = cut.is_some();
        if !outcome.crashed {
            self.channel = channel;
            self.tell(&effects);
            self.count_passed(waiting, before, &effects);
            self.remember_young();
            if effects.misbehaviour.is_some() && self.online {
                self.online = false;
                let rest = self.step(Input::Peer(PeerInput::Disconnected), None)?;
                outcome.submit.extend(rest.submit);
            }
        }
        Some(outcome)
    }

    /// Works out the fingerprint anew.
    pub fn refresh(&mut self) {
        let mut hasher = std::hash::DefaultHasher::new();
        for disk in [Some(&self.disk), self.backup.as_ref()].into_iter().flatten() {
            disk.record.hash(&mut hasher);
            hash_debug(&disk.rows, &mut hasher);
            disk.has_twice.hash(&mut hasher);
        }
        hash_debug(&self.channel, &mut hasher);
        hash_debug(&(&self.told, self.bait, self.restored), &mut hasher);
        (self.backup.is_some(), self.online, self.head, self.passed).hash(&mut hasher);
        self.fingerprint = hasher.finish();
    }

    /// Stands for everything that tells one state of the node from another.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn tell(&mut self, effects: &Effects) {
        for (_, reply) in &effects.reply {
            if let Ok(CommandOutcome::Paid { id, .. }) = reply
                && !self.told.contains(id)
            {
                self.told.push(id.clone());
            }
        }
    }

    fn waits(&self) -> bool {
        !self.channel.pending().is_zero()
    }

    fn count_passed(&mut self, waiting: bool, before: Nonce, effects: &Effects) {
        let own = |notice: &ChannelNotice| {
            matches!(notice, ChannelNotice::Payment { direction: Direction::Out, .. })
        };
        if !waiting || effects.notify.iter().any(own) {
            self.passed = 0;
        } else if self.agreed_nonce() > before {
            self.passed += 1;
        }
    }

    fn remember_young(&mut self) {
        if self.fault == Some(Fault::CarryOnAfterTakingOver) && matches!(self.channel, Channel::Active(_)) {
            self.young = Some(Box::new(self.channel.clone()));
        }
    }

    /// The nonce of the newest agreed receipt.
    pub fn agreed_nonce(&self) -> Nonce {
        self.channel.receipts().map_or(Nonce::ZERO, |receipts| receipts.agreed.nonce())
    }

    /// What the world looks like to it. Time stands still at the end of time, where every delay
    /// is due at once: a tick may come whenever one is asked for.
    pub fn context<'a>(&self, key: &'a Key) -> Context<'a> {
        Context {
            crypto: key,
            now: u64::MAX,
            head: Some(self.head),
            chain_fresh: true,
            confirmations: self.confirmations,
            auto_challenge: true,
        }
    }

    /// The node dies and starts again from its disk: it catches up with the chain, then resumes.
    pub fn restart(&mut self, view: ChainView) -> Outcome {
        self.channel = fault::load(self.fault, &self.disk);
        self.online = false;
        self.head = view.head;
        let mut outcome = self.see(view);
        let rest = self.step(Input::Resume, None).unwrap_or_default();
        outcome.submit.extend(rest.submit);
        outcome.send.clear();
        outcome
    }

    /// The chain is followed up to its newest block.
    pub fn see(&mut self, view: ChainView) -> Outcome {
        // A block is waited for from before it is there.
        let mut due = self.channel.next_block(&self.context(&Key(self.role)));
        self.head = view.head;
        let news = (self.channel.view().newest, self.channel.view().status) != (view.newest, view.status);
        let mut outcome = Outcome::default();
        if news {
            outcome = self.step(Input::Chain(ChainInput::View(view)), None).unwrap_or_default();
            due = self.channel.next_block(&self.context(&Key(self.role)));
        }
        if due.is_some_and(|due| due <= self.head) {
            let rest = self.step(Input::Chain(ChainInput::Block), None).unwrap_or_default();
            outcome.submit.extend(rest.submit);
            outcome.send.extend(rest.send);
        }
        outcome
    }

    /// Its owner puts the copy back: `restore` marks the channel.
    pub fn restore(&mut self) {
        let Some(backup) = self.backup.take() else { return };
        let newest = self.channel.receipts().map(|receipts| receipts.agreed);
        self.disk = backup;
        self.disk.mark_stale();
        let channel = self.disk.load();
        let receipts = channel.receipts();
        let agreed = receipts.map_or(Nonce::ZERO, |receipts| receipts.agreed.nonce());
        let proposed = receipts.and_then(|receipts| receipts.proposal.as_ref()).map(|own| own.nonce);
        let newest = newest.unwrap_or_else(|| AgreedReceipt::zero(channel.setup().terms().shares));
        let known = agreed.max(proposed.unwrap_or(agreed));
        self.restored = Some(Restored { agreed, known, newest, ordered: None, imported: false });
        self.told.clear();
    }

    /// Its user orders FINAL on what a channel with lost data knows.
    pub fn order_final(&mut self, cut: Option<usize>) -> Option<Outcome> {
        if let (Channel::DataLoss(lost), Some(restored)) = (&self.channel, &mut self.restored)
            && lost.is_synced()
        {
            restored.ordered = Some(lost.newest().balances.of(self.role).base_units());
        }
        self.command(ChannelCommand::SignFinal, cut)
    }

    /// Its user gives it the newest receipt that it had before it lost data: an export with both
    /// signatures, or a watchtower record. `None` if it never had one.
    pub fn import(&mut self, export: bool, cut: Option<usize>) -> Option<Outcome> {
        let restored = self.restored.as_mut()?;
        restored.imported = true;
        let AgreedReceipt { receipt, signatures } = restored.newest;
        let signatures = signatures?;
        let (own, theirs) = (*signatures.of(self.role), *signatures.of(self.role.other()));
        let given = ImportedReceipt { receipt, theirs, own: export.then_some(own) };
        self.command(ChannelCommand::ImportReceipt(given.into()), cut)
    }

    /// A command of its user.
    pub fn command(&mut self, command: ChannelCommand, cut: Option<usize>) -> Option<Outcome> {
        self.step(Input::Command(CommandId(1), command), cut)
    }

    /// `pay`. Both users count alike, so that both sides' payments have the same ids.
    pub fn pay(&mut self, number: u8, amount: u64, cut: Option<usize>) -> Option<Outcome> {
        let payment = Payment { id: payment_id(number), amount: thd(amount), memo: Memo::default() };
        let order = self.disk.order(&self.channel, payment);
        self.command(order, cut)
    }

    /// A message of the open session.
    pub fn receive(&mut self, message: Message, cut: Option<usize>) -> Option<Outcome> {
        let mut input = self.disk.message(message);
        if self.fault == Some(Fault::OthersPaymentId)
            && let Input::Peer(PeerInput::Message { message, repeated }) = &mut input
        {
            let own = |id: &&PaymentId| self.disk.find(Direction::Out, id).is_some();
            let ids = payments(message).iter().map(|payment| &payment.id).filter(own);
            repeated.extend(ids.cloned());
        }
        self.step(input, cut)
    }

    /// The session opens or ends.
    pub fn session(&mut self, input: PeerInput) -> Outcome {
        self.online = matches!(input, PeerInput::Connected { .. });
        self.step(Input::Peer(input), None).unwrap_or_default()
    }

    /// What it is owed at least: its share of the newest agreed receipt, less what it has proposed
    /// itself; before there are receipts, what it has paid in.
    pub fn owed(&self) -> u128 {
        let Some(receipts) = self.channel.receipts() else {
            return self.channel.balances().of(self.role).base_units();
        };
        let proposed = receipts.proposal.as_ref().map_or(0, |own| own.total().base_units());
        receipts.agreed.balances().of(self.role).base_units().saturating_sub(proposed)
    }

    /// The sum of payments of one direction for which `count` holds.
    pub fn sum(&self, direction: Direction, count: impl Fn(Nonce) -> bool) -> u128 {
        let rows = self.disk.rows.iter().filter(|row| row.direction == direction);
        rows.filter(|row| row.nonce.is_some_and(&count)).map(|row| row.payment.amount.base_units()).sum()
    }
}

/// The name of a user's payment.
pub fn payment_id(number: u8) -> PaymentId {
    PaymentId::new(format!("p{number}")).expect("printable")
}

/// One thing that the shell does for an input; it can die after each.
#[derive(Debug, Clone)]
pub enum Step {
    /// The channel's record and these payments, in one write.
    Write(Vec<PaymentWrite>),
    /// The record alone; only with [`Fault::TwoWrites`].
    Record,
    /// The payments alone; only with [`Fault::TwoWrites`].
    Rows(Vec<PaymentWrite>),
    /// A contract call.
    Submit(Call),
    /// A message.
    Send(Message),
}
