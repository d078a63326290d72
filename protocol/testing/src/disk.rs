//! What a node has of a channel after a crash: the encoded record and the history of payments.

use thunder_protocol::channel::{
    ChannelCommand, Direction, KnownPayment, PaymentStatus, PaymentWrite, PeerInput,
};
use thunder_protocol::codec::CodecError;
use thunder_protocol::wire::Message;
use thunder_protocol::{Channel, Input, Nonce, Payment, PaymentId};

/// A row of the history of payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who paid.
    pub direction: Direction,
    /// The payment.
    pub payment: Payment,
    /// The receipt it went into; `None` if it certainly went into none.
    pub nonce: Option<Nonce>,
    /// When, in milliseconds since 1970.
    pub time: u64,
}

/// The disk's part that one channel has: the bytes that the node's store gets, and the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// The encoded channel.
    pub record: Vec<u8>,
    /// The payments, in the order in which they came.
    pub rows: Vec<Row>,
    /// The same payment was written twice, which the store's unique index refuses.
    pub has_twice: bool,
}

impl Disk {
    /// Writes a channel's state and what has changed in its history.
    pub fn write(&mut self, channel: &Channel, writes: &[PaymentWrite]) {
        self.write_record(channel);
        self.write_rows(writes);
    }

    /// Writes a channel's state alone.
    pub fn write_record(&mut self, channel: &Channel) {
        self.record = channel.encode().expect("every state can be written");
    }

    /// Writes what has changed in the history of payments alone.
    pub fn write_rows(&mut self, writes: &[PaymentWrite]) {
        for write in writes {
            match write {
                PaymentWrite::Insert { direction, payment, nonce, time } => {
                    self.has_twice |= self.find(*direction, &payment.id).is_some();
                    let (direction, payment) = (*direction, payment.clone());
                    self.rows.push(Row { direction, payment, nonce: Some(*nonce), time: *time });
                }
                PaymentWrite::Move { from, to } => self.renumber(*from, Some(*to)),
                PaymentWrite::Fail { nonce } => self.renumber(*nonce, None),
            }
        }
    }

    fn renumber(&mut self, from: Nonce, to: Option<Nonce>) {
        let own = |row: &&mut Row| row.direction == Direction::Out && row.nonce == Some(from);
        self.rows.iter_mut().filter(own).for_each(|row| row.nonce = to);
    }

    /// The row of a payment.
    pub fn find(&self, direction: Direction, id: &PaymentId) -> Option<&Row> {
        self.rows.iter().find(|row| row.direction == direction && row.payment.id == *id)
    }

    /// Reads the channel, as a start does.
    pub fn read(&self) -> Result<Channel, CodecError> {
        Channel::decode(&self.record, |nonce| {
            let own = |row: &&Row| row.direction == Direction::Out && row.nonce == Some(nonce);
            Ok(self.rows.iter().filter(own).map(|row| row.payment.clone()).collect())
        })
    }

    /// The channel that a start finds.
    pub fn load(&self) -> Channel {
        self.read().expect("what was written can be read")
    }

    /// Marks the channel as one that was restored from a backup (rule 9).
    pub fn mark_stale(&mut self) {
        let channel = self.load().mark_stale();
        self.write_record(&channel);
    }

    /// The order of a user's payment, with what the disk knows of its id.
    pub fn order(&self, channel: &Channel, payment: Payment) -> ChannelCommand {
        let known = self.find(Direction::Out, &payment.id).map(|row| KnownPayment {
            payment: row.payment.clone(),
            nonce: row.nonce.filter(|nonce| channel.status_of(*nonce) != PaymentStatus::Failed),
        });
        ChannelCommand::Pay { payment, known }
    }

    /// A message of the partner's, with those of its payments that the disk knows.
    pub fn message(&self, message: Message) -> Input {
        let is_known = |id: &&PaymentId| self.find(Direction::In, id).is_some();
        let repeated =
            payments(&message).iter().map(|payment| &payment.id).filter(is_known).cloned().collect();
        Input::Peer(PeerInput::Message { message, repeated })
    }
}

/// The payments that a message proposes.
pub fn payments(message: &Message) -> &[Payment] {
    match message {
        Message::Propose(propose) => &propose.payments,
        Message::Sync(sync) => sync.proposal.as_ref().map_or(&[], |propose| &propose.payments),
        Message::Answer(_) | Message::Refuse(_) | Message::Final(_) => &[],
    }
}
