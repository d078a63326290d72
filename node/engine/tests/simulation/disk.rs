//! A disk in memory. What was committed survives the death of a node; what was not does not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use thunder_engine::{
    ChannelState, KnownPeer, NewChannel, Storage, StorageError, StoredChannel, StoredPayment, Writes,
};
use thunder_protocol::channel::{Direction, PaymentWrite};
use thunder_protocol::codec::CodecError;
use thunder_protocol::{Address, B256, Channel, Nonce, PaymentId};

/// The row of a channel.
#[derive(Debug, Clone)]
struct Row {
    address: Address,
    genesis: B256,
    since: u64,
    created: u64,
    state: Vec<u8>,
    is_over: bool,
}

/// What is on a disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    rows: BTreeMap<i64, Row>,
    last_row: i64,
    payments: Vec<StoredPayment>,
    pub(crate) peers: BTreeMap<String, KnownPeer>,
    pub(crate) head: Option<(B256, u64)>,
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// It says that a commit is there before it is.
    Unsynced,
    /// A commit is not one step: a death in it leaves the channels' states without the payments.
    Torn,
    /// A full disk drops what it should refuse.
    IgnoresRefusal,
}

#[derive(Debug, Default)]
struct Inner {
    content: Content,
    /// What a death takes back, with [`DiskFault::Unsynced`].
    synced: Content,
    is_full: bool,
    fault: Option<DiskFault>,
}

/// A disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Rc<RefCell<Inner>>);

impl Disk {
    pub(crate) fn new(fault: Option<DiskFault>) -> Self {
        Self(Rc::new(RefCell::new(Inner { fault, ..Inner::default() })))
    }

    /// From now on every write is refused, or none.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.borrow_mut().is_full = is_full;
    }

    pub(crate) fn content(&self) -> Content {
        self.0.borrow().content.clone()
    }

    pub(crate) fn replace(&self, content: Content) {
        let mut inner = self.0.borrow_mut();
        inner.synced = content.clone();
        inner.content = content;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.borrow().is_full
    }

    /// The node dies, between commits.
    pub(crate) fn crash(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.fault == Some(DiskFault::Unsynced) {
            inner.content = inner.synced.clone();
        }
    }

    /// The system has written everything.
    pub(crate) fn sync(&self) {
        let mut inner = self.0.borrow_mut();
        inner.synced = inner.content.clone();
    }

    /// Every channel's state replaced, as a restored backup has it (rule 9).
    pub(crate) fn mark_all_lost(&self) {
        let channels: Vec<_> = self.0.borrow().content.rows.keys().copied().collect();
        for row in channels {
            let channel = self.0.borrow().content.channel(row).unwrap().mark_stale();
            let mut inner = self.0.borrow_mut();
            let stored = inner.content.rows.get_mut(&row).unwrap();
            (stored.state, stored.is_over) = (channel.encode().unwrap(), false);
        }
        self.sync();
    }
}

impl Content {
    fn channel(&self, row: i64) -> Result<Channel, CodecError> {
        let payments_of = |nonce: Nonce| {
            let proposed = self.payments.iter().filter(|stored| {
                stored.channel == row && stored.direction == Direction::Out && stored.nonce == Some(nonce)
            });
            Ok(proposed.map(|stored| stored.payment.clone()).collect())
        };
        Channel::decode(&self.rows[&row].state, payments_of)
    }

    /// The payments of a channel, in the order in which they came.
    pub(crate) fn payments(&self, row: i64) -> impl Iterator<Item = &StoredPayment> {
        self.payments.iter().filter(move |stored| stored.channel == row)
    }

    fn write(&mut self, writes: &Writes, only_states: bool) -> Result<(), StorageError> {
        let Writes { opened, payments, states, forgotten, given_up, peers, head } = writes;
        for NewChannel { row, address, genesis, since, created, .. } in opened {
            let new = Row {
                address: *address,
                genesis: *genesis,
                since: *since,
                created: *created,
                state: Vec::new(),
                is_over: false,
            };
            assert!(self.rows.insert(*row, new).is_none(), "a row is used twice");
            self.last_row = self.last_row.max(*row);
        }
        for writes in payments.iter().filter(|_| !only_states) {
            writes.writes.iter().try_for_each(|write| self.write_payment(writes.row, write))?;
        }
        for ChannelState { row, state, is_over } in states {
            let stored = self.rows.get_mut(row).expect("a channel has a row");
            (stored.state, stored.is_over) = (state.clone(), *is_over);
        }
        self.rows.retain(|row, _| !forgotten.contains(row));
        for row in given_up {
            self.rows.get_mut(row).expect("a channel has a row").is_over = true;
        }
        self.peers.extend(peers.iter().map(|peer| (peer.peer_id.clone(), peer.clone())));
        self.head = head.or(self.head);
        Ok(())
    }

