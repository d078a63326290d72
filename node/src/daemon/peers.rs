//! Other nodes: who is connected, who speaks for which wallet, whom to dial and when.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use libp2p::swarm::dial_opts::PeerCondition;
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};
use thunder_api::{Answer, ApiError, Code, Peer};
use thunder_protocol::{Address, B256};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Daemon;
use super::chatter::Chatter;
use super::dial::{dial_anybody, dial_options, explain_dial};
use super::patience::Patience;
use super::sessions::Session;
use crate::p2p::{PeerAddress, without_peer};
use crate::store::KnownPeer;

/// After how long a node is dialed or greeted again that could not be reached; twice that after the
/// next failure, and so on.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
pub const LAST_RETRY: Duration = Duration::from_secs(60);
/// How long a node that has connected may stay without proving for whom it speaks.
pub const PROVE_WITHIN: Duration = Duration::from_secs(30);
/// How many such nodes there may be. If one more comes, the one with the least time left goes.
pub const MAX_STRANGERS: usize = 256;

/// A node that is connected.
#[derive(Default)]
pub(super) struct Link {
    pub(super) connections: HashMap<ConnectionId, Multiaddr>,
    /// Where this side last reached it, whoever then began the session.
    dialed: Option<Multiaddr>,
    pub(super) session: Session,
    /// When to say hello again, after a failure.
    pub(super) hello_at: Option<Instant>,
    pub(super) hello_failures: u32,
    /// Whether somebody here asked for the connection.
    is_asked_for: bool,
    /// Until when the other side has to have proved who it is.
    prove_by: Option<Instant>,
    /// What it may still ask for in vain.
    patience: Patience,
    /// Its connections are being ended: nothing more is taken from it.
    sent_away: bool,
}

impl Link {
    fn address(&self) -> Option<&Multiaddr> {
        self.connections.values().next()
    }

    /// Until when a node may stay that nobody here asked for and that has not proved who it is.
    fn stranger_until(&self) -> Option<Instant> {
        self.prove_by.filter(|_| !self.session.is_open() && !self.is_asked_for)
    }

    /// A session is over: there is time again to begin another.
    pub(super) fn await_proof_anew(&mut self) {
        self.prove_by = self.prove_by.map(|_| Instant::now() + PROVE_WITHIN);
    }
}

/// Somebody waits for a connection.
struct Connecting {
    /// Addresses that were not tried yet.
    left: VecDeque<Multiaddr>,
    peer: Option<PeerId>,
    reply: oneshot::Sender<Answer<Peer>>,
    last_error: String,
}

/// A node to be connected with, whenever it is there.
struct Wanted {
    address: Multiaddr,
    /// The wallet that it spoke for last.
    wallet: Option<Address>,
    next_dial: Option<Instant>,
    failures: u32,
}

/// All that is known of other nodes.
pub(super) struct Peers {
    own_id: PeerId,
    pub(super) links: HashMap<PeerId, Link>,
    by_wallet: HashMap<Address, PeerId>,
    wanted: BTreeMap<PeerId, Wanted>,
    dialing: HashMap<ConnectionId, Connecting>,
    /// Connected, and waiting for the session.
    proving: Vec<(PeerId, oneshot::Sender<Answer<Peer>>)>,
    /// Nodes that said hello and have to prove themselves: their challenge and the own one.
    expected: HashMap<PeerId, (B256, B256)>,
    /// What the log may still say of strangers.
    pub(super) chatter: Chatter,
}

impl Peers {
    pub(super) fn new(own_id: PeerId, known: Vec<KnownPeer>) -> Self {
        let now = Instant::now();
        let wanted = known.into_iter().filter_map(|peer| {
            let KnownPeer { peer_id, address, wallet } = peer;
            let wanted = Wanted { address: address.parse().ok()?, wallet, next_dial: Some(now), failures: 0 };
            Some((peer_id.parse().ok()?, wanted))
        });
        Self {
            own_id,
            links: HashMap::new(),
            by_wallet: HashMap::new(),
            wanted: wanted.collect(),
            dialing: HashMap::new(),
            proving: Vec::new(),
            expected: HashMap::new(),
            chatter: Chatter::default(),
        }
    }

    pub(super) fn expect_proof(&mut self, peer: PeerId, theirs: B256, own: B256) {
        self.expected.insert(peer, (theirs, own));
    }

    pub(super) fn take_expected(&mut self, peer: &PeerId) -> Option<(B256, B256)> {
        self.expected.remove(peer)
    }

    /// The node that speaks for a wallet.
    pub(super) fn node_of(&self, wallet: &Address) -> Option<PeerId> {
        self.by_wallet.get(wallet).copied()
    }

