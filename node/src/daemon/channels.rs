//! The channels that are kept, and how to find the one that somebody means.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use thunder_api::{ApiError, Code, Selector};
use thunder_chain::Stake;
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::OnChain;
use thunder_protocol::{Address, Channel};

use super::Daemon;
use super::answers::refuse;
use super::execute::is_live;
use super::opening::is_awaited;
use super::payment_ids::PaymentIds;
use super::peers::begins_like;
use crate::store::StoreError;

/// How many channels an error names.
const MAX_LISTED: usize = 10;

/// A channel and what belongs to it here.
pub(super) struct Slot {
    /// Its row on disk.
    pub(super) id: i64,
    /// Its state; taken out while an input is applied.
    pub(super) channel: Channel,
    /// Its events are not older than this block.
    pub(super) since: u64,
    /// When it was agreed on.
    pub(super) created: u64,
    /// Whether it can't change any more, as the disk has it.
    pub(super) over: bool,
    /// Why nothing can be done with it any more: a write failed, and the disk is behind.
    pub(super) frozen: Option<String>,
    /// When it wants to be told of the time.
    pub(super) tick: Option<u64>,
    /// At which block it wants to be told.
    pub(super) block_tick: Option<u64>,
    /// How much depends on reading it in time, as the chain task was told; `None` if it is not watched.
    pub(super) stake: Option<Stake>,
    /// Why the chain can't be read as far as this channel goes. Nothing is signed over it meanwhile.
    pub(super) unreadable: Option<String>,
}

/// All channels of the chain in use.
#[derive(Default)]
pub(super) struct Channels {
    slots: HashMap<Address, Slot>,
    /// Oldest first.
    by_age: BTreeMap<i64, Address>,
    by_partner: HashMap<Address, Vec<Address>>,
    /// Those that the other side wanted to open and that are not on the chain.
    awaited: BTreeSet<Address>,
    frozen: bool,
    /// How many belong to a chain with the same block 0 and another id, and are not used here: the
    /// contracts of a fork are not those of the other.
    pub(super) under_another_id: u64,
}

impl Channels {
    pub(super) fn insert(&mut self, slot: Slot) {
        let terms = slot.channel.setup().terms();
        let (address, partner) = (terms.channel, slot.channel.setup().partner());
        self.by_age.insert(slot.id, address);
        self.by_partner.entry(partner).or_default().push(address);
        self.put_back(address, slot);
    }

    pub(super) fn remove(&mut self, address: &Address) {
        let Some(slot) = self.slots.remove(address) else { return };
        self.by_age.remove(&slot.id);
        let partner = slot.channel.setup().partner();
        if let Some(of_partner) = self.by_partner.get_mut(&partner) {
            of_partner.retain(|other| other != address);
            if of_partner.is_empty() {
                self.by_partner.remove(&partner);
            }
        }
        self.awaited.remove(address);
    }

    /// How many channels the other sides wanted to open that are not on the chain.
    pub(super) fn awaited(&self) -> usize {
        self.awaited.len()
    }

    pub(super) fn all_awaited(&self) -> impl Iterator<Item = &Address> {
        self.awaited.iter()
    }

    pub(super) fn get(&self, address: &Address) -> Option<&Slot> {
        self.slots.get(address)
    }

    pub(super) fn get_mut(&mut self, address: &Address) -> Option<&mut Slot> {
        self.slots.get_mut(address)
    }

    /// Takes a channel out, to put it back with [`Self::put_back`].
    pub(super) fn take(&mut self, address: &Address) -> Option<Slot> {
        self.slots.remove(address)
    }

