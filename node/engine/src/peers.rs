//! Peers: who is connected, who speaks for which wallet, whom to dial and when.

use std::collections::{BTreeMap, HashMap, HashSet};

use thunder_api::{ApiError, Code, Peer};
use thunder_protocol::Address;
use thunder_protocol::channel::Millis;

use crate::PeerId;
use crate::engine::Engine;
use crate::event::{ConnectionId, UserRequestId};
use crate::outbox::{Dial, DisconnectReason, Notice, Reply};
use crate::selection::begins_like;
use crate::sessions::{PendingHandshake, Session};
use crate::storage::KnownPeer;
use crate::token_bucket::{LogLimiter, PeerBudget};

/// After how long, in milliseconds, a peer is dialed or greeted again that could not be reached; twice that after
/// the next failure, and so on.
pub const FIRST_RETRY: Millis = 1000;
/// The longest such wait, in milliseconds.
pub const LAST_RETRY: Millis = 60_000;
/// How long a peer that has connected may stay without proving for whom it speaks, in milliseconds.
pub const PROVE_WITHIN: Millis = 30_000;
/// How many such peers there may be. If one more comes, the one with the least time left goes.
pub const MAX_STRANGERS: usize = 256;

/// A peer that is connected.
#[derive(Debug, Default)]
pub(crate) struct ConnectedPeer {
    connections: HashMap<ConnectionId, String>,
    /// Where this side last reached it, whoever then began the session.
    dialed: Option<String>,
    pub(crate) session: Session,
    /// When to say hello again, after a failure.
    pub(crate) hello_at: Option<Millis>,
    pub(crate) hello_failures: u32,
    /// Whether a user of this node asked for the connection.
    is_requested: bool,
    /// Until when the other side has to have proved who it is.
    prove_by: Option<Millis>,
    budget: PeerBudget,
    /// Its connections are being ended: nothing more is taken from it.
    is_banned: bool,
}

impl ConnectedPeer {
    fn address(&self) -> Option<&String> {
        self.connections.values().next()
    }

    /// The time at which a stranger is disconnected: a peer that no user of this node asked for and that has not proved
    /// who it is. `None` for any other peer.
    fn stranger_until(&self) -> Option<Millis> {
        self.prove_by.filter(|_| !self.session.is_open() && !self.is_requested)
    }

    /// Gives a peer whose session is over the time to begin another one.
    pub(crate) fn await_proof_anew(&mut self, now: Millis) {
        self.prove_by = self.prove_by.map(|_| now.saturating_add(PROVE_WITHIN));
    }
}

/// A peer to be connected with whenever it is there.
#[derive(Debug)]
struct PersistentPeer {
    address: String,
    /// The wallet that it spoke for last.
    wallet: Option<Address>,
    next_dial: Option<Millis>,
    failures: u32,
}

impl PersistentPeer {
    fn back_off(&mut self, now: Millis) {
        self.next_dial = Some(now.saturating_add(retry_after(self.failures)));
        self.failures = self.failures.saturating_add(1);
    }
}

/// The peers that are connected, and those to be connected with.
#[derive(Debug)]
pub struct Peers {
    own_id: PeerId,
    pub(crate) connected: HashMap<PeerId, ConnectedPeer>,
    by_wallet: HashMap<Address, PeerId>,
    persistent: BTreeMap<PeerId, PersistentPeer>,
    /// Users who wait for a session with a connected peer.
    waiting: Vec<(PeerId, UserRequestId)>,
    /// Peers that said hello and have to prove themselves.
    pub(crate) pending_handshakes: HashMap<PeerId, PendingHandshake>,
    /// Limits what the log has about strangers.
    pub(crate) log_limiter: LogLimiter,
}

impl Peers {
    pub(crate) fn new(own_id: PeerId, known: Vec<(PeerId, KnownPeer)>, now: Millis) -> Self {
        let persistent = known.into_iter().map(|(peer, known)| {
            let KnownPeer { peer_id: _, address, wallet } = known;
            (peer, PersistentPeer { address, wallet, next_dial: Some(now), failures: 0 })
        });
        Self {
            own_id,
            connected: HashMap::new(),
            by_wallet: HashMap::new(),
            persistent: persistent.collect(),
            waiting: Vec::new(),
            pending_handshakes: HashMap::new(),
            log_limiter: LogLimiter::default(),
        }
    }

    /// The own peer id.
    pub const fn own_id(&self) -> &PeerId {
        &self.own_id
    }

