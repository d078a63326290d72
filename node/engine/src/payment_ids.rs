//! Rule 6 for the own user: an id names one payment of the wallet, over whatever channel it went.
//!
//! That holds whatever became of the channel.

use std::collections::{HashMap, HashSet};

use thunder_protocol::channel::{CommandId, Direction, KnownPayment, PaymentStatus, PaymentWrite};
use thunder_protocol::{Address, PaymentId};

use crate::channels::Channels;
use crate::storage::{PaymentWrites, Storage, StorageError, StoredPayment};

/// The ids of own payments that channels were given and that may not be on disk yet, because the channels' queues are in
/// memory only. An id is removed when its command is answered: then the payment is on disk or was not
/// made.
#[derive(Debug, Default)]
pub(crate) struct PaymentIds {
    /// The channel that the payment with an id was ordered over.
    channels: HashMap<PaymentId, Address>,
    /// The id that a command has ordered first.
    ids: HashMap<CommandId, PaymentId>,
}

/// An own payment that a user has made before, under the same id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EarlierPayment {
    /// The channel that it was ordered over.
    pub(crate) channel: Address,
    /// What the disk knows of it; `None` if it only waits in the channel's queue.
    pub(crate) known: Option<KnownPayment>,
}

/// The payments of a batch that is not on disk yet.
#[derive(Debug, Default)]
pub(crate) struct BatchPayments {
    of_partner: HashSet<(i64, PaymentId)>,
    own: HashMap<PaymentId, Vec<StoredPayment>>,
    /// Proposals whose payments went into another or into none.
    renumbered: Vec<(i64, PaymentWrite)>,
}

impl BatchPayments {
    pub(crate) fn record(&mut self, PaymentWrites { row, writes, .. }: &PaymentWrites) {
        for write in writes {
            match write {
                PaymentWrite::Insert { direction: Direction::In, payment, .. } => {
                    self.of_partner.insert((*row, payment.id.clone()));
                }
                PaymentWrite::Insert { direction: Direction::Out, payment, nonce, time } => {
                    let (direction, nonce) = (Direction::Out, Some(*nonce));
                    let stored = StoredPayment {
                        channel: *row,
                        direction,
                        payment: payment.clone(),
                        nonce,
                        time: *time,
                    };
                    self.own.entry(payment.id.clone()).or_default().push(stored);
                }
                PaymentWrite::Move { .. } | PaymentWrite::Fail { .. } => {
                    self.own.values_mut().flatten().for_each(|stored| renumber(stored, *row, write));
                    self.renumbered.push((*row, write.clone()));
                }
            }
        }
    }

    pub(crate) fn has_of_partner(&self, row: i64, id: &PaymentId) -> bool {
        !self.of_partner.is_empty() && self.of_partner.contains(&(row, id.clone()))
    }

    /// The own payments with this id, as the disk will have them after the batch.
    fn own_payments(&self, id: &PaymentId, disk: &dyn Storage) -> Result<Vec<StoredPayment>, StorageError> {
        let mut payments = disk.own_payments(id)?;
        for (row, write) in &self.renumbered {
            payments.iter_mut().for_each(|stored| renumber(stored, *row, write));
        }
        payments.extend(self.own.get(id).into_iter().flatten().cloned());
        Ok(payments)
    }
}

fn renumber(stored: &mut StoredPayment, row: i64, write: &PaymentWrite) {
    let (from, to) = match write {
        PaymentWrite::Move { from, to } => (*from, Some(*to)),
        PaymentWrite::Fail { nonce } => (*nonce, None),
        PaymentWrite::Insert { .. } => return,
    };
    if stored.channel == row && stored.nonce == Some(from) {
        stored.nonce = to;
    }
}

impl PaymentIds {
    /// A payment with a new id is ordered over this channel.
    pub(crate) fn insert(&mut self, id: PaymentId, channel: Address, command: CommandId) {
        self.ids.insert(command, id.clone());
        self.channels.insert(id, channel);
    }

    /// The channel has answered a command.
    pub(crate) fn remove(&mut self, command: CommandId) {
        if let Some(id) = self.ids.remove(&command) {
            self.channels.remove(&id);
        }
    }

    /// Returns the payment of this wallet with this id, of those on the chain in use: what was paid, or may be,
    /// before what has failed.
    pub(crate) fn find(
        &self,
        id: &PaymentId,
        wallet: &Address,
        channels: &Channels,
        batch: &BatchPayments,
        disk: &dyn Storage,
    ) -> Result<Option<EarlierPayment>, StorageError> {
        let mut failed = None;
        for stored in batch.own_payments(id, disk)? {
            // Channels of other chains are not loaded: their payments are other tokens.
            let Some(entry) = channels.by_row(stored.channel) else { continue };
            let setup = entry.channel.setup();
            if setup.party(setup.role()) != *wallet {
                continue;
            }
            let nonce = stored.nonce.filter(|nonce| entry.channel.status_of(*nonce) != PaymentStatus::Failed);
            let known = Some(KnownPayment { payment: stored.payment, nonce });
            let earlier = EarlierPayment { channel: setup.terms().channel, known };
            if nonce.is_some() {
                return Ok(Some(earlier));
            }
            failed = Some(earlier);
        }
        let waiting = || Some(EarlierPayment { channel: *self.channels.get(id)?, known: None });
        Ok(failed.or_else(waiting))
    }
}

#[cfg(test)]
mod tests;
