//! Sessions: two nodes prove to each other for which wallets they speak, and only then exchange
//! messages about channels. A session has a number of its own; what carries another is dropped.

use libp2p::PeerId;
use libp2p::request_response::{self, OutboundRequestId};
use libp2p::swarm::SwarmEvent;
use thunder_api::{ApiError, Code};
use thunder_protocol::channel::PeerInput;
use thunder_protocol::wire::{
    Batch, Envelope, Hello, MAX_MESSAGES, PROTOCOL, Packet, Proof, Request, Response, SessionId, Welcome,
    WireError,
};
use thunder_protocol::{Address, B256, Crypto, Input, node_binding_digest};
use tokio::time::Instant;

use super::Daemon;
use super::execute::is_live;
use super::opening::is_awaited;
use super::patience::{PER_HANDSHAKE, PER_REFUSAL, PER_UNKNOWN};
use super::peers::retry_after;
use crate::keys;
use crate::p2p::{self, BehaviourEvent, Held, ResponseChannel};

/// How far two nodes have come.
#[derive(Debug, Default)]
pub(super) enum Session {
    /// Nothing was said.
    #[default]
    None,
    /// Hello was said, the welcome is awaited.
    Greeting { challenge: B256, request: OutboundRequestId },
    /// The other side has proved itself; the own proof is on its way.
    Proving { id: SessionId, wallet: Address, request: OutboundRequestId },
    /// Both sides have proved who they are.
    Open { id: SessionId, wallet: Address },
}

impl Session {
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    pub(super) const fn wallet(&self) -> Option<Address> {
        match self {
            Self::Open { wallet, .. } => Some(*wallet),
            Self::None | Self::Greeting { .. } | Self::Proving { .. } => None,
        }
    }
}