    /// How many peers are connected.
    pub fn count(&self) -> usize {
        self.connected.len()
    }

    /// The peer that speaks for a wallet.
    pub fn by_wallet(&self, wallet: &Address) -> Option<&PeerId> {
        self.by_wallet.get(wallet)
    }

    /// The wallets of the peers that the user has asked for, or `None` if there is no such peer.
    pub(crate) fn requested_wallets(&self) -> Option<HashSet<Address>> {
        let wallets = || self.persistent.values().filter_map(|peer| peer.wallet).collect();
        (!self.persistent.is_empty()).then(wallets)
    }

    /// Whether the name is a beginning of the wallet's address, or of the peer id of the node that speaks for it:
    /// the connected node, or, if none is connected, one that was asked for.
    pub(crate) fn is_called(&self, wallet: &Address, name: &str) -> bool {
        let begins = |peer: &PeerId| !name.is_empty() && peer.as_str().starts_with(name);
        begins_like(wallet, name)
            || match self.by_wallet.get(wallet) {
                Some(peer) => begins(peer),
                None => self
                    .persistent
                    .iter()
                    .any(|(peer, persistent)| persistent.wallet == Some(*wallet) && begins(peer)),
            }
    }

    /// Notes who speaks for a wallet. Returns the peer that did before.
    pub(crate) fn bind(&mut self, wallet: Address, peer: &PeerId) -> Option<PeerId> {
        self.by_wallet.insert(wallet, peer.clone()).filter(|earlier| earlier != peer)
    }

    pub(crate) fn unbind(&mut self, wallet: &Address, peer: &PeerId) {
        if self.by_wallet.get(wallet) == Some(peer) {
            self.by_wallet.remove(wallet);
        }
    }

    /// Whether nothing more is taken from a peer.
    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.connected.get(peer).is_none_or(|connected| connected.is_banned)
    }

    /// A peer that broke a rule is not listened to any more, and not dialed again at once.
    pub(crate) fn ban(&mut self, peer: &PeerId) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.is_banned = true;
        }
        if let Some(persistent) = self.persistent.get_mut(peer) {
            persistent.failures = u32::BITS;
        }
    }

    /// A peer that is to be dialed anyway is dialed soon.
    pub(crate) fn dial_soon(&mut self, peer: &PeerId, now: Millis) {
        if let Some(next) = self.persistent.get_mut(peer).and_then(|peer| peer.next_dial.as_mut()) {
            *next = (*next).min(now.saturating_add(FIRST_RETRY));
        }
    }

    /// The dial has failed; it is tried again later.
    pub(crate) fn dial_failed(&mut self, peer: &PeerId, now: Millis) {
        if !self.connected.contains_key(peer)
            && let Some(persistent) = self.persistent.get_mut(peer)
        {
            persistent.back_off(now);
        }
    }

    /// Takes out the strangers above the limit: those whose time ends first.
    fn evict_strangers(&mut self) -> Vec<PeerId> {
        let strangers =
            self.connected.iter().filter_map(|(peer, it)| Some((it.stranger_until()?, peer.clone())));
        let mut strangers: Vec<_> = strangers.collect();
        strangers.sort_unstable();
        strangers.truncate(strangers.len().saturating_sub(MAX_STRANGERS));
        for (_, peer) in &strangers {
            // Its connections are being ended; it does not count as a stranger any more.
            if let Some(connected) = self.connected.get_mut(peer) {
                connected.prove_by = None;
            }
        }
        strangers.into_iter().map(|(_, peer)| peer).collect()
    }

    /// When the next dial or hello is due.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let dials = self.persistent.values().filter_map(|peer| peer.next_dial);
        dials.chain(self.connected.values().filter_map(|peer| peer.hello_at)).min()
    }

    /// A connected peer as users see it.
    pub fn describe(&self, peer: &PeerId) -> Option<Peer> {
        let connected = self.connected.get(peer)?;
        let address = connected.address().cloned().unwrap_or_default();
        let wallet = connected.session.wallet().map(Into::into);
        let requested = self.persistent.contains_key(peer);
        Some(Peer { peer_id: peer.to_string(), address, wallet, requested })
    }

    /// All connected peers, by peer id.
    pub fn all(&self) -> Vec<Peer> {
        let mut peers: Vec<_> = self.connected.keys().filter_map(|peer| self.describe(peer)).collect();
        peers.sort_by(|a, b| a.peer_id.cmp(&b.peer_id));
        peers
    }
}

