//! Which channels of others are agreed to (`thunderd --accept`).

use thunder_protocol::channel::ClosedOutcome;
use thunder_protocol::onchain::EndKind;
use thunder_protocol::wire::OpenPolicy;
use thunder_protocol::{Address, Amount, Channel, Role};

use crate::engine::Engine;

/// Which channels that others open are agreed to. Those that the node opens itself are not asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptPolicy {
    /// With whom.
    pub from: AcceptFrom,
    /// What a channel has to hold at least.
    pub min: Amount,
}

/// Whose channels are agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptFrom {
    /// Anybody's.
    Any,
    /// Those of wallets that the user has connected to, and of wallets with which there is or was a channel.
    Known,
    /// Nobody's.
    None,
}

impl AcceptPolicy {
    /// What holds if the user says nothing. A channel holds its amount before it is ACTIVE, and what the user does not
    /// pay in is somebody else's: so a stranger has at least this much in each channel that commands could mean.
    pub const DEFAULT: Self = Self { from: AcceptFrom::Any, min: Amount::ONE_THD };
}

impl Engine {
    /// The rule of the user that a channel with this partner, which opens it, does not meet.
    pub(crate) fn violated_policy(&self, partner: &Address, amount: Amount) -> Option<OpenPolicy> {
        let AcceptPolicy { from, min } = self.settings.accept;
        match from {
            AcceptFrom::None => return Some(OpenPolicy::Nobody),
            AcceptFrom::Known if !self.is_known(partner) => return Some(OpenPolicy::KnownOnly),
            AcceptFrom::Any | AcceptFrom::Known => {}
        }
        (amount < min).then_some(OpenPolicy::AtLeast(min))
    }

    /// Whether the user has connected to a node of this wallet, or has or had a channel with it.
    fn is_known(&self, partner: &Address) -> bool {
        let is_requested = self.peers.requested_wallets().is_some_and(|wallets| wallets.contains(partner));
        let channels = self.channels.of_partner(partner).iter();
        is_requested
            || channels
                .filter_map(|address| self.channels.get(address))
                .any(|entry| makes_known(&entry.channel))
    }
}

/// Whether the channel was opened by this side, or was in use. An offer, or a contract without money in it, costs the
/// partner nothing.
fn makes_known(channel: &Channel) -> bool {
    match channel {
        Channel::Opening(_) => channel.setup().role() == Role::A,
        Channel::Active(_) | Channel::CooperativeClosing(_) | Channel::DataLoss(_) | Channel::Closing(_) => {
            true
        }
        Channel::Closed(state) => match state.outcome() {
            ClosedOutcome::Abandoned => false,
            ClosedOutcome::Ended { end, .. } => end.kind != EndKind::Cancelled,
        },
    }
}

#[cfg(test)]
mod tests {
    use thunder_protocol::wire::{Envelope, OpenMessage, OpenRefuse, OpenRefuseReason};
    use thunder_protocol::{Balances, onchain::OnChain};

    use super::*;
    use crate::UserRequestId;
    use crate::testing::{Node, Remote, thd, with_channel};

    fn node(from: AcceptFrom, min: &str) -> Node {
        let mut node = Node::new();
        node.engine.settings.accept = AcceptPolicy { from, min: thd(min) };
        node
    }

    /// The answer to an offer of 10 THD.
    fn asks(node: &mut Node, remote: &Remote, half: u8) -> Result<(), OpenPolicy> {
        let ask = Envelope::Open(OpenMessage::Ask(remote.ask(half)));
        match &node.messages(remote, vec![ask])[..] {
            [Envelope::Open(OpenMessage::Accept(_))] => Ok(()),
            [Envelope::Open(OpenMessage::Refuse(OpenRefuse { reason, policy: Some(policy), .. }))] => {
                assert_eq!(*reason, OpenRefuseReason::BadTerms, "for an older node");
                Err(*policy)
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    #[test]
    fn by_default_anybody_may_open_a_channel_of_1_thd() {
        let (mut node, remote) = (Node::new(), Remote::new(200));
        node.open_session(&remote);
        assert_eq!(asks(&mut node, &remote, 1), Ok(()));
        node.engine.settings.accept.min = thd("10");
        assert_eq!(asks(&mut node, &remote, 2), Ok(()), "exactly so much");
        node.engine.settings.accept.min = thd("10.000000000000000001");
        assert_eq!(asks(&mut node, &remote, 3), Err(OpenPolicy::AtLeast(thd("10.000000000000000001"))));
        assert_eq!(AcceptPolicy::DEFAULT.min, thd("1"));
    }

    #[test]
    fn with_none_nobody_opens_one_and_nothing_is_kept() {
        let (mut node, remote) = (node(AcceptFrom::None, "0"), Remote::new(200));
        node.open_session(&remote);
        assert_eq!(asks(&mut node, &remote, 1), Err(OpenPolicy::Nobody));
        assert!(node.engine.channels().is_empty());
        // Its own it opens all the same, and the partner still opens none.
        let mut remote = remote;
        node.open_channel(&mut remote);
        assert_eq!(asks(&mut node, &remote, 2), Err(OpenPolicy::Nobody));
    }

    #[test]
    fn known_is_who_was_connected_to_by_order() {
        let (mut node, remote) = (node(AcceptFrom::Known, "1"), Remote::new(200));
        node.open_session(&remote);
        assert_eq!(asks(&mut node, &remote, 1), Err(OpenPolicy::KnownOnly), "it has connected by itself");
        let _ = node.connect(&remote, true, Some(UserRequestId(77)));
        assert_eq!(asks(&mut node, &remote, 2), Ok(()));
        let stranger = Remote::new(201);
        node.open_session(&stranger);
        assert_eq!(asks(&mut node, &stranger, 3), Err(OpenPolicy::KnownOnly));
        node.engine.settings.accept.min = thd("11");
        assert_eq!(asks(&mut node, &remote, 4), Err(OpenPolicy::AtLeast(thd("11"))), "they, too");
    }

    #[test]
    fn known_is_who_has_or_had_a_channel_with_money_in_it() {
        let (mut node, remote, channel) = with_channel();
        node.engine.settings.accept.from = AcceptFrom::Known;
        assert_eq!(asks(&mut node, &remote, 1), Ok(()));
        let closed = crate::testing::old_closing();
        let _ = node.view(channel, OnChain::Closing(closed));
        assert_eq!(asks(&mut node, &remote, 2), Ok(()), "it was in use");

        let (mut node, remote) = (Node::new(), Remote::new(200));
        node.open_session(&remote);
        assert_eq!(asks(&mut node, &remote, 1), Ok(()));
        node.engine.settings.accept.from = AcceptFrom::Known;
        assert_eq!(asks(&mut node, &remote, 2), Err(OpenPolicy::KnownOnly), "an offer costs nothing");
        let offered = node.engine.channels().of_partner(&remote.wallet())[0];
        let _ = node.view(offered, OnChain::Empty { paid_in: Balances { a: Amount::ZERO, b: Amount::ZERO } });
        assert_eq!(asks(&mut node, &remote, 3), Err(OpenPolicy::KnownOnly), "nor does an empty contract");
        let _ = node.view(offered, OnChain::Active { paid_in: Balances { a: thd("10"), b: Amount::ZERO } });
        assert_eq!(asks(&mut node, &remote, 4), Ok(()));
    }
}