    fn write_payment(&mut self, row: i64, write: &PaymentWrite) -> Result<(), StorageError> {
        let mut renumber = |from: Nonce, to: Option<Nonce>| {
            let meant = self.payments.iter_mut().filter(|stored| {
                stored.channel == row && stored.direction == Direction::Out && stored.nonce == Some(from)
            });
            meant.for_each(|stored| stored.nonce = to);
        };
        match write {
            PaymentWrite::Move { from, to } => renumber(*from, Some(*to)),
            PaymentWrite::Fail { nonce } => renumber(*nonce, None),
            PaymentWrite::Insert { direction, payment, nonce, time } => {
                let is_same = |stored: &StoredPayment| {
                    (stored.channel, stored.direction) == (row, *direction) && stored.payment.id == payment.id
                };
                // The database's unique index.
                if self.payments.iter().any(is_same) {
                    return Err(StorageError(format!("payment {} twice", payment.id)));
                }
                self.payments.push(StoredPayment {
                    channel: row,
                    direction: *direction,
                    payment: payment.clone(),
                    nonce: Some(*nonce),
                    time: *time,
                });
            }
        }
        Ok(())
    }
}

/// A commit that the node does not survive.
pub(crate) struct Dying<'a> {
    pub(crate) disk: &'a mut Disk,
    /// Whether the disk has the commit all the same.
    pub(crate) is_written: bool,
}

impl Storage for Disk {
    fn channels(&self, genesis: B256) -> Result<Vec<StoredChannel>, StorageError> {
        let content = &self.0.borrow().content;
        let rows = content.rows.iter().filter(|(_, row)| row.genesis == genesis);
        let read = |(id, row): (&i64, &Row)| {
            let channel = content.channel(*id).map_err(|error| StorageError(error.to_string()))?;
            let Row { genesis, since, created, is_over: over, .. } = row.clone();
            Ok(StoredChannel { id: *id, genesis, channel, since, created, over })
        };
        let stored: Vec<_> = rows.map(read).collect::<Result<_, _>>()?;
        let is_kept =
            |stored: &StoredChannel| !(stored.over && matches!(stored.channel, Channel::Opening(_)));
        Ok(stored.into_iter().filter(is_kept).collect())
    }

    fn next_channel_row(&self) -> Result<i64, StorageError> {
        Ok(self.0.borrow().content.last_row + 1)
    }

    fn knows_address(&self, address: &Address) -> Result<bool, StorageError> {
        Ok(self.0.borrow().content.rows.values().any(|row| row.address == *address))
    }

    fn own_payments(&self, id: &PaymentId) -> Result<Vec<StoredPayment>, StorageError> {
        let inner = self.0.borrow();
        let own = inner.content.payments.iter().filter(|stored| stored.direction == Direction::Out);
        Ok(own.filter(|stored| stored.payment.id == *id).cloned().collect())
    }

    fn knows_payment_of_partner(&self, row: i64, id: &PaymentId) -> Result<bool, StorageError> {
        let is_meant = |stored: &StoredPayment| {
            (stored.channel, stored.direction) == (row, Direction::In) && stored.payment.id == *id
        };
        Ok(self.0.borrow().content.payments.iter().any(is_meant))
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), StorageError> {
        let mut inner = self.0.borrow_mut();
        if writes.is_empty() {
            return Ok(());
        }
        if inner.is_full && inner.fault == Some(DiskFault::IgnoresRefusal) {
            return Ok(());
        }
        if inner.is_full {
            return Err(StorageError("no space left on device".into()));
        }
        let mut content = inner.content.clone();
        content.write(writes, false)?;
        inner.content = content;
        if inner.fault != Some(DiskFault::Unsynced) {
            inner.synced = inner.content.clone();
        }
        Ok(())
    }
}

impl Storage for Dying<'_> {
    fn channels(&self, genesis: B256) -> Result<Vec<StoredChannel>, StorageError> {
        self.disk.channels(genesis)
    }

    fn next_channel_row(&self) -> Result<i64, StorageError> {
        self.disk.next_channel_row()
    }

    fn knows_address(&self, address: &Address) -> Result<bool, StorageError> {
        self.disk.knows_address(address)
    }

    fn own_payments(&self, id: &PaymentId) -> Result<Vec<StoredPayment>, StorageError> {
        self.disk.own_payments(id)
    }

    fn knows_payment_of_partner(&self, row: i64, id: &PaymentId) -> Result<bool, StorageError> {
        self.disk.knows_payment_of_partner(row, id)
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), StorageError> {
        let fault = self.disk.0.borrow().fault;
        if fault == Some(DiskFault::Torn) {
            let mut inner = self.disk.0.borrow_mut();
            inner.content.write(writes, true)?;
            inner.synced = inner.content.clone();
        } else if self.is_written {
            self.disk.commit(writes)?;
        }
        Ok(())
    }
}