    pub(super) fn put_back(&mut self, address: Address, slot: Slot) {
        if is_awaited(&slot.channel) {
            self.awaited.insert(address);
        } else if !self.awaited.is_empty() {
            self.awaited.remove(&address);
        }
        self.slots.insert(address, slot);
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (&Address, &Slot)> {
        self.by_age.values().rev().filter_map(|address| Some((address, self.slots.get(address)?)))
    }

    pub(super) fn of_partner(&self, partner: &Address) -> &[Address] {
        self.by_partner.get(partner).map_or(&[], Vec::as_slice)
    }

    fn with_partner(&self, partner: &Address) -> Vec<(&Address, &Slot)> {
        let with = self.of_partner(partner).iter();
        with.filter_map(|address| Some((address, self.slots.get(address)?))).collect()
    }

    pub(super) fn by_id(&self, id: i64) -> Option<&Slot> {
        self.by_age.get(&id).and_then(|address| self.slots.get(address))
    }

    pub(super) fn open_count(&self) -> usize {
        let open = |slot: &&Slot| is_live(&slot.channel) && !is_awaited(&slot.channel);
        self.slots.values().filter(open).count()
    }

    /// Whether the disk is behind for any of them.
    pub(super) fn any_frozen(&self) -> bool {
        self.frozen
    }

    /// The disk is behind for this one.
    pub(super) fn freeze(&mut self, address: &Address, why: &str) {
        if let Some(slot) = self.slots.get_mut(address) {
            slot.frozen = Some(why.to_owned());
            self.frozen = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// For what a channel is looked for: it narrows down which one can be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Pay,
    Fund,
    Cancel,
    Close,
    Challenge,
    Withdraw,
    /// Any channel that has receipts.
    Export,
    /// A channel that has lost data.
    Import,
    /// Any channel, closed ones too.
    Look,
}

impl Purpose {
    /// Whether the channel is one that a user would mean.
    pub(super) fn fits(self, channel: &Channel) -> bool {
        match (self, channel) {
            (Self::Look, _) => true,
            (Self::Pay, Channel::Active(_)) => true,
            (Self::Fund | Self::Cancel, Channel::Opening(_)) => true,
            // The chain took back what somebody had paid in.
            (Self::Cancel, other) => matches!(other.view().status, OnChain::Empty { .. }),
            (Self::Close, Channel::Active(_) | Channel::CooperativeClosing(_) | Channel::DataLoss(_)) => true,
            (Self::Close, Channel::Closing(closing)) => closing.seen().is_none(),
            (Self::Challenge | Self::Withdraw, Channel::Closing(_)) => true,
            (Self::Import, Channel::DataLoss(_)) => true,
            (Self::Import, Channel::Closing(closing)) => closing.common.may_be_stale,
            (Self::Export, other) => is_live(other) && other.receipts().is_some(),
            _ => false,
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Pay => "pay over",
            Self::Fund => "pay into",
            Self::Cancel => "cancel",
            Self::Close => "close",
            Self::Challenge => "challenge",
            Self::Withdraw => "withdraw from",
            Self::Export => "export receipts of",
            Self::Import => "take a receipt into",
            Self::Look => "look at",
        }
    }

    const fn what_to_do(self) -> &'static str {
        match self {
            Self::Pay | Self::Close => "open one with openchannel, or see infos for what state it is in",
            Self::Fund => "the other side opens a channel with --deposit first; see infos",
            Self::Cancel => "only a channel that never became ACTIVE can be cancelled; see infos",
            Self::Challenge => "only a channel that the other side is closing can be challenged; see infos",
            Self::Withdraw => "close one with closechannel first; see infos",
            Self::Import => {
                "only a channel that has lost data takes receipts: restore the backup that has it; see infos"
            }
            Self::Export | Self::Look => "open one with openchannel",
        }
    }
}

/// The channel that is not closed, if there is one only.
fn the_only_live(all: &[(&Address, &Slot)]) -> Option<Address> {
    let mut live = all.iter().filter(|(_, slot)| is_live(&slot.channel));
    let (only, _) = live.next()?;
    live.next().is_none().then_some(**only)
}

fn listed<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> String {
    let mut addresses = addresses.into_iter();
    let mut list: Vec<_> = addresses.by_ref().take(MAX_LISTED).map(ToString::to_string).collect();
    list.extend(addresses.next().map(|_| "...".to_owned()));
    list.join(", ")
}

fn distinct_partners<'a>(channels: impl Iterator<Item = &'a (&'a Address, &'a Slot)>) -> BTreeSet<Address> {
    channels.map(|(_, slot)| slot.channel.setup().partner()).collect()
}

/// The error for a command that fits only channels with nodes that the user has not asked for.
fn only_with_strangers(purpose: Purpose, others: &[Address]) -> ApiError {
    let message = format!("there is no channel to {} with a node that you asked for", purpose.verb());
    let hint = match others {
        [only] => format!("with another node there is one; if you mean it: --channel {only}"),
        several => format!("with other nodes there are; name one with --channel: {}", listed(several)),
    };
    ApiError::new(Code::NoChannel, message, hint)
}

impl Daemon {
    /// Loads the channels of the chain in use from disk.
    pub(super) fn load_channels(&mut self) -> Result<(), StoreError> {
        self.channels.clear();
        let gone = ApiError::new(
            Code::ChainUnreachable,
            "the chain is another one now",
            "infos shows what became of it when the chain is back",
        );
        for (_, caller) in self.callers.drain().collect::<Vec<_>>() {
            refuse(caller, gone.clone());
        }
        self.payment_ids = PaymentIds::default();
        self.ticks.clear();
        self.block_ticks.clear();
        let Some(identity) = self.chain.identity else { return Ok(()) };
        for stored in self.store.channels(identity.genesis)? {
            if stored.channel.setup().terms().chain_id != identity.chain_id {
                self.channels.under_another_id += u64::from(is_live(&stored.channel));
                continue;
            }
            self.channels.insert(Slot {
                id: stored.id,
                channel: stored.channel,
                since: stored.since,
                created: stored.created,
                over: stored.over,
                frozen: None,
                tick: None,
                block_tick: None,
                stake: None,
                unreadable: None,
            });
        }
        Ok(())
    }

