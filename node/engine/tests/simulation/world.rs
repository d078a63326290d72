//! The world of a simulation: virtual time, nodes with the shipped engine, a network that delays, reorders and breaks,
//! a chain, and deaths between any two steps.

use std::collections::{BTreeMap, HashSet};

use thunder_api::ApiResult;
use thunder_engine::{
    ChainCommand, ChainEvent, ConnectionId, Dial, DisconnectReason, Event, InboundId, OutboundId, Outbox,
    PeerEvent, PeerId, Reply, RequestId,
};
use thunder_protocol::onchain::{CallFailure, CallKind, OnChain};
use thunder_protocol::wire::{Packet, Request, Response, SessionId};
use thunder_protocol::{Address, Amount, PaymentId, Signer};

use crate::chain::{Chain, Mined};
use crate::disk::{Disk, DiskFault, Dying};
use crate::node::{Node, Waiting};
use crate::random::Random;

/// What may be wrong with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What is sent is sent before the disk has it.
    SendBeforeCommit,
    /// A batch is written in two steps.
    BatchInTwoSteps,
    /// A reply is lost.
    ReplyLost,
    /// Packets of one peer's session are taken for another's.
    SessionsMixedUp,
    /// A node whose disk refuses a batch goes on as if it had taken it.
    RefusedBatchSent,
}

/// Something on its way between two nodes.
#[derive(Debug, Clone)]
enum Flight {
    Request { from: usize, to: usize, id: OutboundId, request: Request },
    Response { from: usize, to: usize, id: OutboundId, response: Response },
}

impl Flight {
    const fn is_between(&self, a: usize, b: usize) -> bool {
        let (Self::Request { from, to, .. } | Self::Response { from, to, .. }) = self;
        (*from == a && *to == b) || (*from == b && *to == a)
    }
}

/// One thing of an outbox, so that a node can die between any two of them.
enum Item {
    Chain(ChainCommand),
    Response(InboundId, Response),
    Request(OutboundId, PeerId, Request),
    Reply(RequestId, ApiResult<Reply>),
    Disconnect(PeerId, DisconnectReason),
    Dial(Dial),
}

fn items(outbox: Outbox) -> Vec<Item> {
    let Outbox { chain, responses, requests, replies, notices: _, disconnects, dials } = outbox;
    let chain = chain.into_iter().map(Item::Chain);
    let responses = responses.into_iter().map(|(id, response)| Item::Response(id, response));
    let requests = requests.into_iter().map(|(id, peer, request)| Item::Request(id, peer, request));
    let replies = replies.into_iter().map(|(request, reply)| Item::Reply(request, reply));
    let disconnects = disconnects.into_iter().map(|(peer, why)| Item::Disconnect(peer, why));
    let dials = dials.into_iter().map(Item::Dial);
    chain.chain(responses).chain(requests).chain(replies).chain(disconnects).chain(dials).collect()
}

