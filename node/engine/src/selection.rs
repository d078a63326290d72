//! Which channel or which peer a user means.

use std::collections::BTreeSet;

use thunder_api::{ApiError, ApiResult, Code, Selector};
use thunder_protocol::channel::{CommandError, NextStep};
use thunder_protocol::onchain::OnChain;
use thunder_protocol::{Address, Amount, Channel};

use crate::channels::{ChannelEntry, is_inbound_pending, is_live};
use crate::engine::Engine;
use crate::errors::unknown_channel;

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

/// The channel, if there is only one.
const fn the_only<'a>(all: &[Found<'a>]) -> Option<Found<'a>> {
    match all {
        [only] => Some(*only),
        _ => None,
    }
}

/// The channel that is not closed, if there is only one.
fn the_only_live<'a>(all: &[Found<'a>]) -> Option<Found<'a>> {
    let live: Vec<_> = all.iter().filter(|(_, entry)| is_live(&entry.channel)).copied().collect();
    the_only(&live)
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
        _ => "with other nodes there are; name the one that you mean with --channel".into(),
    };
    ApiError::new(Code::NoChannel, message, hint).with_channels(others.iter().take(MAX_LISTED).copied())
}

fn nothing_fits(selector: &Selector, purpose: Purpose, all: &[Found<'_>]) -> ApiError {
    let message = match (selector, all) {
        (Selector { channel: Some(name), .. } | Selector { to: Some(name), .. }, []) => {
            format!("there is no channel {name:?}")
        }
        (Selector { peer: Some(name), .. }, []) => format!("there is no channel with a node {name:?}"),
        _ => format!("there is no channel to {}", purpose.verb()),
    };
    ApiError::new(Code::NoChannel, message, purpose.what_to_do())
}

/// The error for a channel's name that is a peer's.
fn is_a_peer(name: &str) -> ApiError {
    ApiError::new(
        Code::NoChannel,
        format!("{name:?} names a node and not a channel"),
        format!("name the node with --peer {name}, or the channel as infos shows it"),
    )
}

/// The error for a peer's name that is a channel's.
fn is_a_channel(code: Code, name: &str) -> ApiError {
    ApiError::new(
        code,
        format!("{name:?} names a channel and not a node"),
        "a node is named by its peer id or its wallet, as infos shows them; a channel with --channel",
    )
}

/// The error for a command that could mean each of these channels.
fn ambiguous(selector: &Selector, purpose: Purpose, several: &[Found<'_>]) -> ApiError {
    let mut message = format!("there are {} channels to {}:", several.len(), purpose.verb());
    for (address, entry) in several.iter().take(MAX_LISTED) {
        let mine = entry.channel.balances().of(entry.channel.setup().role());
        message.push_str(&format!("\n  {address}  own share {mine}"));
    }
    if several.len() > MAX_LISTED {
        message.push_str("\n  ...");
    }
    let partners = distinct_partners(several.iter()).len();
    // Of several channels with one peer `pay` takes one by itself.
    let by_peer = partners == several.len() || (purpose == Purpose::Pay && partners > 1);
    let or_peer = if selector.peer.is_none() && selector.to.is_none() && by_peer {
        ", or its other side with --peer"
    } else {
        ""
    };
    let hint = format!("name one with --channel (its address or the beginning of it){or_peer}");
    let listed = several.iter().take(MAX_LISTED).map(|(address, _)| **address);
    ApiError::new(Code::AmbiguousChannel, message, hint).with_channels(listed)
}

/// The error for a payment that no channel can pay alone, and that all of them together may.
fn split_needed(amount: Amount, most: Amount, total: Amount) -> ApiError {
    let message = format!(
        "no channel has {amount} THD left to pay with: the most in one is {most} THD, in all {total} THD"
    );
    let hint = match total >= amount {
        true => "pay in several parts, or open another channel",
        false => "pay less, or open another channel",
    };
    ApiError::new(Code::InsufficientBalance, message, hint)
}

/// Refuses a beginning of a peer id or a wallet that fits several partners, also if only one of them has a
/// channel that fits the command.
fn require_one_peer(selector: &Selector, all: &[Found<'_>]) -> ApiResult<()> {
    let Some(name) = selector.peer.as_ref().or(selector.to.as_ref()) else { return Ok(()) };
    let partners = distinct_partners(all.iter());
    if partners.len() <= 1 {
        return Ok(());
    }
    let message = format!("{} nodes are called {name}: {}", partners.len(), listed(&partners));
    Err(ApiError::new(Code::AmbiguousPeer, message, "give more of the peer id or the wallet"))
}

impl Engine {
    /// The channel that a user means: the only one that fits the command, or the only one of these on which the
    /// command has something to do now.
    pub fn find_channel(&self, selector: &Selector, purpose: Purpose) -> ApiResult<Address> {
        let candidates = self.candidates(selector, purpose)?;
        if let [(only, _)] = candidates.as_slice() {
            return Ok(**only);
        }
        let is_due = |(_, entry): &&Found<'_>| self.is_due(purpose, entry);
        let due: Vec<_> = candidates.iter().filter(is_due).copied().collect();
        match due.as_slice() {
            [(only, _)] => Ok(**only),
            [] => Err(ambiguous(selector, purpose, &candidates)),
            several => Err(ambiguous(selector, purpose, several)),
        }
    }

    /// The channels that a payment can go over, all with the same peer.
    pub(crate) fn channels_to_pay_over(&self, selector: &Selector) -> ApiResult<Vec<Address>> {
        let candidates = self.candidates(selector, Purpose::Pay)?;
        // Whom to pay is for the user to say, also if only one of them could be paid.
        if distinct_partners(candidates.iter()).len() > 1 {
            return Err(ambiguous(selector, Purpose::Pay, &candidates));
        }
        Ok(candidates.into_iter().map(|(address, _)| *address).collect())
    }

    /// Of channels with one peer the one that can pay the amount, the largest own share first. If none can, the one
    /// whose core says best why not.
    pub(crate) fn payable(&self, channels: &[Address], amount: Amount) -> ApiResult<Address> {
        if let [only] = channels {
            return Ok(*only);
        }
        let (mut best, mut rest) = (None, None);
        let mut total = Amount::ZERO;
        for address in channels {
            let Some((available, refusal)) = self.would_pay(address, amount) else { continue };
            let is_short = matches!(refusal, Some(CommandError::InsufficientBalance { .. }));
            if refusal.is_none() || is_short {
                total = total.checked_add(available).unwrap_or(Amount::MAX);
            }
            // Of equal shares that of the newest channel, which comes first. What lacks money only says most.
            match refusal {
                None if best.is_none_or(|(most, _)| available > most) => best = Some((available, *address)),
                Some(_) if rest.is_none_or(|(short, most, _)| (is_short, available) > (short, most)) => {
                    rest = Some((is_short, available, *address));
                }
                None | Some(_) => {}
            }
        }
        match (best, rest) {
            (Some((_, address)), _) => Ok(address),
            (None, Some((true, most, _))) if total > most => Err(split_needed(amount, most, total)),
            (None, Some((_, _, address))) => Ok(address),
            // Each is frozen, or another wallet's: the first one says so.
            (None, None) => channels.first().copied().ok_or_else(unknown_channel),
        }
    }

    /// What the own side has left in a channel, and why the channel would not pay this amount now; `None` if it can't
    /// be used at all.
    fn would_pay(&self, address: &Address, amount: Amount) -> Option<(Amount, Option<CommandError>)> {
        let (entry, wallet) = (self.channels.get(address)?, self.wallet()?);
        let setup = entry.channel.setup();
        let Channel::Active(active) = &entry.channel else { return None };
        if entry.frozen.is_some() || setup.party(setup.role()) != wallet.address() {
            return None;
        }
        let context = self.context(wallet, entry.unreadable.is_none());
        Some((active.available(), active.may_pay(amount, &context).err()))
    }

    /// Whether the command has something to do on the channel now. Closing is for the user to decide on any channel
    /// that can be closed.
    fn is_due(&self, purpose: Purpose, entry: &ChannelEntry) -> bool {
        let setup = entry.channel.setup();
        match (purpose, self.next_step(entry)) {
            (Purpose::Challenge, Some(NextStep::Challenge { .. })) => true,
            (Purpose::Withdraw, Some(NextStep::Withdraw { blocks, .. })) => blocks <= 1,
            (Purpose::Fund, Some(NextStep::Fund { .. })) => {
                matches!(&entry.channel, Channel::Opening(opening) if !opening.own_missing().is_zero())
            }
            (Purpose::Cancel, _) => matches!(entry.channel.view().status, OnChain::Empty { paid_in }
                if !paid_in.of(setup.role()).is_zero()),
            _ => false,
        }
    }

    /// The channels that a user can mean, newest first, at least one: those that fit the command, or the one whose
    /// state says best why none does.
    fn candidates(&self, selector: &Selector, purpose: Purpose) -> ApiResult<Vec<Found<'_>>> {
        let named = |(address, entry): &Found<'_>| self.is_meant(selector, address, entry);
        // A user who names a channel in full does not wait for a search through all of them.
        let parsed = |name: Option<&String>| name.and_then(|name| name.parse::<Address>().ok());
        if let Some(address) = parsed(selector.channel.as_ref().or(selector.to.as_ref()))
            && let Some(found) = self.channels.find(&address)
            && named(&found)
        {
            return Ok(vec![found]);
        }
        let mut all: Vec<_> = match parsed(selector.peer.as_ref().or(selector.to.as_ref())) {
            // Nor does a user who names a wallet in full.
            Some(partner) => self.channels.with_partner(&partner).into_iter().filter(named).collect(),
            _ => self.channels.newest_first().filter(named).collect(),
        };
        require_one_peer(selector, &all)?;
        let strangers = self.remove_strangers(selector, &mut all);
        let fits = |(_, entry): &&Found<'_>| purpose.fits(&entry.channel);
        let fitting: Vec<_> = all.iter().filter(fits).copied().collect();
        if !fitting.is_empty() {
            return Ok(fitting);
        }
        let elsewhere: Vec<_> = strangers.iter().filter(fits).map(|(address, _)| **address).collect();
        if !elsewhere.is_empty() {
            return Err(only_with_strangers(purpose, &elsewhere));
        }
        // No channel fits, but only one can be meant: its state says best what is wrong.
        match the_only(&all).or_else(|| the_only_live(&all)) {
            Some(only) => Ok(vec![only]),
            None if all.is_empty() => {
                Err(self.misnamed(selector).unwrap_or_else(|| nothing_fits(selector, purpose, &all)))
            }
            None => Err(nothing_fits(selector, purpose, &all)),
        }
    }

    /// What is wrong with a name that no channel of this chain has.
    fn misnamed(&self, selector: &Selector) -> Option<ApiError> {
        match selector {
            Selector { channel: Some(name), .. } if self.is_name_of_peer(name) => Some(is_a_peer(name)),
            Selector { channel: None, peer: Some(name), .. } if self.is_name_of_channel(name) => {
                Some(is_a_channel(Code::NoChannel, name))
            }
            Selector { channel: Some(name), .. } | Selector { to: Some(name), .. } => {
                let address: Address = name.parse().ok()?;
                let is_known = self.disk.knows_address(&address).unwrap_or(false);
                is_known.then(|| {
                    ApiError::new(
                        Code::NoChannel,
                        format!("channel {address} is not on this chain"),
                        "it belongs to another chain, to this testnet before it was started anew, or was never opened: \
                         start thunderd with the --RPC of its chain",
                    )
                })
            }
            _ => None,
        }
    }

    fn is_name_of_peer(&self, name: &str) -> bool {
        let partners = self.channels.newest_first().map(|(_, entry)| entry.channel.setup().partner());
        let connected = self.peers.all().into_iter().filter_map(|peer| Some(peer.wallet?.0));
        partners.chain(connected).any(|wallet| self.peers.is_called(&wallet, name))
    }

    fn is_name_of_channel(&self, name: &str) -> bool {
        self.channels.newest_first().any(|(address, _)| begins_like(address, name))
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
        let Some(requested) = self.peers.requested_wallets().filter(|_| selector.names_nothing()) else {
            return Vec::new();
        };
        let is_requested = |entry: &ChannelEntry| requested.contains(&entry.channel.setup().partner());
        let (requested, others) = std::mem::take(all).into_iter().partition(|(_, entry)| is_requested(entry));
        *all = requested;
        others
    }

    pub(crate) fn is_meant(&self, selector: &Selector, address: &Address, entry: &ChannelEntry) -> bool {
        let Selector { channel, peer, to } = selector;
        let is_named = |name: &String| begins_like(address, name);
        if is_inbound_pending(&entry.channel) && !channel.iter().chain(to).any(is_named) {
            return false;
        }
        let by_channel = channel.as_ref().is_none_or(is_named);
        let partner = entry.channel.setup().partner();
        let by_peer = peer.as_ref().is_none_or(|name| self.peers.is_called(&partner, name));
        let by_either = to.as_ref().is_none_or(|name| is_named(name) || self.peers.is_called(&partner, name));
        by_channel && by_peer && by_either
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
            ([], Some(name)) if self.is_name_of_channel(name) => {
                Err(is_a_channel(Code::PeerNotConnected, name))
            }
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

#[cfg(test)]
mod tests;
