//! One node: its core, its disk, and its loop. Inputs are applied in batches; a batch is one write,
//! and only after that are transactions broadcast, messages sent and callers answered, in this
//! order. It can die before the write, after it, and after each thing that it does then.

use std::collections::{BTreeMap, BTreeSet};

use thunder_protocol::channel::{
    Command, CommandError, CommandId, CommandOutcome, Direction, KnownPayment, Misbehaviour, PaymentStatus,
    PaymentWrite, PeerInput,
};
use thunder_protocol::onchain::{Call, ClosePlan, Evidence};
use thunder_protocol::wire::Message;
use thunder_protocol::{
    Channel, Context, Effects, Input, Payment, PaymentId, Receipt, Role, Signer, Transition,
};

use crate::common::{self, Disk};

/// How deep an opening has to be.
pub(crate) const CONFIRMATIONS: u64 = 3;

pub(crate) struct Node {
    pub(crate) role: Role,
    signer: Signer,
    /// What is in memory: `None` while the node is down.
    channel: Option<Channel>,
    pub(crate) disk: Disk,
    batch: Batch,
    /// How many steps of carrying out a batch succeed before the node dies.
    pub(crate) dies_in: Option<u64>,
    /// The newest block that was processed, and whether the chain was heard of lately.
    pub(crate) head: u64,
    pub(crate) is_fresh: bool,
    pub(crate) now: u64,
    next_command: u64,
    pub(crate) replies: BTreeMap<CommandId, Result<CommandOutcome, CommandError>>,
    pub(crate) misbehaviour: Option<Misbehaviour>,
    /// Whatever could be closed on, or challenged with: everything that the partner ever signed.
    pub(crate) evidence: BTreeSet<Known>,
}

/// Evidence, in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known(pub(crate) Evidence);

impl Ord for Known {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |known: &Self| {
            let Receipt { nonce, balances } = known.0.receipt;
            (nonce, balances.a, balances.b)
        };
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Known {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Default)]
struct Batch {
    writes: Vec<(Vec<u8>, Vec<PaymentWrite>)>,
    submit: Vec<Call>,
    send: Vec<Message>,
    reply: Vec<(CommandId, Result<CommandOutcome, CommandError>)>,
    misbehaviour: Option<Misbehaviour>,
}

/// What a node does to the world once a batch is on disk.
pub(crate) enum Deed {
    Submit(Call),
    Send(Message),
}

impl Node {
    pub(crate) fn new(role: Role, transition: Transition) -> Self {
        let mut node = Self {
            role,
            signer: common::signer(role),
            channel: None,
            disk: Disk::default(),
            batch: Batch::default(),
            dies_in: None,
            head: 0,
            is_fresh: true,
            now: 0,
            next_command: 1,
            replies: BTreeMap::new(),
            misbehaviour: None,
            evidence: BTreeSet::new(),
        };
        node.collect(transition.channel, transition.effects);
        node
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.channel.is_some()
    }

