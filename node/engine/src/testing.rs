//! A node for unit tests: an engine, a disk in memory, and other nodes of which there are only the keys.
//!
//! What those say is made by the tests.

use thunder_api::{ApiError, ApiResult, EndpointInfo, PayRequest, PaymentRequest, Selector};
use thunder_protocol::channel::{Context, PeerInput};
use thunder_protocol::onchain::{CallKind, ChainClosing, ChainView, ClosingEvent, EventPosition, OnChain};
use thunder_protocol::wire::{
    Envelope, Hello, Message, OpenAccept, OpenAsk, OpenMessage, Packet, Proof, Request, Response, SessionId,
};
use thunder_protocol::{
    Address, Amount, B256, Balances, ChainIdentity, Channel, Contracts, Crypto, Input, Memo, Nonce,
    PaymentId, Role, Signer, node_binding_digest,
};

use crate::{
    AcceptPolicy, ChainCommand, ChainEvent, ConnectionId, Engine, EngineConfig, EngineStart, Event,
    InboundRequestId, Notice, Outbox, PeerEvent, PeerId, Reply, UserCommand, UserRequestId,
};
use disk::Disk;

#[path = "../tests/simulation/disk.rs"]
#[expect(dead_code, reason = "the simulation has more use for it")]
pub(crate) mod disk;

pub(crate) const CHAIN: ChainIdentity = ChainIdentity { chain_id: 31337, genesis: B256::repeat_byte(7) };
pub(crate) const CONTRACTS: Contracts =
    Contracts { token: Address::repeat_byte(1), factory: Address::repeat_byte(2) };
/// The block up to which the chain is read.
pub(crate) const HEAD: u64 = 100;
/// The number of the node under test: there are peer ids below and above its own.
const OWN: u8 = 100;

pub(crate) fn thd(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Another node.
pub(crate) struct Remote {
    pub(crate) id: PeerId,
    pub(crate) signer: Signer,
    /// Its side of the channel, once there is one.
    pub(crate) channel: Option<Channel>,
}

impl Remote {
    pub(crate) fn new(number: u8) -> Self {
        let signer = Signer::new(&[number; 32], &[3; 32]).unwrap();
        Self { id: PeerId::new(&[number], &format!("peer-{number}")), signer, channel: None }
    }

    /// A node with the peer id and the wallet of the node under test.
    pub(crate) fn own() -> Self {
        Self::new(OWN)
    }

    pub(crate) fn wallet(&self) -> Address {
        self.signer.address()
    }

    /// The proof for another node, on its challenge.
    pub(crate) fn proof(&self, to: &PeerId, challenge: B256) -> Proof {
        let digest = node_binding_digest(CHAIN.chain_id, self.id.as_bytes(), to.as_bytes(), challenge);
        Proof { wallet: self.wallet(), signature: self.signer.sign(&digest) }
    }

    /// The terms of a channel that this node would open with the node under test.
    pub(crate) fn ask(&self, half: u8) -> OpenAsk {
        OpenAsk {
            half_a: B256::repeat_byte(half),
            amount: thd("10"),
            share_a: thd("10"),
            share_b: Amount::ZERO,
            chain_id: CHAIN.chain_id,
            token: CONTRACTS.token,
            factory: CONTRACTS.factory,
            part_a: self.wallet(),
        }
    }

    /// Its side of the channel gets an input. Returns what it sends.
    pub(crate) fn apply(&mut self, input: Input, now: u64) -> Vec<Message> {
        let context = Context {
            crypto: &self.signer,
            now,
            head: Some(HEAD),
            chain_fresh: true,
            confirmations: 1,
            auto_challenge: true,
        };
        let applied = self.channel.take().unwrap().apply(input, &context);
        self.channel = Some(applied.channel);
        applied.effects.send
    }
}

/// The node under test.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) disk: Disk,
    pub(crate) now: u64,
    /// What has happened with the last batch.
    pub(crate) notices: Vec<Notice>,
    /// The last number of a connection, a request or a user's command.
    last: u64,
}

impl Node {
    /// A node without wallet and chain.
    pub(crate) fn blank(disk: Disk) -> Self {
        let settings = EngineConfig {
            own_id: Remote::own().id,
            contracts: CONTRACTS,
            rpc: "the chain".into(),
            confirmations: None,
            auto_challenge: true,
            accept: AcceptPolicy::DEFAULT,
        };
        let now = 1_000_000;
        let start = EngineStart { settings, chain: None, peers: Vec::new(), seed: [5; 32], now };
        Self {
            engine: Engine::new(start, Box::new(disk.clone())).unwrap(),
            disk,
            now,
            notices: Vec::new(),
            last: 0,
        }
    }

    /// A node that is ready for other nodes and for commands.
    pub(crate) fn new() -> Self {
        Self::on(Disk::new(None))
    }

    /// The same with what is on this disk.
    pub(crate) fn on(disk: Disk) -> Self {
        let mut node = Self::blank(disk);
        node.engine.set_wallet(Remote::own().signer, node.now);
        node.find_chain();
        let _ = node.read();
        node
    }

