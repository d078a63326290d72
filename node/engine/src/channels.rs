//! `Channels`: the channels of the chain in use, found by address, partner or row, with the ticks that they want.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use thunder_protocol::channel::{Context, Effects, Millis, Terms};
use thunder_protocol::onchain::OnChain;
use thunder_protocol::{Address, Channel, Input, Role, Stake, Transition};

use crate::settlement::Unsettled;
use crate::storage::StoredChannel;

/// A channel and what the node keeps beside its state.
#[derive(Debug)]
pub struct ChannelEntry {
    /// Its row on disk.
    pub row: i64,
    /// Its state.
    pub channel: Channel,
    /// Its events are not older than this block.
    pub first_block: u64,
    /// When it was agreed on, in milliseconds since 1970.
    pub created: Millis,
    /// Whether it can't change any more, as the disk has it.
    pub is_over: bool,
    /// Why the channel is frozen: a write has failed, and the disk has an older state.
    pub frozen: Option<String>,
    /// Why the channel can't be read from the chain. Nothing is signed over it meanwhile.
    pub unreadable: Option<String>,
    /// Its payments on disk that are not settled.
    pub(crate) unsettled: Unsettled,
    /// How much depends on reading it in time, as the chain task was told; `None` if it is not watched.
    pub(crate) stake: Option<Stake>,
    /// When it wants an [`Input::Tick`].
    tick: Option<Millis>,
    /// At which block it wants a [`thunder_protocol::channel::ChainInput::Block`].
    block_tick: Option<u64>,
}

impl ChannelEntry {
    pub(crate) fn new(row: i64, channel: Channel, first_block: u64, created: Millis) -> Self {
        Self {
            unsettled: Unsettled::of(&channel),
            row,
            channel,
            first_block,
            created,
            is_over: false,
            frozen: None,
            unreadable: None,
            stake: None,
            tick: None,
            block_tick: None,
        }
    }

    /// The terms of the channel.
    pub fn terms(&self) -> &Terms {
        self.channel.setup().terms()
    }
}

impl From<StoredChannel> for ChannelEntry {
    fn from(stored: StoredChannel) -> Self {
        let StoredChannel { id, genesis: _, channel, first_block, created, is_over } = stored;
        let entry = Self { is_over, ..Self::new(id, channel, first_block, created) };
        // What was over when it was written was settled with it.
        if is_over { Self { unsettled: Unsettled::default(), ..entry } } else { entry }
    }
}

/// All channels of the chain in use.
#[derive(Debug, Default)]
pub struct Channels {
    entries: HashMap<Address, ChannelEntry>,
    /// Oldest first.
    by_row: BTreeMap<i64, Address>,
    by_partner: HashMap<Address, Vec<Address>>,
    /// Channels that the partner wanted to open and that are not on the chain.
    inbound_pending: BTreeSet<Address>,
    ticks: BTreeSet<(Millis, Address)>,
    block_ticks: BTreeSet<(u64, Address)>,
    has_frozen: bool,
    /// Open channels of a chain with the same block 0 and another id, which are not used here: the contracts of
    /// a fork are not those of the other.
    under_another_id: u64,
}

impl Channels {
    /// The channels that the disk has for a chain.
    pub(crate) fn load(stored: Vec<StoredChannel>, chain_id: u64) -> Self {
        let mut channels = Self::default();
        for stored in stored {
            if stored.channel.setup().terms().chain_id == chain_id {
                channels.insert(stored.into());
            } else {
                channels.under_another_id += u64::from(is_live(&stored.channel));
            }
        }
        channels
    }

    pub(crate) fn insert(&mut self, entry: ChannelEntry) {
        let (address, partner) = (entry.terms().channel, entry.channel.setup().partner());
        self.by_row.insert(entry.row, address);
        self.by_partner.entry(partner).or_default().push(address);
        self.put(address, entry);
    }

    pub(crate) fn remove(&mut self, address: &Address) {
        let Some(entry) = self.entries.remove(address) else { return };
        self.by_row.remove(&entry.row);
        let partner = entry.channel.setup().partner();
        if let Some(of_partner) = self.by_partner.get_mut(&partner) {
            of_partner.retain(|other| other != address);
            if of_partner.is_empty() {
                self.by_partner.remove(&partner);
            }
        }
        self.inbound_pending.remove(address);
        entry.tick.map(|due| self.ticks.remove(&(due, *address)));
        entry.block_tick.map(|due| self.block_ticks.remove(&(due, *address)));
    }

    /// Applies an input to a channel's state, and notes when the channel wants the next tick and block.
    pub(crate) fn apply(&mut self, address: Address, input: Input, context: &Context<'_>) -> Option<Effects> {
        let mut entry = self.entries.remove(&address)?;
        let Transition { channel, effects } = entry.channel.apply(input, context);
        let (tick, block_tick) = (channel.next_tick(), channel.next_block(context));
        entry.channel = channel;
        if entry.tick != tick {
            entry.tick.map(|due| self.ticks.remove(&(due, address)));
            tick.map(|due| self.ticks.insert((due, address)));
            entry.tick = tick;
        }
        if entry.block_tick != block_tick {
            entry.block_tick.map(|due| self.block_ticks.remove(&(due, address)));
            block_tick.map(|due| self.block_ticks.insert((due, address)));
            entry.block_tick = block_tick;
        }
        self.put(address, entry);
        Some(effects)
    }

