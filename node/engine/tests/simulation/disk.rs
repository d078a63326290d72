//! A disk in memory. What was committed survives the death of a node; what was not does not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use thunder_engine::{
    ChannelWrite, KnownPeer, NewChannel, PaymentWrites, Storage, StorageError, StoredChannel, StoredPayment,
    Writes,
};
use thunder_protocol::channel::Direction;
use thunder_protocol::{Address, B256, Channel, Nonce, PaymentId};
use thunder_testing::disk;

/// The row of a channel.
#[derive(Debug, Clone)]
struct Row {
    address: Address,
    genesis: B256,
    first_block: u64,
    created: u64,
    /// Its state and its payments.
    disk: disk::Disk,
    /// The payments that are settled, in the order of their events, and whether they are made.
    events: Vec<(Direction, PaymentId, bool)>,
    is_over: bool,
}

impl Row {
    /// Takes in what changes with one input, as the store does it.
    fn write(&mut self, PaymentWrites { writes, settled, .. }: &PaymentWrites) {
        if let Some(own) = settled.own {
            let ids = self.ids(Direction::Out, own.nonce);
            assert_eq!(ids.len() as u64, own.count, "the event of a proposal has its payments");
            self.events.extend(ids.into_iter().map(|id| (Direction::Out, id, own.is_paid)));
        }
        self.disk.write_rows(writes);
        if let Some(nonce) = settled.partner {
            self.events
                .extend(self.ids(Direction::In, nonce).into_iter().map(|id| (Direction::In, id, true)));
        }
    }

    fn ids(&self, direction: Direction, nonce: Nonce) -> Vec<PaymentId> {
        let rows = self.disk.rows.iter();
        let of_receipt = rows.filter(|row| row.direction == direction && row.nonce == Some(nonce));
        of_receipt.map(|row| row.payment.id.clone()).collect()
    }
}

/// What is on a disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    rows: BTreeMap<i64, Row>,
    last_row: i64,
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
    /// The node does not survive the next commit: whether the disk has it all the same.
    last_commit: Option<bool>,
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

    /// The node will not survive the next commit, which is written or not.
    pub(crate) fn die_in_commit(&self, is_written: bool) {
        self.0.borrow_mut().last_commit = Some(is_written);
    }

    /// The node dies.
    pub(crate) fn crash(&self) {
        let mut inner = self.0.borrow_mut();
        inner.last_commit = None;
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
        for row in self.0.borrow_mut().content.rows.values_mut() {
            row.disk.mark_stale();
            row.is_over = false;
        }
        self.sync();
    }
}

impl Content {
    /// The payments of a channel, in the order in which they came.
    pub(crate) fn payments(&self, row: i64) -> impl Iterator<Item = StoredPayment> {
        let rows = self.rows.get(&row).into_iter().flat_map(|stored| &stored.disk.rows);
        rows.map(move |payment| {
            let disk::Row { direction, payment, nonce, time } = payment.clone();
            StoredPayment { channel: row, direction, payment, nonce, time }
        })
    }

    /// The payments of a channel that are settled, in the order of their events, and whether they are made.
    pub(crate) fn events(&self, row: i64) -> &[(Direction, PaymentId, bool)] {
        self.rows.get(&row).map_or(&[], |stored| &stored.events)
    }

    fn write(&mut self, writes: &Writes, only_states: bool) -> Result<(), StorageError> {
        let Writes { opened, payments, states, forgotten, given_up, peers, head, events: _ } = writes;
        for NewChannel { row, address, genesis, first_block, created, .. } in opened {
            let new = Row {
                address: *address,
                genesis: *genesis,
                first_block: *first_block,
                created: *created,
                disk: disk::Disk::default(),
                events: Vec::new(),
                is_over: false,
            };
            assert!(self.rows.insert(*row, new).is_none(), "a row is used twice");
            self.last_row = self.last_row.max(*row);
        }
        for writes in payments.iter().filter(|_| !only_states) {
            let row = self.rows.get_mut(&writes.row).expect("a channel has a row");
            row.write(writes);
            // The database's unique index.
            if row.disk.has_twice {
                return Err(StorageError("a payment twice".into()));
            }
        }
        for ChannelWrite { row, state, is_over } in states {
            let stored = self.rows.get_mut(row).expect("a channel has a row");
            (stored.disk.record, stored.is_over) = (state.clone(), *is_over);
        }
        self.rows.retain(|row, _| !forgotten.contains(row));
        for row in given_up {
            self.rows.get_mut(row).expect("a channel has a row").is_over = true;
        }
        self.peers.extend(peers.iter().map(|peer| (peer.peer_id.clone(), peer.clone())));
        self.head = head.or(self.head);
        Ok(())
    }
}

impl Storage for Disk {
    fn channels(&self, genesis: B256) -> Result<Vec<StoredChannel>, StorageError> {
        let content = &self.0.borrow().content;
        let rows = content.rows.iter().filter(|(_, row)| row.genesis == genesis);
        let read = |(id, row): (&i64, &Row)| {
            let channel = row.disk.read().map_err(|error| StorageError(error.to_string()))?;
            let Row { genesis, first_block, created, is_over, .. } = *row;
            Ok(StoredChannel { id: *id, genesis, channel, first_block, created, is_over })
        };
        let stored: Vec<_> = rows.map(read).collect::<Result<_, _>>()?;
        let is_kept =
            |stored: &StoredChannel| !(stored.is_over && matches!(stored.channel, Channel::Opening(_)));
        Ok(stored.into_iter().filter(is_kept).collect())
    }

    fn next_channel_row(&self) -> Result<i64, StorageError> {
        Ok(self.0.borrow().content.last_row + 1)
    }

    fn knows_address(&self, address: &Address) -> Result<bool, StorageError> {
        Ok(self.0.borrow().content.rows.values().any(|row| row.address == *address))
    }

    fn own_payments(&self, id: &PaymentId) -> Result<Vec<StoredPayment>, StorageError> {
        let content = &self.0.borrow().content;
        let all = content.rows.keys().flat_map(|row| content.payments(*row));
        Ok(all.filter(|stored| stored.direction == Direction::Out && stored.payment.id == *id).collect())
    }

    fn knows_payment_of_partner(&self, row: i64, id: &PaymentId) -> Result<bool, StorageError> {
        let rows = &self.0.borrow().content.rows;
        Ok(rows.get(&row).is_some_and(|stored| stored.disk.find(Direction::In, id).is_some()))
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
        let is_torn = inner.last_commit.is_some() && inner.fault == Some(DiskFault::Torn);
        if inner.last_commit == Some(false) && !is_torn {
            return Ok(());
        }
        let mut content = inner.content.clone();
        content.write(writes, is_torn)?;
        inner.content = content;
        if inner.fault != Some(DiskFault::Unsynced) {
            inner.synced = inner.content.clone();
        }
        Ok(())
    }
}