/// A connection that was made.
pub(crate) struct NewConnection {
    pub(crate) peer: PeerId,
    pub(crate) id: ConnectionId,
    pub(crate) address: String,
    pub(crate) is_dialer: bool,
    pub(crate) request: Option<UserRequestId>,
}

impl Engine {
    /// `connect`: replies at once if there is a session already, or else has the addresses dialed; the reply then
    /// comes once both sides have proved who they are.
    pub(crate) fn connect(&mut self, request: UserRequestId, named: Option<PeerId>, addresses: Vec<String>) {
        if let Err(error) = self.require_ready() {
            return self.reply(request, Err(error));
        }
        let is_named = |peer: &PeerId| named.as_ref().is_none_or(|named| named == peer);
        let connected = self.peers.connected.iter().find_map(|(peer, connected)| {
            let mut at = connected.connections.values().map(|address| without_peer(address));
            let at = at.find(|at| addresses.iter().any(|address| address == at))?;
            (connected.session.is_open() && is_named(peer)).then(|| (peer.clone(), at.to_owned()))
        });
        let Some((peer, at)) = connected else {
            let dial = Dial::Requested { request, peer: named, addresses };
            return self.batch.effects.independent.dials.push(dial);
        };
        if let Some(connected) = self.peers.connected.get_mut(&peer) {
            connected.is_requested = true;
            connected.dialed.get_or_insert(at);
        }
        self.remember(&peer);
        self.batch.effects.connected.push((peer, vec![request]));
    }

    pub(crate) fn on_connected(&mut self, new: NewConnection) {
        let NewConnection { peer, id, address, is_dialer, request } = new;
        tracing::debug!(%peer, dialed = is_dialer, "connected");
        let connected = self.peers.connected.entry(peer.clone()).or_default();
        if is_dialer {
            connected.dialed = Some(address.clone());
        }
        connected.connections.insert(id, address);
        if connected.is_banned {
            // It comes back while its earlier connections are still being ended.
            self.batch.effects.independent.disconnects.push((peer.clone(), DisconnectReason::Banned));
        }
        connected.is_requested |= request.is_some();
        if !is_dialer {
            connected.prove_by.get_or_insert(self.now.saturating_add(PROVE_WITHIN));
        }
        let (is_open, is_silent) = (connected.session.is_open(), connected.session.is_none());
        if let Some(persistent) = self.peers.persistent.get_mut(&peer) {
            persistent.next_dial = None;
        }
        match request {
            Some(request) if is_open => {
                self.remember(&peer);
                self.batch.effects.connected.push((peer.clone(), vec![request]));
            }
            Some(request) => self.peers.waiting.push((peer.clone(), request)),
            None => {}
        }
        if !is_dialer {
            for stranger in self.peers.evict_strangers() {
                tracing::debug!(peer = %stranger, "too many nodes have not proved who they are");
                self.batch
                    .effects
                    .independent
                    .disconnects
                    .push((stranger, DisconnectReason::TooManyStrangers));
            }
        }
        if is_dialer && is_silent {
            self.say_hello(&peer);
        }
    }

    pub(crate) fn on_disconnected(&mut self, peer: &PeerId, connection: ConnectionId, others: u32) {
        let described = self.peers.describe(peer);
        let Some(connected) = self.peers.connected.get_mut(peer) else { return };
        connected.connections.remove(&connection);
        if others > 0 {
            return;
        }
        tracing::debug!(%peer, "disconnected");
        self.end_session(peer, "the connection was lost");
        self.peers.connected.remove(peer);
        self.peers.pending_handshakes.remove(peer);
        self.fail_waiting_for_session(peer, &connection_ended());
        if let Some(described) = described.filter(|peer| peer.wallet.is_some()) {
            self.notice(Notice::Disconnected(described));
        }
        if let Some(persistent) = self.peers.persistent.get_mut(peer) {
            persistent.back_off(self.now);
        }
    }

    /// Both sides have proved who they are.
    pub(crate) fn on_proved(&mut self, peer: &PeerId) {
        self.remember(peer);
        let ready = self.take_waiting_for_session(peer);
        self.batch.effects.connected.push((peer.clone(), ready));
        if let Some(described) = self.peers.describe(peer) {
            self.notice(Notice::Connected(described));
        }
    }