    /// The state: in memory, or else on disk.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone().unwrap_or_else(|| self.disk.load())
    }

    pub(crate) fn apply(&mut self, input: Input) {
        let Some(channel) = self.channel.take() else { return };
        let context = Context {
            crypto: &self.signer,
            now: self.now,
            head: Some(self.head),
            chain_fresh: self.is_fresh,
            confirmations: CONFIRMATIONS,
            auto_challenge: true,
        };
        let Transition { channel, effects } = channel.apply(input, &context);
        self.collect(channel, effects);
    }

    fn collect(&mut self, channel: Channel, effects: Effects) {
        if let Some(writes) = effects.persist {
            self.batch.writes.push((channel.encode().expect("encodes"), writes));
        }
        self.channel = Some(channel);
        self.batch.submit.extend(effects.submit);
        self.batch.send.extend(effects.send);
        self.batch.reply.extend(effects.reply);
        self.batch.misbehaviour = self.batch.misbehaviour.or(effects.misbehaviour);
    }

    /// One step of a batch: false if the node dies before it.
    fn lives(&mut self) -> bool {
        if self.dies_in == Some(0) {
            self.die();
            return false;
        }
        self.dies_in = self.dies_in.map(|left| left - 1);
        true
    }

    /// kill -9.
    pub(crate) fn die(&mut self) {
        self.channel = None;
        self.batch = Batch::default();
        self.dies_in = None;
    }

    /// Writes the batch and does what it asks for; what was done before a death stays done.
    pub(crate) fn commit(&mut self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let Batch { writes, submit, send, reply, misbehaviour } = std::mem::take(&mut self.batch);
        if !writes.is_empty() {
            if !self.lives() {
                return deeds;
            }
            for (record, writes) in writes {
                let channel =
                    Channel::decode::<thunder_protocol::codec::CodecError>(&record, |_| Ok(Vec::new()));
                self.disk.write(&channel.expect("decodes"), writes);
            }
        }
        self.misbehaviour = self.misbehaviour.or(misbehaviour);
        self.remember_agreed();
        let calls = submit.into_iter().map(Deed::Submit);
        for deed in calls.chain(send.into_iter().map(Deed::Send)) {
            if !self.lives() {
                return deeds;
            }
            deeds.push(deed);
        }
        for (caller, result) in reply {
            if !self.lives() {
                return deeds;
            }
            self.replies.insert(caller, result);
        }
        deeds
    }

    /// Starts from disk. The chain is caught up with by whoever calls this.
    pub(crate) fn start(&mut self) {
        self.channel = Some(self.disk.load());
    }

    pub(crate) fn command(&mut self, command: Command) -> CommandId {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.apply(Input::Command(id, command));
        id
    }

    pub(crate) fn pay(&mut self, payment: Payment) -> CommandId {
        let known = self.known(&payment.id);
        self.command(Command::Pay { payment, known, more: false })
    }

    /// What the disk, with the batch that is being made, says of an own payment.
    fn known(&self, id: &PaymentId) -> Option<KnownPayment> {
        let mut disk = self.disk.clone();
        for (record, writes) in &self.batch.writes {
            let channel = Channel::decode::<thunder_protocol::codec::CodecError>(record, |_| Ok(Vec::new()));
            disk.write(&channel.expect("decodes"), writes.clone());
        }
        let row = disk.find(Direction::Out, id)?;
        let channel = self.channel();
        let nonce = row.nonce.filter(|nonce| channel.status_of(*nonce) != PaymentStatus::Failed);
        Some(KnownPayment { payment: row.payment.clone(), nonce })
    }

    pub(crate) fn receive(&mut self, message: Message) {
        self.remember_proposal(&message);
        let payments = match &message {
            Message::Propose(propose) => &propose.payments[..],
            Message::Sync(sync) => sync.proposal.as_ref().map_or(&[][..], |propose| &propose.payments),
            Message::Answer(_) | Message::Refuse(_) | Message::Final(_) => &[],
        };
        let inserted = |id: &PaymentId| {
            self.batch.writes.iter().flat_map(|(_, writes)| writes).any(|write| {
                matches!(write, PaymentWrite::Insert { direction: Direction::In, payment, .. } if payment.id == *id)
            })
        };
        let is_known = |id: &&PaymentId| self.disk.find(Direction::In, id).is_some() || inserted(id);
        let repeated = payments.iter().map(|payment| &payment.id).filter(is_known).cloned().collect();
        self.apply(Input::Peer(PeerInput::Message { message, repeated }));
    }

    fn remember_proposal(&mut self, message: &Message) {
        let propose = match message {
            Message::Propose(propose) => Some(propose),
            Message::Sync(sync) => sync.proposal.as_ref(),
            Message::Answer(_) | Message::Refuse(_) | Message::Final(_) => None,
        };
        if let Some(propose) = propose {
            let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
            self.evidence.insert(Known(Evidence { receipt, signature: Some(propose.signature) }));
        }
    }

    fn remember_agreed(&mut self) {
        let channel = self.channel();
        if let Some(receipts) = channel.receipts() {
            self.evidence.insert(Known(receipts.evidence(self.role)));
        }
        if let Channel::Closing(closing) = &channel
            && let Some(ClosePlan::Receipt(evidence)) = closing.plan
        {
            self.evidence.insert(Known(evidence));
        }
    }
}
