//! Which channel or which peer a user means.

use std::collections::BTreeSet;

use thunder_api::{ApiError, ApiResult, Code, Selector};
use thunder_protocol::onchain::OnChain;
use thunder_protocol::{Address, Channel};

use crate::channels::{ChannelEntry, is_inbound_pending, is_live};
use crate::engine::Engine;

/// How many channels an error names.
const MAX_LISTED: usize = 10;

/// What a channel is selected for: it narrows down which one can be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `pay`.
    Pay,
    /// `fund`.
    Fund,
    /// `cancel`.
    Cancel,
    /// `closechannel`.
    Close,
    /// `challenge`.
    Challenge,
    /// `withdraw`.
    Withdraw,
    /// `receipts`: any channel that has some.
    Export,
    /// `receipts --import`: a channel that has lost data.
    ImportReceipt,
    /// Any channel, closed ones too.
    Look,
}

impl Purpose {
    /// Whether the channel is one that a user would mean.
    pub(crate) fn fits(self, channel: &Channel) -> bool {
        match self {
            Self::Pay => matches!(channel, Channel::Active(_)),
            Self::Fund => matches!(channel, Channel::Opening(_)),
            Self::Cancel => match channel {
                Channel::Opening(_) => true,
                // The chain took back what somebody had paid in.
                other => matches!(other.view().status, OnChain::Empty { .. }),
            },
            Self::Close => match channel {
                Channel::Active(_) | Channel::CooperativeClosing(_) | Channel::DataLoss(_) => true,
                Channel::Closing(closing) => closing.seen().is_none(),
                Channel::Opening(_) | Channel::Closed(_) => false,
            },
            Self::Challenge | Self::Withdraw => matches!(channel, Channel::Closing(_)),
            Self::Export => is_live(channel) && channel.receipts().is_some(),
            Self::ImportReceipt => match channel {
                Channel::DataLoss(_) => true,
                Channel::Closing(closing) => closing.common.may_be_stale,
                Channel::Opening(_)
                | Channel::Active(_)
                | Channel::CooperativeClosing(_)
                | Channel::Closed(_) => false,
            },
            Self::Look => true,
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
            Self::ImportReceipt => "take a receipt into",
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
            Self::ImportReceipt => {
                "only a channel that has lost data takes receipts: restore the backup that has it; see infos"
            }
            Self::Export | Self::Look => "open one with openchannel",
        }
    }
}

type Found<'a> = (&'a Address, &'a ChannelEntry);

/// The channel that is not closed, if there is only one.
fn the_only_live(all: &[Found<'_>]) -> Option<Address> {
    let mut live = all.iter().filter(|(_, entry)| is_live(&entry.channel));
    let (only, _) = live.next()?;
    live.next().is_none().then_some(**only)
}

fn listed<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> String {
    let mut addresses = addresses.into_iter();
    let mut list: Vec<_> = addresses.by_ref().take(MAX_LISTED).map(ToString::to_string).collect();
    list.extend(addresses.next().map(|_| "...".to_owned()));
    list.join(", ")
}

fn distinct_partners<'a>(channels: impl Iterator<Item = &'a Found<'a>>) -> BTreeSet<Address> {
    channels.map(|(_, entry)| entry.channel.setup().partner()).collect()
}

/// The error for a command that fits only channels with peers that the user has not asked for.
fn only_with_strangers(purpose: Purpose, others: &[Address]) -> ApiError {
    let message = format!("there is no channel to {} with a node that you asked for", purpose.verb());
    let hint = match others {
        [only] => format!("with another node there is one; if you mean it: --channel {only}"),
        several => format!("with other nodes there are; name one with --channel: {}", listed(several)),
    };
    ApiError::new(Code::NoChannel, message, hint)
}