impl Daemon {
    /// Something happened in the network.
    pub(super) fn on_network(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Messages(event)) => self.on_exchange(event),
            SwarmEvent::Behaviour(BehaviourEvent::Local(event)) => self.on_discovery(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => {
                if let Err(error) = ping.result {
                    tracing::debug!(peer = %ping.peer, %error, "no answer to a ping");
                    self.swarm.close_connection(ping.connection);
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let address = endpoint.get_remote_address().clone();
                self.on_connected(peer_id, connection_id, address, endpoint.is_dialer());
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                self.on_disconnected(peer_id, connection_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::debug!(%address, "listening"),
            SwarmEvent::ListenerClosed { reason: Err(error), addresses, .. } => {
                tracing::error!(%error, ?addresses, "a listener is gone");
            }
            _ => {}
        }
    }

    fn on_exchange(&mut self, event: request_response::Event<Held<Request>, Held<Response>>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(peer, request.take(), channel);
            }
            Event::Message { peer, message: Message::Response { request_id, response }, .. } => {
                self.on_response(peer, request_id, response.take());
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                tracing::debug!(%peer, %error, "a request failed");
                if p2p::is_unsupported(&error) {
                    self.on_other_version(&peer);
                }
                self.on_request_failed(peer, request_id);
            }
            // What a response carried may be lost: a new session shows both sides where they stand.
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a response was not delivered");
                self.restart_session(peer, "a response was not delivered");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    // ---- proving ------------------------------------------------------------------------------

    /// Opens a session.
    pub(super) fn say_hello(&mut self, peer: PeerId) {
        let (Some(identity), Ok(challenge)) = (self.chain.identity, keys::random_bytes()) else { return };
        if self.peers.links.get(&peer).is_none_or(|link| link.session.is_open()) {
            return;
        }
        if self.wallet.is_none() || !self.chain.caught_up {
            self.hello_later(peer);
            return;
        }
        let challenge = B256::new(*challenge);
        let hello = Hello { chain_id: identity.chain_id, challenge };
        let request = self.swarm.behaviour_mut().messages.send_request(&peer, Request::Hello(hello).into());
        if let Some(link) = self.peers.links.get_mut(&peer) {
            link.hello_at = None;
            link.session = Session::Greeting { challenge, request };
        }
    }

    fn hello_later(&mut self, peer: PeerId) {
        if let Some(link) = self.peers.links.get_mut(&peer) {
            link.hello_at = Some(Instant::now() + retry_after(link.hello_failures));
            link.hello_failures += 1;
        }
    }

    fn prove(&self, peer: &PeerId, challenge: B256) -> Option<Proof> {
        let (wallet, identity) = (self.wallet.as_ref()?, self.chain.identity?);
        let digest =
            node_binding_digest(identity.chain_id, &self.own_id().to_bytes(), &peer.to_bytes(), challenge);
        Some(Proof { wallet: wallet.address, signature: wallet.signer.sign(&digest) })
    }

    fn check_proof(&self, peer: &PeerId, challenge: B256, proof: &Proof) -> bool {
        let (Some(wallet), Some(identity)) = (&self.wallet, self.chain.identity) else { return false };
        let digest =
            node_binding_digest(identity.chain_id, &peer.to_bytes(), &self.own_id().to_bytes(), challenge);
        proof.wallet != wallet.address && wallet.signer.verify(&digest, &proof.signature, &proof.wallet)
    }

    fn on_hello(&mut self, peer: PeerId, hello: &Hello) -> Response {
        let Some(identity) = self.chain.identity else { return Response::Error(WireError::NoChain) };
        if self.wallet.is_none() {
            return Response::Error(WireError::NoWallet);
        }
        if hello.chain_id != identity.chain_id {
            return Response::Error(WireError::OtherChain(identity.chain_id));
        }
        if !self.chain.caught_up {
            return Response::Error(WireError::NotReady);
        }
        // Both said hello at the same time: that of the node with the greater name counts.
        let greeting = self.peers.links.get(&peer).map(|link| &link.session);
        if matches!(greeting, Some(Session::Greeting { .. } | Session::Proving { .. }))
            && *self.own_id() > peer
        {
            return Response::Error(WireError::NotReady);
        }
        let (Ok(challenge), Some(proof)) = (keys::random_bytes(), self.prove(&peer, hello.challenge)) else {
            return Response::Error(WireError::NotReady);
        };
        let challenge = B256::new(*challenge);
        self.end_session(&peer, "the other side starts a new one");
        self.peers.expect_proof(peer, hello.challenge, challenge);
        Response::Welcome(Welcome { chain_id: identity.chain_id, challenge, proof })
    }

    fn on_prove(&mut self, peer: PeerId, proof: &Proof) -> Response {
        let Some((theirs, own)) = self.peers.take_expected(&peer) else {
            return Response::Error(WireError::NoSession);
        };
        if !self.check_proof(&peer, own, proof) {
            if self.may_say(None) {
                tracing::warn!(%peer, "a node's proof of its wallet is wrong");
            }
            return Response::Error(WireError::BadProof);
        }
        self.open_session(peer, SessionId::new(theirs, own), proof.wallet, false);
        Response::Proved
    }

    fn on_welcome(&mut self, peer: PeerId, own: B256, welcome: &Welcome) {
        if self.wallet_address() == Some(welcome.proof.wallet) {
            let hint = "every node needs a wallet of its own: import another one here or there";
            let message = "the other node uses the same wallet as this one";
            self.fail_proving(&peer, &ApiError::new(Code::PeerRefused, message, hint));
            return;
        }
        if !self.check_proof(&peer, own, &welcome.proof) {
            let hint = "make sure that the address is right, and see the log of the other node";
            let error =
                ApiError::new(Code::PeerRefused, "the other node's proof of its wallet is wrong", hint);
            self.fail_proving(&peer, &error);
            self.hello_later(peer);
            return;
        }
        let Some(proof) = self.prove(&peer, welcome.challenge) else { return };
        let request = self.swarm.behaviour_mut().messages.send_request(&peer, Request::Prove(proof).into());
        if let Some(link) = self.peers.links.get_mut(&peer) {
            let id = SessionId::new(own, welcome.challenge);
            link.session = Session::Proving { id, wallet: welcome.proof.wallet, request };
        }
    }

    fn open_session(&mut self, peer: PeerId, id: SessionId, wallet: Address, initiator: bool) {
        let Some(link) = self.peers.links.get_mut(&peer) else { return };
        link.session = Session::Open { id, wallet };
        link.hello_failures = 0;
        link.hello_at = None;
        if self.may_say(Some(&wallet)) {
            tracing::info!(%peer, %wallet, "connected with a node that speaks for this wallet");
        }
        if let Some(earlier) = self.peers.bind(wallet, peer) {
            // One session for each wallet: the newer node counts.
            self.end_session(&earlier, "another node speaks for this wallet now");
            self.peers.bind(wallet, peer);
        }
        self.on_proved(peer);
        for channel in self.channels.of_partner(&wallet).to_vec() {
            self.apply(channel, Input::Peer(PeerInput::Connected { initiator }));
        }
    }

    /// The session is over; messages that are still on their way are dropped.
    pub(super) fn end_session(&mut self, peer: &PeerId, why: &str) {
        let Some(link) = self.peers.links.get_mut(peer) else { return };
        let Session::Open { wallet, .. } = std::mem::take(&mut link.session) else { return };
        link.await_proof_anew();
        if self.may_say(Some(&wallet)) {
            tracing::info!(%peer, %wallet, "session over: {why}");
        }
        self.peers.unbind(&wallet, peer);
        self.fail_openings(&wallet);
        for channel in self.channels.of_partner(&wallet).to_vec() {
            self.apply(channel, Input::Peer(PeerInput::Disconnected));
        }
    }

    /// Something may have been lost: both sides show each other anew where they stand.
    fn restart_session(&mut self, peer: PeerId, why: &str) {
        if self.peers.links.get(&peer).is_some_and(|link| link.session.is_open()) {
            self.end_session(&peer, why);
            self.hello_later(peer);
        }
    }

    /// Ends the connection with a node that broke a rule.
    pub(super) fn end_connection(&mut self, wallet: &Address, why: &str) {
        // One packet may break a rule many times.
        let Some(peer) = self.peers.node_of(wallet).filter(|peer| !self.peers.is_sent_away(peer)) else {
            return;
        };
        if self.may_say(Some(wallet)) {
            tracing::warn!(%peer, %wallet, "MISBEHAVIOUR of the other side, ending the connection: {why}");
        }
        self.peers.keep_away(&peer);
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    /// Whether the log may have one more line about a node: always, if there is an open channel with
    /// it. Strangers are without number.
    pub(super) fn may_say(&mut self, wallet: Option<&Address>) -> bool {
        let channels = wallet.map_or(&[][..], |wallet| self.channels.of_partner(wallet));
        let mut slots = channels.iter().filter_map(|channel| self.channels.get(channel));
        // To ask for one costs nothing.
        slots.any(|slot| is_live(&slot.channel) && !is_awaited(&slot.channel))
            || self.peers.chatter.may_say(Instant::now())
    }

    /// Nothing of an earlier wallet or chain is left.
    pub(super) fn end_all_sessions(&mut self, why: &str) {
        for peer in self.peers.links.keys().copied().collect::<Vec<_>>() {
            self.end_session(&peer, why);
            self.say_hello(peer);
        }
    }

    // ---- exchanges ----------------------------------------------------------------------------

    fn on_request(&mut self, peer: PeerId, request: Request, channel: ResponseChannel) {
        if self.peers.is_sent_away(&peer) {
            return;
        }
        let response = match request {
            Request::Hello(hello) => {
                self.spend_patience(&peer, PER_HANDSHAKE);
                self.on_hello(peer, &hello)
            }
            Request::Prove(proof) => {
                self.spend_patience(&peer, PER_HANDSHAKE);
                self.on_prove(peer, &proof)
            }
            Request::Packet(packet) => match self.on_packet(peer, packet) {
                Ok(()) => {
                    // The response carries what there is to say once the batch is on disk.
                    self.after.respond.push((peer, channel));
                    return;
                }
                Err(error) => {
                    self.spend_patience(&peer, PER_REFUSAL);
                    Response::Error(error)
                }
            },
        };
        let _ = self.swarm.behaviour_mut().messages.send_response(channel, response.into());
    }

    fn on_response(&mut self, peer: PeerId, request: OutboundRequestId, response: Response) {
        let sent = self.asked.remove(&request);
        let session = self.peers.links.get(&peer).map(|link| &link.session);
        match (response, session) {
            (Response::Welcome(welcome), Some(Session::Greeting { challenge, request: sent }))
                if *sent == request =>
            {
                let own = *challenge;
                self.on_welcome(peer, own, &welcome);
            }
            (Response::Proved, Some(Session::Proving { id, wallet, request: sent })) if *sent == request => {
                let (id, wallet) = (*id, *wallet);
                self.open_session(peer, id, wallet, true);
            }
            (Response::Packet(packet), _) => {
                if let Some(sent) = sent {
                    self.metrics.answered(sent);
                }
                let _ = self.on_packet(peer, packet);
            }
            (Response::Error(error), _) => self.on_refused(peer, request, error),
            (Response::Welcome(_) | Response::Proved, _) => {}
        }
    }

    fn on_refused(&mut self, peer: PeerId, request: OutboundRequestId, error: WireError) {
        tracing::debug!(%peer, %error, "the other node refuses");
        match self.peers.links.get(&peer).map(|link| &link.session) {
            Some(Session::Greeting { request: sent, .. } | Session::Proving { request: sent, .. })
                if *sent == request => {}
            Some(Session::Open { .. }) => {
                return self.restart_session(peer, "the other side says that there is none");
            }
            Some(Session::None | Session::Greeting { .. } | Session::Proving { .. }) | None => return,
        }
        if let Some(link) = self.peers.links.get_mut(&peer) {
            link.session = Session::None;
        }
        let hint = match error {
            // It comes by itself.
            WireError::NotReady | WireError::NoSession => "",
            WireError::NoWallet => "connect again when the other side has a wallet",
            WireError::OtherChain(_) => "both nodes have to use the same chain: see --RPC",
            WireError::NoChain | WireError::BadProof | WireError::TooLarge => "see the log of the other node",
        };
        if !hint.is_empty() {
            self.fail_proving(&peer, &ApiError::new(Code::PeerRefused, error.to_string(), hint));
        }
        self.hello_later(peer);
    }

    /// The other side does not know a channel that is with it. Said once, however many there are in a
    /// packet.
    fn note_doubt(&self, wallet: &Address, messages: &[Envelope]) {
        let known = self.channels.of_partner(wallet);
        let mut doubted = messages.iter().filter_map(|envelope| match envelope {
            Envelope::UnknownChannel { channel } => Some(channel).filter(|channel| known.contains(channel)),
            Envelope::Channel { .. } | Envelope::Open(_) => None,
        });
        if let Some(channel) = doubted.next() {
            tracing::warn!(%channel, %wallet, "the other side does not know the channel");
        }
    }

    /// The other node is of a version that this one can't talk to; or no Thunder node at all.
    fn on_other_version(&mut self, peer: &PeerId) {
        if self.may_say(None) {
            tracing::warn!(%peer, "the node that answers does not speak {PROTOCOL}");
        }
        let message = format!("the other node does not speak {PROTOCOL}, the protocol of this one");
        let hint = "both sides need versions of thunderd with the same protocol";
        self.fail_proving(peer, &ApiError::new(Code::PeerRefused, message, hint));
    }

    fn on_request_failed(&mut self, peer: PeerId, request: OutboundRequestId) {
        self.asked.remove(&request);
        let Some(link) = self.peers.links.get_mut(&peer) else { return };
        match &link.session {
            Session::Greeting { request: sent, .. } | Session::Proving { request: sent, .. }
                if *sent == request =>
            {
                link.session = Session::None;
                self.hello_later(peer);
            }
            Session::Open { .. } => self.restart_session(peer, "a request failed"),
            Session::None | Session::Greeting { .. } | Session::Proving { .. } => {}
        }
    }

    fn on_packet(&mut self, peer: PeerId, packet: Packet) -> Result<(), WireError> {
        if packet.messages.len() > MAX_MESSAGES {
            return Err(WireError::TooLarge);
        }
        if let Some(Session::Proving { id, wallet, .. }) =
            self.peers.links.get(&peer).map(|link| &link.session)
            && *id == packet.session
        {
            // The other side has the proof, its word for it is still on the way.
            let (id, wallet) = (*id, *wallet);
            self.open_session(peer, id, wallet, true);
        }
        let Some(Session::Open { id, wallet, .. }) = self.peers.links.get(&peer).map(|link| &link.session)
        else {
            return Err(WireError::NoSession);
        };
        let (id, wallet) = (*id, *wallet);
        if id != packet.session {
            return Err(WireError::NoSession);
        }
        let is_unknown = |envelope: &Envelope| match envelope {
            Envelope::Channel { channel, .. } => self.channels.get(channel).is_none(),
            Envelope::UnknownChannel { .. } => true,
            Envelope::Open(_) => false,
        };
        if packet.messages.iter().any(is_unknown) {
            self.spend_patience(&peer, PER_UNKNOWN);
            self.note_doubt(&wallet, &packet.messages);
        }
        for envelope in packet.messages {
            if self.peers.is_sent_away(&peer) {
                break;
            }
            match envelope {
                Envelope::Channel { channel, message } => self.on_channel_message(wallet, channel, message),
                Envelope::Open(message) => self.on_open_message(wallet, message),
                Envelope::UnknownChannel { channel } => {
                    tracing::debug!(%channel, %wallet, "the other side does not know a channel");
                }
            }
        }
        Ok(())
    }

    /// Sends what is for each node, in the response to its request where there is one.
    pub(super) fn deliver(
        &mut self,
        send: Vec<(Address, Envelope)>,
        respond: Vec<(PeerId, ResponseChannel)>,
    ) {
        let mut outgoing: Vec<(PeerId, SessionId, Batch)> = Vec::new();
        for (wallet, envelope) in send {
            let Some(peer) = self.peers.node_of(&wallet) else { continue };
            let Some(Session::Open { id, .. }) = self.peers.links.get(&peer).map(|link| &link.session) else {
                continue;
            };
            let newest = outgoing.iter_mut().rev().find(|(to, _, _)| *to == peer);
            let left = match newest {
                Some((_, _, batch)) => batch.push(envelope).err().map(|envelope| *envelope),
                None => Some(envelope),
            };
            if let Some(envelope) = left {
                let mut batch = Batch::default();
                if batch.push(envelope).is_ok() {
                    outgoing.push((peer, *id, batch));
                }
            }
        }
        let mut undelivered = Vec::new();
        for (peer, channel) in respond {
            let Some(Session::Open { id, .. }) = self.peers.links.get(&peer).map(|link| &link.session) else {
                let _ = self
                    .swarm
                    .behaviour_mut()
                    .messages
                    .send_response(channel, Response::Error(WireError::NoSession).into());
                continue;
            };
            let position = outgoing.iter().position(|(to, _, _)| *to == peer);
            let batch = position.map(|position| outgoing.remove(position).2).unwrap_or_default();
            let messages = batch.into_messages();
            let packet = Packet { session: *id, messages };
            let sent =
                self.swarm.behaviour_mut().messages.send_response(channel, Response::Packet(packet).into());
            if let Err(Response::Packet(packet)) = sent.map_err(Held::take)
                && !packet.messages.is_empty()
            {
                undelivered.push((peer, packet));
            }
        }
        let packet = |session, batch: Batch| Packet { session, messages: batch.into_messages() };
        let requests = outgoing.into_iter().map(|(peer, session, batch)| (peer, packet(session, batch)));
        for (peer, packet) in requests.chain(undelivered) {
            let request =
                self.swarm.behaviour_mut().messages.send_request(&peer, Request::Packet(packet).into());
            self.asked.insert(request, Instant::now());
        }
    }
}