    pub(crate) fn find_chain(&mut self) {
        let endpoint = EndpointInfo { rpc: "the chain".into(), connected: true, block: None, trouble: None };
        for event in [
            ChainEvent::ChainSelected(CHAIN),
            ChainEvent::Contracts(Ok(())),
            ChainEvent::Endpoints(vec![endpoint]),
        ] {
            let _ = self.chain(event);
        }
    }

    /// The chain is read to its end.
    pub(crate) fn read(&mut self) -> Outbox {
        let _ = self.chain(ChainEvent::ReadTimes { age: Some(0), lasts: 60_000, block_time: Some(12_000) });
        self.chain(ChainEvent::BlockRead { head: HEAD })
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Ends the batch, and has the disk take it or refuse it.
    pub(crate) fn finish(&mut self) -> Outbox {
        let mut batch = self.engine.finish_batch();
        self.notices = batch.take_notices();
        match batch.commit(&mut self.disk) {
            Ok(committed) => self.engine.committed(committed),
            Err(refused) => self.engine.refused(refused),
        }
    }

    pub(crate) fn handle(&mut self, event: Event) -> Outbox {
        self.engine.handle(event, self.now);
        self.finish()
    }

    pub(crate) fn chain(&mut self, event: ChainEvent) -> Outbox {
        self.handle(Event::Chain(event))
    }

    pub(crate) fn view(&mut self, channel: Address, status: OnChain) -> Outbox {
        let newest = Some(EventPosition { block: HEAD - 1, tx: Some(B256::ZERO) });
        self.chain(ChainEvent::View { channel, view: ChainView { head: HEAD, newest, status } })
    }

    /// A user's command. Returns its number, too.
    pub(crate) fn command(&mut self, command: UserCommand) -> (UserRequestId, Outbox) {
        let request = UserRequestId(self.next());
        (request, self.handle(Event::Command(request, command)))
    }

    /// Time passes, and the deadlines in it are met.
    pub(crate) fn wait(&mut self, millis: u64) -> Outbox {
        self.now += millis;
        self.handle(Event::Deadline)
    }

    pub(crate) fn connect(
        &mut self,
        remote: &Remote,
        is_dialer: bool,
        request: Option<UserRequestId>,
    ) -> Outbox {
        let connection = ConnectionId(self.next());
        let (peer, address) = (remote.id.clone(), format!("/ip4/127.0.0.1/tcp/{}", remote.id));
        self.handle(Event::Peer(PeerEvent::Connected { peer, connection, address, is_dialer, request }))
    }

    /// A request of another node. Returns its response, if it gets one.
    pub(crate) fn request(&mut self, remote: &Remote, request: Request) -> Option<Response> {
        let id = InboundRequestId(self.next());
        let outbox = self.handle(Event::Peer(PeerEvent::Request { peer: remote.id.clone(), id, request }));
        let mut responses = outbox.responses.into_iter().filter(|(to, _)| *to == id);
        responses.next().map(|(_, response)| response)
    }

    pub(crate) fn hello(&mut self, remote: &Remote, challenge: B256) -> Option<Response> {
        self.request(remote, Request::Hello(Hello { chain_id: CHAIN.chain_id, challenge }))
    }

    /// The other node dials and proves for which wallet it speaks.
    pub(crate) fn open_session(&mut self, remote: &Remote) -> SessionId {
        let _ = self.connect(remote, false, None);
        let challenge = B256::repeat_byte(0x11);
        let Some(Response::Welcome(welcome)) = self.hello(remote, challenge) else { panic!("no welcome") };
        let proof = remote.proof(&Remote::own().id, welcome.challenge);
        assert_eq!(self.request(remote, Request::Prove(proof)), Some(Response::Proved));
        SessionId::new(challenge, welcome.challenge)
    }

    pub(crate) fn session(&self, remote: &Remote) -> Option<SessionId> {
        Some(self.engine.peers.connected.get(&remote.id)?.session.open()?.id)
    }

    /// Messages of another node, in its session. Returns those in the response.
    pub(crate) fn messages(&mut self, remote: &Remote, messages: Vec<Envelope>) -> Vec<Envelope> {
        let session = self.session(remote).unwrap();
        match self.request(remote, Request::Packet(Packet { session, messages })) {
            Some(Response::Packet(packet)) => packet.messages,
            other => panic!("no packet: {other:?}"),
        }
    }

    /// A channel of 10 THD, all of them this node's, that is ACTIVE on both sides.
    pub(crate) fn open_channel(&mut self, remote: &mut Remote) -> Address {
        let request = thunder_api::OpenRequest {
            amount: thd("10"),
            deposit: None,
            peer: None,
            accept_short_period: false,
        };
        let (_, outbox) = self.command(UserCommand::Open { request, partner: remote.wallet() });
        let [Envelope::Open(OpenMessage::Ask(ask))] = &sent(&outbox)[..] else {
            panic!("no ask: {outbox:?}")
        };
        let part_b = remote.wallet();
        let accept = OpenAccept { half_a: ask.half_a, half_b: B256::repeat_byte(0x22), part_b };
        self.messages(remote, vec![Envelope::Open(OpenMessage::Accept(accept))]);
        let (address, entry) = self.engine.channels.newest_first().next().unwrap();
        let (address, mut terms) = (*address, entry.terms().clone());
        terms.role = terms.role.other();
        let paid_in = terms.shares;
        remote.channel = Some(Channel::accept(terms).channel);
        let status = OnChain::Active { paid_in };
        let newest = Some(EventPosition { block: HEAD - 1, tx: Some(B256::ZERO) });
        let view = ChainView { head: HEAD, newest, status };
        remote.apply(Input::Chain(thunder_protocol::channel::ChainInput::View(view)), self.now);
        let outbox = self.view(address, status);
        let from_remote = remote.apply(Input::Peer(PeerInput::Connected { initiator: true }), self.now);
        self.exchange(remote, address, from_remote, sent(&outbox));
        address
    }

    /// Delivers messages about the channel both ways, until nobody has anything more to say.
    pub(crate) fn exchange(
        &mut self,
        remote: &mut Remote,
        channel: Address,
        mut from_remote: Vec<Message>,
        to_remote: Vec<Envelope>,
    ) {
        let mut to_remote = to_remote;
        while !from_remote.is_empty() || !to_remote.is_empty() {
            for envelope in std::mem::take(&mut to_remote) {
                let Envelope::Channel { message, .. } = envelope else { continue };
                let input = PeerInput::Message { message, repeated: Vec::new() };
                from_remote.extend(remote.apply(Input::Peer(input), self.now));
            }
            for message in std::mem::take(&mut from_remote) {
                to_remote.extend(self.messages(remote, vec![Envelope::Channel { channel, message }]));
            }
        }
    }
}

/// The messages of the packets that are sent as requests.
pub(crate) fn sent(outbox: &Outbox) -> Vec<Envelope> {
    let packets = outbox.requests.iter().filter_map(|(_, _, request)| match request {
        Request::Packet(packet) => Some(packet.messages.clone()),
        Request::Hello(_) | Request::Prove(_) => None,
    });
    packets.flatten().collect()
}

/// The reply to a user's command, if there is one.
pub(crate) fn reply(outbox: &Outbox, request: UserRequestId) -> Option<&ApiResult<Reply>> {
    let mut replies = outbox.replies.iter().filter(|(to, _)| *to == request);
    let reply = replies.next().map(|(_, reply)| reply);
    assert!(replies.next().is_none(), "two replies to one command");
    reply
}

/// The error that a user's command is answered with.
pub(crate) fn error(outbox: &Outbox, request: UserRequestId) -> &ApiError {
    match reply(outbox, request) {
        Some(Err(error)) => error,
        other => panic!("no error: {other:?}"),
    }
}

/// An order to pay 1 THD.
pub(crate) fn pay(id: &str) -> UserCommand {
    let id = Some(PaymentId::new(id).unwrap());
    let payment = PaymentRequest { amount: thd("1"), memo: Memo::default(), id };
    UserCommand::Pay(PayRequest { channel: Selector::default(), payment })
}

/// A node with an ACTIVE channel with another node.
pub(crate) fn with_channel() -> (Node, Remote, Address) {
    let (mut node, mut remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    let channel = node.open_channel(&mut remote);
    (node, remote, channel)
}

/// A payment that both sides have signed.
pub(crate) fn paid(node: &mut Node, remote: &mut Remote, channel: Address, id: &str) {
    let (_, outbox) = node.command(pay(id));
    let answer = answers(node, remote, &outbox);
    node.exchange(remote, channel, answer, Vec::new());
}

/// What the other node answers to the messages in the outbox.
pub(crate) fn answers(node: &Node, remote: &mut Remote, outbox: &Outbox) -> Vec<Message> {
    let apply = |envelope| match envelope {
        Envelope::Channel { message, .. } => {
            let input = PeerInput::Message { message, repeated: Vec::new() };
            remote.apply(Input::Peer(input), node.now)
        }
        other => panic!("not of a channel: {other:?}"),
    };
    sent(outbox).into_iter().flat_map(apply).collect()
}

/// The other side closes on receipt 0.
pub(crate) fn old_closing() -> ChainClosing {
    let balances = Balances { a: thd("10"), b: Amount::ZERO };
    let event = ClosingEvent { base_nonce: Nonce::ZERO, by_proposal: false, tx: B256::ZERO };
    ChainClosing {
        closer: Role::B,
        nonce: Nonce::ZERO,
        balances,
        block: HEAD - 1,
        paid_in: Some(balances),
        event: Some(event),
    }
}

/// The contract calls that are ordered.
pub(crate) fn calls(outbox: &Outbox) -> Vec<CallKind> {
    let call = |command: &ChainCommand| match command {
        ChainCommand::Submit(call) => Some(call.1.kind()),
        _ => None,
    };
    outbox.chain.iter().filter_map(call).collect()
}