    /// Replies to `connect`, once it is on disk that the peer was asked for.
    pub(crate) fn reply_connected(&mut self, peer: &PeerId, requests: Vec<UserRequestId>) {
        for request in requests {
            let described = self.peers.describe(peer).ok_or_else(connection_ended);
            self.reply(request, described.map(Reply::Peer));
        }
    }

    /// Users who wait for a session with this peer learn that there will be none.
    pub(crate) fn fail_waiting_for_session(&mut self, peer: &PeerId, error: &ApiError) {
        for request in self.take_waiting_for_session(peer) {
            self.reply(request, Err(error.clone()));
        }
    }

    fn take_waiting_for_session(&mut self, peer: &PeerId) -> Vec<UserRequestId> {
        let waiting = std::mem::take(&mut self.peers.waiting);
        let (taken, left): (Vec<_>, _) = waiting.into_iter().partition(|(other, _)| other == peer);
        self.peers.waiting = left;
        taken.into_iter().map(|(_, request)| request).collect()
    }

    /// Remembers a peer that a user of this node asked for: it is dialed again whenever it is gone.
    fn remember(&mut self, peer: &PeerId) {
        let Some(connected) = self.peers.connected.get(peer) else { return };
        let earlier = self.peers.persistent.get(peer).map(|persistent| &persistent.address);
        if !connected.is_requested && earlier.is_none() {
            return;
        }
        // A peer that was asked for once is dialed by this side itself from then on.
        let Some(address) = connected.dialed.as_ref().or(earlier).cloned() else { return };
        let wallet = connected.session.wallet();
        let known = KnownPeer { peer_id: peer.to_string(), address: address.clone(), wallet };
        self.batch.writes.peers.push(known);
        let persistent = PersistentPeer { address, wallet, next_dial: None, failures: 0 };
        self.peers.persistent.insert(peer.clone(), persistent);
    }

    /// Ends the connections of peers that have had time enough to prove who they are.
    pub(crate) fn drop_unproved(&mut self) {
        let is_late = |connected: &ConnectedPeer| connected.stranger_until().is_some_and(|by| by <= self.now);
        let late = self.peers.connected.iter().filter(|(_, connected)| is_late(connected));
        let late: Vec<_> = late.map(|(peer, _)| peer.clone()).collect();
        for peer in late {
            tracing::debug!(%peer, "it has not proved who it is");
            self.batch.effects.independent.disconnects.push((peer, DisconnectReason::Unproved));
        }
    }

    /// Takes the cost of a refused request from the peer's budget. A peer that has spent its budget is banned.
    pub(crate) fn take_budget(&mut self, peer: &PeerId, cost: u32) {
        let Some(connected) = self.peers.connected.get_mut(peer) else { return };
        if connected.is_banned || connected.budget.0.try_take(cost, self.now) {
            return;
        }
        tracing::debug!(%peer, "it asks too much in vain, ending the connection");
        self.peers.ban(peer);
        self.batch.effects.independent.disconnects.push((peer.clone(), DisconnectReason::BudgetSpent));
    }

    /// Dials and greets every peer for which it is time.
    pub(crate) fn dial_due(&mut self) {
        let now = self.now;
        let is_due = |at: &Option<Millis>| at.is_some_and(|at| at <= now);
        for (peer, persistent) in &mut self.peers.persistent {
            if is_due(&persistent.next_dial) {
                persistent.next_dial = None;
                let dial = Dial::Remembered { peer: peer.clone(), address: persistent.address.clone() };
                self.batch.effects.independent.dials.push(dial);
            }
        }
        let due = self.peers.connected.iter_mut().filter(|(_, connected)| is_due(&connected.hello_at));
        let due: Vec<_> = due.map(|(peer, connected)| (connected.hello_at.take(), peer.clone()).1).collect();
        for peer in due {
            self.say_hello(&peer);
        }
    }
}

/// Doubles from one second to one minute.
pub(crate) fn retry_after(failures: u32) -> Millis {
    FIRST_RETRY.saturating_mul(1 << failures.min(6)).min(LAST_RETRY)
}

/// A multiaddr without the peer id at its end.
fn without_peer(address: &str) -> &str {
    match address.rsplit_once("/p2p/") {
        Some((address, peer)) if !peer.contains('/') => address,
        Some(_) | None => address,
    }
}

fn connection_ended() -> ApiError {
    let hint = "see the log of the other node, and connect again";
    ApiError::new(Code::PeerUnreachable, "the other node ended the connection", hint)
}

#[cfg(test)]
mod tests;