    /// The wallets of the nodes that the user has asked for, or `None` if there is no such node.
    pub(super) fn requested_wallets(&self) -> Option<HashSet<Address>> {
        let wallets = || self.wanted.values().filter_map(|wanted| wanted.wallet).collect();
        (!self.wanted.is_empty()).then(wallets)
    }

    /// Whether the name is a beginning of the wallet's address, or of the peer id of the node that speaks for it:
    /// the connected node, or, if none is connected, one that was asked for.
    pub(super) fn is_called(&self, wallet: &Address, name: &str) -> bool {
        let begins = |node: &PeerId| !name.is_empty() && node.to_string().starts_with(name);
        begins_like(wallet, name)
            || match self.by_wallet.get(wallet) {
                Some(node) => begins(node),
                None => {
                    self.wanted.iter().any(|(node, wanted)| wanted.wallet == Some(*wallet) && begins(node))
                }
            }
    }

    pub(super) fn bind(&mut self, wallet: Address, peer: PeerId) -> Option<PeerId> {
        self.by_wallet.insert(wallet, peer).filter(|earlier| *earlier != peer)
    }

    pub(super) fn unbind(&mut self, wallet: &Address, peer: &PeerId) {
        if self.by_wallet.get(wallet) == Some(peer) {
            self.by_wallet.remove(wallet);
        }
    }

    /// Whether there is nothing more to be taken from a node.
    pub(super) fn is_sent_away(&self, peer: &PeerId) -> bool {
        self.links.get(peer).is_none_or(|link| link.sent_away)
    }

    /// A node that broke a rule is not listened to any more, and not dialed again at once.
    pub(super) fn keep_away(&mut self, peer: &PeerId) {
        if let Some(link) = self.links.get_mut(peer) {
            link.sent_away = true;
        }
        if let Some(wanted) = self.wanted.get_mut(peer) {
            wanted.failures = u32::BITS;
        }
    }

    /// There is news of where a node may be: if it is to be dialed anyway, that is done soon.
    pub(super) fn dial_soon(&mut self, peer: &PeerId) {
        if let Some(next) = self.wanted.get_mut(peer).and_then(|wanted| wanted.next_dial.as_mut()) {
            *next = (*next).min(Instant::now() + FIRST_RETRY);
        }
    }

    /// The strangers that have to go so that there are not too many; those who have had the most time.
    fn crowded_out(&mut self) -> Vec<PeerId> {
        let strangers = self.links.iter().filter_map(|(peer, link)| Some((link.stranger_until()?, *peer)));
        let mut strangers: Vec<_> = strangers.collect();
        strangers.sort_unstable();
        strangers.truncate(strangers.len().saturating_sub(MAX_STRANGERS));
        for (_, peer) in &strangers {
            // It is on its way out and does not count any more.
            if let Some(link) = self.links.get_mut(peer) {
                link.prove_by = None;
            }
        }
        strangers.into_iter().map(|(_, peer)| peer).collect()
    }

    /// When the next dial or hello is due.
    pub(super) fn next_dial(&self) -> Option<Instant> {
        let dials = self.wanted.values().filter_map(|wanted| wanted.next_dial);
        dials.chain(self.links.values().filter_map(|link| link.hello_at)).min()
    }

    /// A connected node as users see it.
    pub(super) fn describe(&self, id: &PeerId) -> Option<Peer> {
        let link = self.links.get(id)?;
        let address = link.address().map(ToString::to_string).unwrap_or_default();
        let wallet = link.session.wallet().map(Into::into);
        let requested = self.wanted.contains_key(id);
        Some(Peer { peer_id: id.to_string(), address, wallet, requested })
    }

    /// All connected nodes.
    pub(super) fn all(&self) -> Vec<Peer> {
        let mut peers: Vec<_> = self.links.keys().filter_map(|id| self.describe(id)).collect();
        peers.sort_by(|a, b| a.peer_id.cmp(&b.peer_id));
        peers
    }
}

impl Daemon {
    /// `connect`: dials, and answers once both sides have proved who they are.
    pub(super) fn connect(
        &mut self,
        address: &PeerAddress,
        found: Vec<Multiaddr>,
        reply: oneshot::Sender<Answer<Peer>>,
    ) {
        if let Err(error) = self.require_ready() {
            let _ = reply.send(Err(error));
            return;
        }
        let is_named = |id: &PeerId| address.peer().is_none_or(|named| named == *id);
        let connected = self.peers.links.iter().find_map(|(id, link)| {
            let at = link.connections.values().map(without_peer).find(|at| found.contains(at))?;
            (link.session.is_open() && is_named(id)).then_some((*id, at))
        });
        if let Some((id, at)) = connected {
            if let Some(link) = self.peers.links.get_mut(&id) {
                link.is_asked_for = true;
                link.dialed.get_or_insert(at);
            }
            self.want(id);
            self.answer_connect(id, vec![reply]);
            return;
        }
        let connecting = Connecting {
            left: found.into(),
            peer: address.peer(),
            reply,
            last_error: "the name has no address".into(),
        };
        self.dial_next(connecting);
    }

