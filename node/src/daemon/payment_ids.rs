//! Rule 6 for the own user: an id names one payment of the wallet, over whatever channel it went and whatever
//! became of that channel.

use std::collections::HashMap;

use thunder_protocol::channel::{CommandId, KnownPayment, PaymentStatus};
use thunder_protocol::{Address, PaymentId};

use super::channels::Channels;
use crate::store::{Store, StoreError};

/// The ids of own payments that were ordered and may not be on disk yet, because the queues of the channels are
/// kept in memory only. An id is removed when its command is answered: then the payment is on disk or was not
/// made.
#[derive(Default)]
pub(super) struct PaymentIds {
    /// The channel that the payment with an id was ordered over.
    channels: HashMap<PaymentId, Address>,
    /// The id that a command has ordered first.
    ids: HashMap<CommandId, PaymentId>,
}

/// An own payment that was ordered before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EarlierPayment {
    /// The channel that it was ordered over.
    pub(super) channel: Address,
    /// What the disk knows of it; `None` if it only waits in the channel's queue.
    pub(super) known: Option<KnownPayment>,
}

impl PaymentIds {
    /// A payment with a new id is ordered over this channel.
    pub(super) fn insert(&mut self, id: PaymentId, channel: Address, command: CommandId) {
        self.ids.insert(command, id.clone());
        self.channels.insert(id, channel);
    }

    /// The channel has answered a command.
    pub(super) fn remove(&mut self, command: CommandId) {
        if let Some(id) = self.ids.remove(&command) {
            self.channels.remove(&id);
        }
    }

    /// Returns the payment of this wallet with this id, of those on the chain in use: what was paid, or may be,
    /// before what has failed.
    pub(super) fn find(
        &self,
        id: &PaymentId,
        wallet: &Address,
        channels: &Channels,
        store: &Store,
    ) -> Result<Option<EarlierPayment>, StoreError> {
        // What was ordered before in this batch is read in its transaction.
        store.expect_writes();
        let mut failed = None;
        for stored in store.own_payments(id)? {
            // Channels of other chains are not loaded: their payments are other tokens.
            let Some(slot) = channels.by_id(stored.channel) else { continue };
            let setup = slot.channel.setup();
            if setup.party(setup.role()) != *wallet {
                continue;
            }
            let nonce = stored.nonce.filter(|nonce| slot.channel.status_of(*nonce) != PaymentStatus::Failed);
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
