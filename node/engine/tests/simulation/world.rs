//! The world of a simulation: virtual time, nodes with the shipped engine, batches, a chain, and deaths between any two
//! steps.

use std::collections::{BTreeMap, HashSet};

use thunder_api::{ApiResult, Code};
use thunder_engine::{
    ChainCommand, ChainEvent, ConnectionId, Dial, DisconnectReason, Event, InboundRequestId,
    OutboundRequestId, Outbox, PeerEvent, PeerId, Reply, UserRequestId,
};
use thunder_protocol::onchain::{CallFailure, CallKind, OnChain};
use thunder_protocol::wire::{Packet, Request, Response, SessionId};
use thunder_protocol::{Address, Amount, PaymentId, Signer};
use thunder_testing::Random;
use thunder_testing::chain::{Chain, Mined};

use crate::disk::{Disk, DiskFault};
use crate::network::Flight;
use crate::node::{CallWaiter, LASTS, Node};

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

/// One thing of an outbox, so that a node can die between any two of them.
enum Item {
    Chain(ChainCommand),
    Response(InboundRequestId, Response),
    Request(OutboundRequestId, PeerId, Request),
    Reply(UserRequestId, ApiResult<Reply>),
    Disconnect(PeerId, DisconnectReason),
    Dial(Dial),
}

fn items(outbox: Outbox) -> Vec<Item> {
    let Outbox { chain, responses, requests, replies, disconnects, dials } = outbox;
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
    /// Whether the user was told that it was not paid and never will be.
    pub(crate) is_refused: bool,
    /// Whether the user was told that it was not paid, when it was last ordered.
    pub(crate) is_unpaid: bool,
    /// When it was last ordered.
    pub(crate) last: UserRequestId,
}

/// The errors that say that nothing was paid.
const SAYS_UNPAID: [Code; 9] = [
    Code::WrongState,
    Code::NotConfirmed,
    Code::ChainUnreachable,
    Code::InsufficientBalance,
    Code::PaymentFailed,
    Code::PeerNotConnected,
    Code::PeerStopped,
    Code::ChannelClosing,
    Code::DataLost,
];

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) nodes: Vec<Node>,
    pub(crate) chain: Chain,
    crypto: Signer,
    /// The connection of two nodes, the lower number first, and its number at either.
    pub(crate) links: BTreeMap<(usize, usize), (ConnectionId, ConnectionId)>,
    pub(crate) flights: Vec<Flight>,
    /// Packets that were delivered, for [`Fault::SessionsMixedUp`]: to whom, and the last session of each two.
    pub(crate) delivered: Vec<(usize, Packet)>,
    pub(crate) sessions: BTreeMap<(usize, usize), SessionId>,
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
            chain: Chain::default(),
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
            it.disk.die_in_commit(is_written);
            let _ = batch.commit(&mut it.disk);
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
                if self.nodes[node].is_silent {
                    let (channel, kind) = (terms.channel, call.kind());
                    let reason = CallFailure::Unreachable("the endpoint does not answer".into());
                    return self.chain_event(node, ChainEvent::CallFailed { channel, kind, reason });
                }
                let from = self.nodes[node].wallet;
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

    fn on_reply(&mut self, node: usize, request: UserRequestId, reply: ApiResult<Reply>) {
        if self.fault == Some(Fault::ReplyLost) && self.random.one_in(20) {
            return;
        }
        let Some(CallWaiter::Pay(id)) = self.nodes[node].waiting.remove(&request) else { return };
        let order = self.orders.get_mut(&(node, id.clone())).unwrap();
        match reply {
            Ok(Reply::Paid(paid)) => {
                assert_eq!((&paid.id, paid.amount), (&id, order.amount), "a reply to another payment");
                let over = paid.channel.0;
                assert!(order.paid_over.is_none_or(|before| before == over), "{id} is paid twice");
                assert!(!order.is_refused, "{id} was refused for good, and is paid");
                (order.paid_over, order.is_unpaid) = (Some(over), false);
            }
            Ok(other) => panic!("a payment's reply is {other:?}"),
            Err(error) => {
                if error.code == Code::PaymentFailed {
                    assert_eq!(order.paid_over, None, "{id} was paid, and then has failed");
                    order.is_refused = true;
                }
                let is_unpaid = SAYS_UNPAID.contains(&error.code);
                order.is_unpaid |= is_unpaid && request == order.last;
                let is_lie = is_unpaid && order.paid_over.is_some() && !self.nodes[node].was_restored;
                assert!(!is_lie, "{id} was paid, and then: {error:?}");
            }
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

    fn chain_event(&mut self, node: usize, event: ChainEvent) {
        let now = self.now;
        self.nodes[node].handle(Event::Chain(event), now);
    }

    /// A node's guard reads the chain, unless its endpoint is silent. The state may be there before its events (G1).
    pub(crate) fn read_chain(&mut self, node: usize) {
        let (now, are_events_late) = (self.now, !self.is_well && self.random.one_in(3));
        self.nodes[node].read_chain(&self.chain, are_events_late, now);
        self.flush(node);
    }

    /// A node's endpoint falls silent, which the guard notices or not.
    pub(crate) fn silence(&mut self, node: usize) {
        self.nodes[node].is_silent = true;
        if self.random.one_in(2) {
            let stale =
                ChainEvent::ReadTimes { age: Some(LASTS + 1), lasts: LASTS, block_time: Some(12_000) };
            self.chain_event(node, stale);
        }
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
                self.chain_event(sender, ChainEvent::CallFailed { channel, kind, reason });
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