    fn put(&mut self, address: Address, entry: ChannelEntry) {
        if is_inbound_pending(&entry.channel) {
            self.inbound_pending.insert(address);
        } else if !self.inbound_pending.is_empty() {
            self.inbound_pending.remove(&address);
        }
        self.entries.insert(address, entry);
    }

    /// When the next channel wants a tick.
    pub(crate) fn next_tick(&self) -> Option<Millis> {
        self.ticks.first().map(|(due, _)| *due)
    }

    /// Takes out the next channel whose tick is due.
    pub(crate) fn take_due_tick(&mut self, now: Millis) -> Option<Address> {
        let (due, address) = *self.ticks.first().filter(|(due, _)| *due <= now)?;
        self.ticks.remove(&(due, address));
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.tick = None;
        }
        Some(address)
    }

    /// Takes out all channels that wait for a block below `first`, at once: a channel that then waits for another block is
    /// not among them.
    pub(crate) fn take_block_ticks(&mut self, first: u64) -> Vec<Address> {
        let later = self.block_ticks.split_off(&(first, Address::ZERO));
        let due = std::mem::replace(&mut self.block_ticks, later);
        let due: Vec<_> = due.into_iter().map(|(_, address)| address).collect();
        for address in &due {
            if let Some(entry) = self.entries.get_mut(address) {
                entry.block_tick = None;
            }
        }
        due
    }

    /// How many channels partners wanted to open that are not on the chain.
    pub(crate) fn inbound_pending_count(&self) -> usize {
        self.inbound_pending.len()
    }

    /// The channels that partners wanted to open and that are not on the chain.
    pub(crate) fn inbound_pending(&self) -> impl Iterator<Item = (&Address, &ChannelEntry)> {
        self.inbound_pending.iter().filter_map(|address| Some((address, self.entries.get(address)?)))
    }

    /// A channel.
    pub fn get(&self, address: &Address) -> Option<&ChannelEntry> {
        self.entries.get(address)
    }

    /// A channel with the address that it is kept under.
    pub(crate) fn find(&self, address: &Address) -> Option<(&Address, &ChannelEntry)> {
        self.entries.get_key_value(address)
    }

    pub(crate) fn get_mut(&mut self, address: &Address) -> Option<&mut ChannelEntry> {
        self.entries.get_mut(address)
    }

    /// All channels, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = (&Address, &ChannelEntry)> {
        self.by_row.values().rev().filter_map(|address| Some((address, self.entries.get(address)?)))
    }

    /// The channels with a partner, oldest first.
    pub fn of_partner(&self, partner: &Address) -> &[Address] {
        self.by_partner.get(partner).map_or(&[], Vec::as_slice)
    }

    /// The channels with a partner, newest first.
    pub(crate) fn with_partner(&self, partner: &Address) -> Vec<(&Address, &ChannelEntry)> {
        let with = self.of_partner(partner).iter();
        let mut with: Vec<_> =
            with.filter_map(|address| Some((address, self.entries.get(address)?))).collect();
        with.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.row));
        with
    }

    /// The channel in a row of the disk.
    pub fn by_row(&self, row: i64) -> Option<&ChannelEntry> {
        self.by_row.get(&row).and_then(|address| self.entries.get(address))
    }

    /// How many channels count as open: those that are not closed, without those that a partner wanted to open and
    /// that are not on the chain.
    pub fn open_count(&self) -> usize {
        self.entries.values().filter(|entry| is_open(&entry.channel)).count()
    }

    /// Whether there is an open channel with a partner.
    pub(crate) fn has_open_with(&self, partner: &Address) -> bool {
        let of_partner = self.of_partner(partner).iter();
        of_partner.filter_map(|address| self.entries.get(address)).any(|entry| is_open(&entry.channel))
    }

    /// How many open channels of this chain's block 0 are under another chain id, and not used.
    pub const fn under_another_id(&self) -> u64 {
        self.under_another_id
    }

    /// Whether the disk is behind for any channel.
    pub const fn any_frozen(&self) -> bool {
        self.has_frozen
    }

    /// Notes that the disk is behind for a channel.
    pub(crate) fn freeze(&mut self, address: &Address, why: &str) {
        if let Some(entry) = self.entries.get_mut(address) {
            entry.frozen = Some(why.to_owned());
            self.has_frozen = true;
        }
    }

    /// Whether there is no channel.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Whether a channel is not paid out yet.
pub const fn is_live(channel: &Channel) -> bool {
    !matches!(channel, Channel::Closed(_))
}

/// Whether the partner wanted to open this channel and the chain does not show it. Such a channel does not count as
/// open, and a command means it only by its address.
pub fn is_inbound_pending(channel: &Channel) -> bool {
    matches!(channel, Channel::Opening(state)
        if state.common.view.status == OnChain::Missing && state.common.setup.role() == Role::B)
}

/// Whether the channel counts as open.
fn is_open(channel: &Channel) -> bool {
    is_live(channel) && !is_inbound_pending(channel)
}