    fn dial_next(&mut self, mut connecting: Connecting) {
        while let Some(address) = connecting.left.pop_front() {
            let options = match connecting.peer {
                Some(peer) => dial_options(peer, PeerCondition::Always, vec![address]),
                None => dial_anybody(address),
            };
            let id = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => {
                    self.peers.dialing.insert(id, connecting);
                    return;
                }
                Err(error) => connecting.last_error = explain_dial(&error, connecting.peer),
            }
        }
        let message = format!("can't reach the other node: {}", connecting.last_error);
        let hint = "check the address, and that a thunderd is running there";
        let _ = connecting.reply.send(Err(ApiError::new(Code::PeerUnreachable, message, hint)));
    }

    pub(super) fn on_dial_failed(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
    ) {
        if let Some(mut connecting) = self.peers.dialing.remove(&connection) {
            connecting.last_error = explain_dial(error, connecting.peer);
            self.dial_next(connecting);
        }
        if let Some(wanted) = peer.and_then(|peer| self.peers.wanted.get_mut(&peer)) {
            wanted.back_off();
        }
    }

    pub(super) fn on_connected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        address: Multiaddr,
        dialed: bool,
    ) {
        let link = self.peers.links.entry(peer).or_default();
        if dialed {
            link.dialed = Some(address.clone());
        }
        link.connections.insert(connection, address);
        tracing::debug!(%peer, dialed, "connected");
        if self.peers.is_sent_away(&peer) {
            // It comes back while its earlier connections are still being ended.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        if let Some(wanted) = self.peers.wanted.get_mut(&peer) {
            wanted.next_dial = None;
        }
        if let Some(Connecting { reply, .. }) = self.peers.dialing.remove(&connection) {
            if let Some(link) = self.peers.links.get_mut(&peer) {
                link.is_asked_for = true;
            }
            match self.peers.links.get(&peer).filter(|link| link.session.is_open()) {
                Some(_) => {
                    self.want(peer);
                    self.answer_connect(peer, vec![reply]);
                }
                None => self.peers.proving.push((peer, reply)),
            }
        }
        if let Some(link) = self.peers.links.get_mut(&peer).filter(|_| !dialed) {
            link.prove_by.get_or_insert_with(|| Instant::now() + PROVE_WITHIN);
            for stranger in self.peers.crowded_out() {
                tracing::debug!(peer = %stranger, "too many nodes have not proved who they are");
                let _ = self.swarm.disconnect_peer_id(stranger);
            }
        }
        let is_silent = self.peers.links.get(&peer).is_some_and(|link| matches!(link.session, Session::None));
        if dialed && is_silent {
            self.say_hello(peer);
        }
    }

    pub(super) fn on_disconnected(&mut self, peer: PeerId, connection: ConnectionId, others: u32) {
        let described = self.peers.describe(&peer);
        let Some(link) = self.peers.links.get_mut(&peer) else { return };
        link.connections.remove(&connection);
        if others > 0 {
            return;
        }
        tracing::debug!(%peer, "disconnected");
        self.end_session(&peer, "the connection was lost");
        self.peers.links.remove(&peer);
        self.peers.expected.remove(&peer);
        self.fail_proving(&peer, &gone());
        if let Some(described) = described.filter(|peer| peer.wallet.is_some()) {
            self.events.push(thunder_api::Event::Disconnected(described));
        }
        if let Some(wanted) = self.peers.wanted.get_mut(&peer) {
            wanted.back_off();
        }
    }

    /// Both sides have proved who they are.
    pub(super) fn on_proved(&mut self, peer: PeerId) {
        self.want(peer);
        let (ready, waiting) =
            std::mem::take(&mut self.peers.proving).into_iter().partition(|(id, _)| *id == peer);
        self.peers.proving = waiting;
        let ready: Vec<(PeerId, oneshot::Sender<Answer<Peer>>)> = ready;
        self.answer_connect(peer, ready.into_iter().map(|(_, reply)| reply).collect());
        if let Some(described) = self.peers.describe(&peer) {
            self.events.push(thunder_api::Event::Connected(described));
        }
    }

    /// Answers `connect`, once it is on disk that the node was asked for.
    fn answer_connect(&mut self, peer: PeerId, replies: Vec<oneshot::Sender<Answer<Peer>>>) {
        self.after.then.push(Box::new(move |daemon: &mut Self| {
            for reply in replies {
                let _ = reply.send(daemon.peers.describe(&peer).ok_or_else(gone));
            }
        }));
    }

    /// Those who wait for a session with this node learn that there will be none.
    pub(super) fn fail_proving(&mut self, peer: &PeerId, error: &ApiError) {
        let (failed, waiting) =
            std::mem::take(&mut self.peers.proving).into_iter().partition(|(id, _)| id == peer);
        self.peers.proving = waiting;
        let failed: Vec<(PeerId, oneshot::Sender<Answer<Peer>>)> = failed;
        for (_, reply) in failed {
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// A node that somebody here asked for is remembered, and dialed again whenever it is gone.
    fn want(&mut self, peer: PeerId) {
        let Some(link) = self.peers.links.get(&peer) else { return };
        let earlier = self.peers.wanted.get(&peer).map(|wanted| &wanted.address);
        if !link.is_asked_for && earlier.is_none() {
            return;
        }
        // Whoever was asked for once is dialed by this side itself from then on.
        let Some(address) = link.dialed.as_ref().or(earlier).cloned() else { return };
        let wallet = link.session.wallet();
        let known = KnownPeer { peer_id: peer.to_string(), address: address.to_string(), wallet };
        if let Err(error) = self.store.remember_peer(&known) {
            tracing::warn!(%error, "can't remember the other node");
        }
        self.peers.wanted.insert(peer, Wanted { address, wallet, next_dial: None, failures: 0 });
    }

    /// Ends the connections of those who have had time enough to prove who they are.
    pub(super) fn drop_unproved(&mut self) {
        let now = Instant::now();
        let late = |link: &Link| link.stranger_until().is_some_and(|by| by <= now);
        let late: Vec<_> =
            self.peers.links.iter().filter(|(_, link)| late(link)).map(|(peer, _)| *peer).collect();
        for peer in late {
            tracing::debug!(%peer, "it has not proved who it is");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// A node asked for something in vain; one that does nothing else is sent away.
    pub(super) fn spend_patience(&mut self, peer: &PeerId, cost: u32) {
        let Some(link) = self.peers.links.get_mut(peer) else { return };
        if link.sent_away || link.patience.0.spend(cost, Instant::now()) {
            return;
        }
        tracing::debug!(%peer, "it asks too much in vain, ending the connection");
        self.peers.keep_away(peer);
        let _ = self.swarm.disconnect_peer_id(*peer);
    }

    /// Dials and greets whoever is due.
    pub(super) fn dial_due(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self
            .peers
            .wanted
            .iter_mut()
            .filter(|(_, wanted)| wanted.next_dial.is_some_and(|at| at <= now))
            .map(|(peer, wanted)| {
                wanted.next_dial = None;
                (*peer, wanted.address.clone())
            })
            .collect();
        for (peer, address) in due {
            let addresses = std::iter::once(address).chain(self.discovery.addresses_of(&peer)).collect();
            let options = dial_options(peer, PeerCondition::DisconnectedAndNotDialing, addresses);
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%peer, %error, "can't dial");
                if let Some(wanted) =
                    self.peers.wanted.get_mut(&peer).filter(|_| !self.peers.links.contains_key(&peer))
                {
                    wanted.back_off();
                }
            }
        }
        let greet = self.peers.links.iter_mut().filter(|(_, link)| link.hello_at.is_some_and(|at| at <= now));
        let greet: Vec<_> = greet.map(|(peer, link)| (link.hello_at.take(), *peer).1).collect();
        for peer in greet {
            self.say_hello(peer);
        }
    }

    pub(super) const fn own_id(&self) -> &PeerId {
        &self.peers.own_id
    }
}

/// Whether the text form of an address begins with this text, in whatever case. An empty text fits no address.
pub(super) fn begins_like(address: &Address, beginning: &str) -> bool {
    !beginning.is_empty() && address.to_string().to_lowercase().starts_with(&beginning.to_lowercase())
}

impl Wanted {
    fn back_off(&mut self) {
        self.next_dial = Some(Instant::now() + retry_after(self.failures));
        self.failures = self.failures.saturating_add(1);
    }
}

/// Doubles from one second to one minute.
pub(super) fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.min(6)).min(LAST_RETRY)
}

fn gone() -> ApiError {
    let hint = "see the log of the other node, and connect again";
    ApiError::new(Code::PeerUnreachable, "the other node ended the connection", hint)
}