    /// The channel that somebody means.
    pub(super) fn find_channel(&self, selector: &Selector, purpose: Purpose) -> Result<Address, ApiError> {
        let named = |(address, slot): &(&Address, &Slot)| self.is_meant(selector, address, slot);
        // Whoever names a channel in full is not to wait for a search through all of them.
        if let Some(Ok(address)) = selector.channel.as_ref().map(|name| name.parse::<Address>())
            && let Some(slot) = self.channels.get(&address)
            && named(&(&address, slot))
        {
            return Ok(address);
        }
        let mut all: Vec<_> = match selector.peer.as_ref().map(|name| name.parse::<Address>()) {
            // Nor is whoever names a wallet in full.
            Some(Ok(partner)) => {
                let mut with = self.channels.with_partner(&partner);
                with.sort_by_key(|(_, slot)| std::cmp::Reverse(slot.id));
                with.into_iter().filter(named).collect()
            }
            _ => self.channels.newest_first().filter(named).collect(),
        };
        self.require_one_peer(selector, &all)?;
        let others = self.remove_strangers(selector, &mut all);
        let fits = |(_, slot): &&(&Address, &Slot)| purpose.fits(&slot.channel);
        let fitting: Vec<_> = all.iter().filter(fits).collect();
        let elsewhere: Vec<_> = others.iter().filter(fits).map(|(address, _)| **address).collect();
        match (fitting.as_slice(), all.as_slice()) {
            ([(only, _)], _) => Ok(**only),
            ([], _) if !elsewhere.is_empty() => Err(only_with_strangers(purpose, &elsewhere)),
            // Nothing fits, but there is one that can only be meant: it says best what is wrong.
            ([], [(only, _)]) => Ok(**only),
            ([], _) if let Some(only) = the_only_live(&all) => Ok(only),
            ([], _) => Err(self.nothing_fits(selector, purpose, &all)),
            (several, _) => {
                let list = listed(several.iter().map(|(address, _)| *address));
                let message = format!("there are {} channels to {}: {list}", several.len(), purpose.verb());
                let partners = distinct_partners(several.iter().copied());
                let by_peer = selector.peer.is_none() && partners.len() == several.len();
                let or_peer = if by_peer { ", or its other side with --peer" } else { "" };
                let hint = format!("name one with --channel (its address or the beginning of it){or_peer}");
                Err(ApiError::new(Code::AmbiguousChannel, message, hint))
            }
        }
    }

    /// All channels that the selector names, newest first.
    pub(super) fn find_all(&self, selector: &Selector) -> Vec<(&Address, &Slot)> {
        let meant = |(address, slot): &(&Address, &Slot)| self.is_meant(selector, address, slot);
        let mut all: Vec<_> = self.channels.newest_first().filter(meant).collect();
        self.remove_strangers(selector, &mut all);
        all
    }

    /// Removes the channels with nodes that the user has not asked for, if the selector names nothing and there
    /// are nodes that were asked for: anybody can open a channel. Returns the removed ones.
    fn remove_strangers<'a>(
        &self,
        selector: &Selector,
        all: &mut Vec<(&'a Address, &'a Slot)>,
    ) -> Vec<(&'a Address, &'a Slot)> {
        let names_nothing = selector.channel.is_none() && selector.peer.is_none();
        let Some(requested) = self.peers.requested_wallets().filter(|_| names_nothing) else {
            return Vec::new();
        };
        let is_requested = |slot: &Slot| requested.contains(&slot.channel.setup().partner());
        let (requested, others) = std::mem::take(all).into_iter().partition(|(_, slot)| is_requested(slot));
        *all = requested;
        others
    }

    /// Refuses a beginning of a peer id or a wallet that fits several partners, also if only one of them has a
    /// channel that fits the command.
    fn require_one_peer(&self, selector: &Selector, all: &[(&Address, &Slot)]) -> Result<(), ApiError> {
        let Some(name) = &selector.peer else { return Ok(()) };
        let partners = distinct_partners(all.iter());
        if partners.len() <= 1 {
            return Ok(());
        }
        let message = format!("{} nodes are called {name}: {}", partners.len(), listed(&partners));
        Err(ApiError::new(Code::AmbiguousPeer, message, "give more of the peer id or the wallet"))
    }

    fn nothing_fits(&self, selector: &Selector, purpose: Purpose, all: &[(&Address, &Slot)]) -> ApiError {
        let named = selector.channel.as_ref().or(selector.peer.as_ref());
        let message = match (named, all) {
            (Some(name), []) => format!("there is no channel {name:?}"),
            _ => format!("there is no channel to {}", purpose.verb()),
        };
        ApiError::new(Code::NoChannel, message, purpose.what_to_do())
    }

    pub(super) fn is_meant(&self, selector: &Selector, address: &Address, slot: &Slot) -> bool {
        let Selector { channel, peer } = selector;
        if channel.is_none() && is_awaited(&slot.channel) {
            return false;
        }
        let by_channel = channel.as_ref().is_none_or(|name| begins_like(address, name));
        let partner = slot.channel.setup().partner();
        let by_peer = peer.as_ref().is_none_or(|name| self.peers.is_called(&partner, name));
        by_channel && by_peer
    }

    /// The terms of a channel that is kept.
    pub(super) fn terms(&self, channel: &Address) -> Option<&Terms> {
        self.channels.get(channel).map(|slot| slot.channel.setup().terms())
    }
}