/// A payment that a user has ordered.
#[derive(Debug, Clone)]
pub(crate) struct RequestedPayment {
    pub(crate) amount: Amount,
    /// The channel over which the user was told that it was paid.
    pub(crate) paid_over: Option<Address>,
    /// Whether the user was told, last, that it was not paid and never will be.
    pub(crate) is_refused: bool,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) nodes: Vec<Node>,
    pub(crate) chain: Chain,
    crypto: Signer,
    /// The connection of two nodes, the lower number first, and its number at either.
    links: BTreeMap<(usize, usize), (ConnectionId, ConnectionId)>,
    flights: Vec<Flight>,
    /// Packets that were delivered, for [`Fault::SessionsMixedUp`]: to whom, and the last session of each two.
    delivered: Vec<(usize, Packet)>,
    sessions: BTreeMap<(usize, usize), SessionId>,
    /// The payments that users have ordered, by payer.
    pub(crate) orders: BTreeMap<(usize, PaymentId), RequestedPayment>,
    pub(crate) fault: Option<Fault>,
    /// Nothing goes wrong any more.
    pub(crate) is_well: bool,
    pub(crate) deaths: u64,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: u8, fault: Option<Fault>) -> Self {
        let disk_fault = match fault {
            Some(Fault::SendBeforeCommit) => Some(DiskFault::Unsynced),
            Some(Fault::BatchInTwoSteps) => Some(DiskFault::Torn),
            Some(Fault::RefusedBatchSent) => Some(DiskFault::IgnoresRefusal),
            _ => None,
        };
        let mut world = Self {
            now: 1_700_000_000_000,
            random: Random::new(seed),
            nodes: (0..nodes).map(|number| Node::new(number, Disk::new(disk_fault))).collect(),
            chain: Chain::new(),
            crypto: Signer::new(&[0x77; 32], &[1; 32]).unwrap(),
            links: BTreeMap::new(),
            flights: Vec::new(),
            delivered: Vec::new(),
            sessions: BTreeMap::new(),
            orders: BTreeMap::new(),
            fault,
            is_well: false,
            deaths: 0,
        };
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world
    }

    pub(crate) fn start(&mut self, node: usize) {
        let now = self.now;
        self.nodes[node].start(now);
        self.flush(node);
        self.read_chain(node);
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.deaths += 1;
        self.nodes[node].die();
        for other in 0..self.nodes.len() {
            self.disconnect(node, other);
        }
    }

    fn dies(&mut self) -> bool {
        !self.is_well && self.random.one_in(150)
    }

    // ---- batches ------------------------------------------------------------------------------

    /// Ends a node's batch, as the daemon does.
    pub(crate) fn flush(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].has_batch) {
            return;
        }
        let (before, is_written) = (self.dies(), self.random.one_in(2));
        let it = &mut self.nodes[node];
        let Some(engine) = &mut it.engine else { return };
        let batch = engine.finish_batch();
        if before {
            let _ = batch.commit(&mut Dying { disk: &mut it.disk, is_written });
            return self.kill(node);
        }
        let outbox = match batch.commit(&mut it.disk) {
            Ok(committed) => engine.committed(committed),
            Err(refused) => engine.refused(refused),
        };
        it.collect_evidence();
        for item in items(outbox) {
            if self.dies() {
                return self.kill(node);
            }
            self.carry_out(node, item);
        }
        self.nodes[node].inbound.clear();
        if self.random.one_in(3) {
            self.nodes[node].disk.sync();
        }
    }

    pub(crate) fn flush_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.flush(node));
    }

    fn carry_out(&mut self, node: usize, item: Item) {
        match item {
            Item::Chain(ChainCommand::Submit(submission)) => {
                let (terms, call) = *submission;
                let from = self.nodes[node].wallet;
                // A cheat punishes nobody.
                self.chain.submit(from, terms, call, &mut self.random);
            }
            Item::Chain(command) => self.nodes[node].watch(&command),
            Item::Response(id, response) => {
                let Some((to, id)) = self.nodes[node].inbound.remove(&id) else { return };
                self.flights.push(Flight::Response { from: node, to, id, response });
            }
            Item::Request(id, peer, request) => match self.number_of(&peer) {
                Some(to) if self.is_connected(node, to) => {
                    self.flights.push(Flight::Request { from: node, to, id, request });
                }
                _ => {
                    let failed = PeerEvent::RequestFailed { peer, id, is_unsupported: false };
                    self.peer_event(node, failed);
                }
            },
            Item::Reply(request, reply) => self.on_reply(node, request, reply),
            Item::Disconnect(peer, why) => {
                if let Some(other) = self.number_of(&peer) {
                    let is_honest = !self.nodes[other].is_cheat && !self.nodes[node].is_cheat;
                    assert!(
                        why != DisconnectReason::Misbehaviour || !is_honest,
                        "node {node} takes honest node {other} for a cheat"
                    );
                    self.disconnect(node, other);
                }
            }
            Item::Dial(Dial::Remembered { peer, .. }) => self.connect(node, &peer, None),
            Item::Dial(Dial::Requested { request, peer, .. }) => {
                if let Some(peer) = peer {
                    self.connect(node, &peer, Some(request));
                }
            }
        }
    }

    fn on_reply(&mut self, node: usize, request: RequestId, reply: ApiResult<Reply>) {
        if self.fault == Some(Fault::ReplyLost) && self.random.one_in(20) {
            return;
        }
        let Some(Waiting::Pay(id)) = self.nodes[node].waiting.remove(&request) else { return };
        let order = self.orders.get_mut(&(node, id.clone())).unwrap();
        match reply {
            Ok(Reply::Paid(paid)) => {
                assert_eq!((&paid.id, paid.amount), (&id, order.amount), "a reply to another payment");
                let over = paid.channel.0;
                assert!(order.paid_over.is_none_or(|before| before == over), "{id} is paid twice");
                assert!(!order.is_refused, "{id} was refused for good, and is paid");
                order.paid_over = Some(over);
            }
            Ok(other) => panic!("a payment's reply is {other:?}"),
            Err(error) if error.code == thunder_api::Code::PaymentFailed => {
                assert_eq!(order.paid_over, None, "{id} was paid, and then has failed");
                order.is_refused = true;
            }
            Err(_) => {}
        }
    }

    // ---- the network --------------------------------------------------------------------------

    fn number_of(&self, peer: &PeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer_id == *peer)
    }

    pub(crate) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&(a.min(b), a.max(b)))
    }

    fn peer_event(&mut self, node: usize, event: PeerEvent) {
        let now = self.now;
        self.nodes[node].handle(Event::Peer(event), now);
    }

    /// A node dials another.
    pub(crate) fn connect(&mut self, from: usize, peer: &PeerId, request: Option<RequestId>) {
        let Some(to) = self.number_of(peer) else { return };
        if from == to || self.is_connected(from, to) {
            return;
        }
        if !self.nodes[from].is_alive() || !self.nodes[to].is_alive() {
            return self.peer_event(from, PeerEvent::DialFailed { peer: peer.clone() });
        }
        let ends = [from, to].map(|node| self.nodes[node].next_connection());
        let (low, high) = if from < to { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        self.links.insert((from.min(to), from.max(to)), (low, high));
        for (node, other, connection, is_dialer) in [(from, to, ends[0], true), (to, from, ends[1], false)] {
            let peer = self.nodes[other].peer_id.clone();
            let address = format!("/node/{other}");
            let request = request.filter(|_| is_dialer);
            self.peer_event(node, PeerEvent::Connected { peer, connection, address, is_dialer, request });
        }
    }

    /// A connection breaks; what is on its way is lost.
    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        let Some((low, high)) = self.links.remove(&(a.min(b), a.max(b))) else { return };
        let (lost, left): (Vec<_>, Vec<_>) =
            self.flights.drain(..).partition(|flight| flight.is_between(a, b));
        self.flights = left;
        for flight in lost {
            match flight {
                Flight::Request { from, to, id, .. } => {
                    let peer = self.nodes[to].peer_id.clone();
                    self.peer_event(from, PeerEvent::RequestFailed { peer, id, is_unsupported: false });
                }
                Flight::Response { from, to, id, .. } => {
                    let [responder, requester] = [from, to].map(|node| self.nodes[node].peer_id.clone());
                    self.peer_event(from, PeerEvent::ResponseFailed { peer: requester });
                    let failed = PeerEvent::RequestFailed { peer: responder, id, is_unsupported: false };
                    self.peer_event(to, failed);
                }
            }
        }
        for (node, other, connection) in [(a.min(b), a.max(b), low), (a.max(b), a.min(b), high)] {
            let peer = self.nodes[other].peer_id.clone();
            self.peer_event(node, PeerEvent::Disconnected { peer, connection, others: 0 });
        }
    }

    /// One of the oldest things on their way arrives.
    pub(crate) fn deliver(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = if self.is_well { 0 } else { self.random.index(self.flights.len().min(3)) };
        match self.flights.remove(at) {
            Flight::Request { from, to, id: theirs, request } => {
                if let Request::Packet(packet) = &request {
                    self.sessions.insert((from, to), packet.session);
                    if self.fault == Some(Fault::SessionsMixedUp) && !packet.messages.is_empty() {
                        self.delivered.push((to, packet.clone()));
                    }
                }
                let id = InboundId(self.nodes[to].next_number());
                self.nodes[to].inbound.insert(id, (from, theirs));
                let peer = self.nodes[from].peer_id.clone();
                self.peer_event(to, PeerEvent::Request { peer, id, request });
                // The daemon's batches are of several events, or of one.
                if self.random.one_in(2) || self.is_well {
                    self.flush(to);
                }
            }
            Flight::Response { from, to, id, response } => {
                let peer = self.nodes[from].peer_id.clone();
                self.peer_event(to, PeerEvent::Response { peer, id, response });
                if self.random.one_in(2) || self.is_well {
                    self.flush(to);
                }
            }
        }
        if self.fault == Some(Fault::SessionsMixedUp) && self.random.one_in(4) {
            self.mix_up();
        }
    }

    /// What a node does that mixes up its sessions: it takes a packet of one peer for another's.
    fn mix_up(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let (to, mut packet) = self.delivered.swap_remove(self.random.index(self.delivered.len()));
        let from = self.random.index(self.nodes.len());
        let Some(session) = self.sessions.get(&(from, to)).filter(|_| self.is_connected(from, to)) else {
            return;
        };
        packet.session = *session;
        let request = Request::Packet(packet);
        self.flights.push(Flight::Request { from, to, id: OutboundId(u64::MAX), request });
    }

    pub(crate) fn deliver_all(&mut self) {
        for _ in 0..2000 {
            self.flush_all();
            if self.flights.is_empty() {
                return;
            }
            self.deliver();
        }
    }

    // ---- time and the chain -------------------------------------------------------------------

    pub(crate) fn pass_time(&mut self, millis: u64) {
        self.now += millis;
        let now = self.now;
        for node in &mut self.nodes {
            if node.engine.as_ref().is_some_and(|engine| engine.next_deadline() <= now) {
                node.handle(Event::Deadline, now);
            }
        }
    }

    pub(crate) fn read_chain(&mut self, node: usize) {
        let now = self.now;
        self.nodes[node].read_chain(&self.chain, now);
        self.flush(node);
    }

    pub(crate) fn mine(&mut self) {
        self.chain.mine(&self.crypto, &mut self.random);
        for Mined { transaction, has_failed } in self.chain.mined().to_vec() {
            let sender = self.nodes.iter().position(|node| node.wallet == transaction.from).unwrap();
            let (channel, kind) = (transaction.terms.channel, transaction.call.kind());
            // What another has brought about meanwhile has not failed.
            let stands = match self.chain.view(&channel).status {
                OnChain::Missing | OnChain::Closed { .. } => false,
                OnChain::Empty { .. } => matches!(kind, CallKind::Fund | CallKind::Cancel),
                OnChain::Active { .. } => kind == CallKind::Close,
                OnChain::Closing(_) => matches!(kind, CallKind::Challenge | CallKind::Withdraw),
            };
            if has_failed && stands {
                let reason = CallFailure::Refused("the contract refuses it".into());
                let (now, failed) = (self.now, ChainEvent::CallFailed { channel, kind, reason });
                self.nodes[sender].handle(Event::Chain(failed), now);
            }
        }
    }

    pub(crate) fn reorganise(&mut self) {
        let depth = 1 + self.random.below(2);
        let first = self.chain.reorganise(depth, &mut self.random);
        let now = self.now;
        self.nodes.iter_mut().for_each(|node| node.reorganise(first, now));
    }

    /// The nodes that are no cheats.
    pub(crate) fn honest(&self) -> HashSet<usize> {
        (0..self.nodes.len()).filter(|node| !self.nodes[*node].is_cheat).collect()
    }

    pub(crate) fn node_of(&self, wallet: &Address) -> usize {
        self.nodes.iter().position(|node| node.wallet == *wallet).unwrap()
    }
}