fn nothing_fits(selector: &Selector, purpose: Purpose, all: &[Found<'_>]) -> ApiError {
    let named = selector.channel.as_ref().or(selector.peer.as_ref());
    let message = match (named, all) {
        (Some(name), []) => format!("there is no channel {name:?}"),
        _ => format!("there is no channel to {}", purpose.verb()),
    };
    ApiError::new(Code::NoChannel, message, purpose.what_to_do())
}

fn ambiguous(selector: &Selector, purpose: Purpose, several: &[&Found<'_>]) -> ApiError {
    let list = listed(several.iter().map(|(address, _)| *address));
    let message = format!("there are {} channels to {}: {list}", several.len(), purpose.verb());
    let partners: BTreeSet<_> = several.iter().map(|(_, entry)| entry.channel.setup().partner()).collect();
    let by_peer = selector.peer.is_none() && partners.len() == several.len();
    let or_peer = if by_peer { ", or its other side with --peer" } else { "" };
    let hint = format!("name one with --channel (its address or the beginning of it){or_peer}");
    ApiError::new(Code::AmbiguousChannel, message, hint)
}

/// Refuses a beginning of a peer id or a wallet that fits several partners, also if only one of them has a
/// channel that fits the command.
fn require_one_peer(selector: &Selector, all: &[Found<'_>]) -> ApiResult<()> {
    let Some(name) = &selector.peer else { return Ok(()) };
    let partners = distinct_partners(all.iter());
    if partners.len() <= 1 {
        return Ok(());
    }
    let message = format!("{} nodes are called {name}: {}", partners.len(), listed(&partners));
    Err(ApiError::new(Code::AmbiguousPeer, message, "give more of the peer id or the wallet"))
}

impl Engine {
    /// The channel that a user means.
    pub fn find_channel(&self, selector: &Selector, purpose: Purpose) -> ApiResult<Address> {
        let named = |(address, entry): &Found<'_>| self.is_meant(selector, address, entry);
        // A user who names a channel in full does not wait for a search through all of them.
        if let Some(Ok(address)) = selector.channel.as_ref().map(|name| name.parse::<Address>())
            && let Some(entry) = self.channels.get(&address)
            && named(&(&address, entry))
        {
            return Ok(address);
        }
        let mut all: Vec<_> = match selector.peer.as_ref().map(|name| name.parse::<Address>()) {
            // Nor does a user who names a wallet in full.
            Some(Ok(partner)) => self.channels.with_partner(&partner).into_iter().filter(named).collect(),
            _ => self.channels.newest_first().filter(named).collect(),
        };
        require_one_peer(selector, &all)?;
        let strangers = self.remove_strangers(selector, &mut all);
        let fits = |(_, entry): &&Found<'_>| purpose.fits(&entry.channel);
        let fitting: Vec<_> = all.iter().filter(fits).collect();
        let elsewhere: Vec<_> = strangers.iter().filter(fits).map(|(address, _)| **address).collect();
        match (fitting.as_slice(), all.as_slice()) {
            ([(only, _)], _) => Ok(**only),
            ([], _) if !elsewhere.is_empty() => Err(only_with_strangers(purpose, &elsewhere)),
            // No channel fits, but only one can be meant: its state says best what is wrong.
            ([], [(only, _)]) => Ok(**only),
            ([], _) if let Some(only) = the_only_live(&all) => Ok(only),
            ([], _) => Err(nothing_fits(selector, purpose, &all)),
            (several, _) => Err(ambiguous(selector, purpose, several)),
        }
    }

    /// All channels that the selector names, newest first.
    pub fn find_all(&self, selector: &Selector) -> Vec<(&Address, &ChannelEntry)> {
        let meant = |(address, entry): &Found<'_>| self.is_meant(selector, address, entry);
        let mut all: Vec<_> = self.channels.newest_first().filter(meant).collect();
        self.remove_strangers(selector, &mut all);
        all
    }

    /// Removes the channels with peers that the user has not asked for, if the selector names nothing and there
    /// are peers that were asked for: anybody can open a channel. Returns the removed ones.
    fn remove_strangers<'a>(&self, selector: &Selector, all: &mut Vec<Found<'a>>) -> Vec<Found<'a>> {
        let names_nothing = selector.channel.is_none() && selector.peer.is_none();
        let Some(requested) = self.peers.requested_wallets().filter(|_| names_nothing) else {
            return Vec::new();
        };
        let is_requested = |entry: &ChannelEntry| requested.contains(&entry.channel.setup().partner());
        let (requested, others) = std::mem::take(all).into_iter().partition(|(_, entry)| is_requested(entry));
        *all = requested;
        others
    }

    pub(crate) fn is_meant(&self, selector: &Selector, address: &Address, entry: &ChannelEntry) -> bool {
        let Selector { channel, peer } = selector;
        if channel.is_none() && is_inbound_pending(&entry.channel) {
            return false;
        }
        let by_channel = channel.as_ref().is_none_or(|name| begins_like(address, name));
        let partner = entry.channel.setup().partner();
        let by_peer = peer.as_ref().is_none_or(|name| self.peers.is_called(&partner, name));
        by_channel && by_peer
    }

    /// The wallet of the connected peer that a user means.
    pub fn find_partner(&self, name: Option<&str>) -> ApiResult<Address> {
        let connected =
            self.peers.all().into_iter().filter_map(|peer| Some((peer.wallet?.0, peer.requested)));
        let connected: Vec<_> = connected.collect();
        let wallets = self.peers.requested_wallets();
        let is_meant = |(wallet, is_requested): &&(Address, bool)| match (name, &wallets) {
            (Some(name), _) => self.peers.is_called(wallet, name),
            // Anybody can connect.
            (None, Some(requested)) => *is_requested || requested.contains(wallet),
            (None, None) => true,
        };
        let found: Vec<_> = connected.iter().filter(is_meant).map(|(wallet, _)| *wallet).collect();
        let connect = "connect to one first: thunder-cli connect <ip:port>";
        let absent = |message: String, hint| Err(ApiError::new(Code::PeerNotConnected, message, hint));
        match (found.as_slice(), name) {
            ([wallet], _) => Ok(*wallet),
            ([], Some(name)) => absent(format!("no connected node is called {name:?}"), connect),
            ([], None) if connected.is_empty() => absent("no other node is connected".into(), connect),
            ([], None) => absent(
                "no node that you asked for is connected, only others that connected by themselves".into(),
                "connect to one first: thunder-cli connect <ip:port>; or name one of the others with --peer, see infos",
            ),
            (several, _) => {
                let list: Vec<_> = several.iter().map(ToString::to_string).collect();
                let message = format!("{} nodes are connected: {}", several.len(), list.join(", "));
                let hint = "name one with --peer (peer id, wallet, or a beginning)";
                Err(ApiError::new(Code::AmbiguousPeer, message, hint))
            }
        }
    }
}

/// Whether the text form of an address begins with this text, in whatever case. An empty text fits no address.
pub(crate) fn begins_like(address: &Address, beginning: &str) -> bool {
    !beginning.is_empty() && address.to_string().to_lowercase().starts_with(&beginning.to_lowercase())
}
