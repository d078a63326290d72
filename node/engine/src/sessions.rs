//! `impl Engine`: sessions, in which two nodes prove to each other for which wallets they speak.
//!
//! Only then do they exchange messages about channels. A session has a number of its own; a packet with another
//! number is dropped.
//!
//! The side that dials says hello ([`HelloSent`]), gets a welcome with the other side's proof, and sends its own
//! ([`ProofSent`]); the other side awaits it ([`PendingHandshake`]). Then the session is [open](OpenSession).

use thunder_api::{ApiError, Code};
use thunder_protocol::channel::PeerInput;
use thunder_protocol::wire::{Hello, PROTOCOL, Proof, Request, Response, SessionId, Welcome, WireError};
use thunder_protocol::{Address, B256, Crypto, Input, node_binding_digest};

use crate::PeerId;
use crate::engine::Engine;
use crate::event::OutboundRequestId;
use crate::peers::retry_after;

/// How far two nodes have come.
#[derive(Debug, Default)]
pub(crate) enum Session {
    /// Nothing was said.
    #[default]
    None,
    HelloSent(HelloSent),
    ProofSent(ProofSent),
    Open(OpenSession),
}

/// Hello was said, the welcome is awaited.
#[derive(Debug)]
pub(crate) struct HelloSent {
    /// The own challenge.
    challenge: B256,
    /// The request that carries the hello.
    request: OutboundRequestId,
}

/// The other side has proved itself; the own proof is on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProofSent {
    session: OpenSession,
    /// The request that carries the proof.
    request: OutboundRequestId,
}

/// Both sides have proved who they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenSession {
    pub(crate) id: SessionId,
    /// The wallet that the other side speaks for.
    pub(crate) wallet: Address,
    /// The newest request that was sent before this session. What becomes of it and of those before it says nothing
    /// about this session.
    last_before: OutboundRequestId,
}

impl OpenSession {
    /// Whether this request was sent in this session.
    fn has_sent(&self, request: OutboundRequestId) -> bool {
        request > self.last_before
    }
}

/// The other side said hello and was welcomed; its proof is awaited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingHandshake {
    /// The other side's challenge.
    theirs: B256,
    /// The own challenge.
    own: B256,
}

impl Session {
    pub(crate) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// The session, once both sides have proved who they are.
    pub(crate) const fn open(&self) -> Option<OpenSession> {
        match self {
            Self::Open(open) => Some(*open),
            Self::None | Self::HelloSent(_) | Self::ProofSent(_) => None,
        }
    }

    pub(crate) const fn wallet(&self) -> Option<Address> {
        match self {
            Self::Open(open) => Some(open.wallet),
            Self::None | Self::HelloSent(_) | Self::ProofSent(_) => None,
        }
    }

    /// The session that is open for the other side already, if the own proof was sent for it.
    fn with_proof_sent(&self, id: SessionId) -> Option<OpenSession> {
        match self {
            Self::ProofSent(ProofSent { session, .. }) if session.id == id => Some(*session),
            Self::None | Self::HelloSent(_) | Self::ProofSent(_) | Self::Open(_) => None,
        }
    }

    /// Whether this request carries the handshake.
    fn is_begun_by(&self, id: OutboundRequestId) -> bool {
        match self {
            Self::HelloSent(HelloSent { request, .. }) | Self::ProofSent(ProofSent { request, .. }) => {
                *request == id
            }
            Self::None | Self::Open(_) => false,
        }
    }
}

impl Engine {
    /// Says hello to a peer with which there is no session.
    pub(crate) fn say_hello(&mut self, peer: &PeerId) {
        let Some(identity) = self.chain.identity else { return };
        if self.peers.connected.get(peer).is_none_or(|connected| connected.session.is_open()) {
            return;
        }
        if self.wallet.is_none() || !self.chain.is_caught_up {
            return self.say_hello_later(peer);
        }
        let challenge = self.random_bytes();
        let hello = Hello { chain_id: identity.chain_id, challenge };
        let request = self.send_request(peer, Request::Hello(hello));
        if let Some(connected) = self.peers.connected.get_mut(peer) {
            connected.hello_at = None;
            connected.session = Session::HelloSent(HelloSent { challenge, request });
        }
    }

    pub(crate) fn say_hello_later(&mut self, peer: &PeerId) {
        if let Some(connected) = self.peers.connected.get_mut(peer) {
            connected.hello_at = Some(self.now.saturating_add(retry_after(connected.hello_failures)));
            connected.hello_failures = connected.hello_failures.saturating_add(1);
        }
    }

    fn prove(&self, peer: &PeerId, challenge: B256) -> Option<Proof> {
        let (wallet, identity) = (self.wallet.as_ref()?, self.chain.identity?);
        let own = self.peers.own_id().as_bytes();
        let digest = node_binding_digest(identity.chain_id, own, peer.as_bytes(), challenge);
        Some(Proof { wallet: wallet.address(), signature: wallet.sign(&digest) })
    }

    fn is_proof_valid(&self, peer: &PeerId, challenge: B256, proof: &Proof) -> bool {
        let (Some(wallet), Some(identity)) = (&self.wallet, self.chain.identity) else { return false };
        let own = self.peers.own_id().as_bytes();
        let digest = node_binding_digest(identity.chain_id, peer.as_bytes(), own, challenge);
        proof.wallet != wallet.address() && wallet.verify(&digest, &proof.signature, &proof.wallet)
    }

    pub(crate) fn on_hello(&mut self, peer: &PeerId, hello: &Hello) -> Response {
        let Some(identity) = self.chain.identity else { return Response::Error(WireError::NoChain) };
        if self.wallet.is_none() {
            return Response::Error(WireError::NoWallet);
        }
        if hello.chain_id != identity.chain_id {
            return Response::Error(WireError::OtherChain(identity.chain_id));
        }
        if !self.chain.is_caught_up {
            return Response::Error(WireError::NotReady);
        }
        // Both said hello at the same time: that of the peer with the greater id counts.
        let session = self.peers.connected.get(peer).map(|connected| &connected.session);
        if matches!(session, Some(Session::HelloSent(_) | Session::ProofSent(_)))
            && self.peers.own_id() > peer
        {
            return Response::Error(WireError::NotReady);
        }
        let Some(proof) = self.prove(peer, hello.challenge) else {
            return Response::Error(WireError::NotReady);
        };
        let challenge = self.random_bytes();
        self.end_session(peer, "the other side starts a new one");
        let awaited = PendingHandshake { theirs: hello.challenge, own: challenge };
        self.peers.pending_handshakes.insert(peer.clone(), awaited);
        Response::Welcome(Welcome { chain_id: identity.chain_id, challenge, proof })
    }

    pub(crate) fn on_prove(&mut self, peer: &PeerId, proof: &Proof) -> Response {
        let Some(PendingHandshake { theirs, own }) = self.peers.pending_handshakes.remove(peer) else {
            return Response::Error(WireError::NoSession);
        };
        if !self.is_proof_valid(peer, own, proof) {
            if self.may_log(None) {
                tracing::warn!(%peer, "a node's proof of its wallet is wrong");
            }
            return Response::Error(WireError::BadProof);
        }
        let id = SessionId::new(theirs, own);
        let session = OpenSession { id, wallet: proof.wallet, last_before: self.last_outbound_id() };
        self.open_session(peer, session, false);
        Response::Proved
    }

    /// A response to a step of the handshake.
    pub(crate) fn on_handshake_response(
        &mut self,
        peer: &PeerId,
        id: OutboundRequestId,
        response: &Response,
    ) {
        let session = self.peers.connected.get(peer).map(|connected| &connected.session);
        match (response, session) {
            (Response::Welcome(welcome), Some(Session::HelloSent(hello_sent)))
                if hello_sent.request == id =>
            {
                let own = hello_sent.challenge;
                self.on_welcome(peer, own, welcome);
            }
            (Response::Proved, Some(Session::ProofSent(proof_sent))) if proof_sent.request == id => {
                let session = proof_sent.session;
                self.open_session(peer, session, true);
            }
            // To a request of an earlier session, or no answer to a handshake.
            (Response::Welcome(_) | Response::Proved | Response::Packet(_) | Response::Error(_), _) => {}
        }
    }

    fn on_welcome(&mut self, peer: &PeerId, own: B256, welcome: &Welcome) {
        if self.wallet_address() == Some(welcome.proof.wallet) {
            let hint = "every node needs a wallet of its own: import another one here or there";
            let message = "the other node uses the same wallet as this one";
            return self.fail_waiting_for_session(peer, &ApiError::new(Code::PeerRefused, message, hint));
        }
        if !self.is_proof_valid(peer, own, &welcome.proof) {
            let hint = "make sure that the address is right, and see the log of the other node";
            let error =
                ApiError::new(Code::PeerRefused, "the other node's proof of its wallet is wrong", hint);
            self.fail_waiting_for_session(peer, &error);
            return self.say_hello_later(peer);
        }
        let Some(proof) = self.prove(peer, welcome.challenge) else { return };
        let last_before = self.last_outbound_id();
        let request = self.send_request(peer, Request::Prove(proof));
        if let Some(connected) = self.peers.connected.get_mut(peer) {
            let id = SessionId::new(own, welcome.challenge);
            let session = OpenSession { id, wallet: welcome.proof.wallet, last_before };
            connected.session = Session::ProofSent(ProofSent { session, request });
        }
    }

    /// Opens the session of a packet that has overtaken the response to the own proof: the other side has the proof.
    pub(crate) fn open_proved_session(&mut self, peer: &PeerId, id: SessionId) {
        let session =
            self.peers.connected.get(peer).and_then(|connected| connected.session.with_proof_sent(id));
        if let Some(session) = session {
            self.open_session(peer, session, true);
        }
    }

    fn open_session(&mut self, peer: &PeerId, session: OpenSession, is_initiator: bool) {
        let Some(connected) = self.peers.connected.get_mut(peer) else { return };
        let wallet = session.wallet;
        connected.session = Session::Open(session);
        connected.hello_failures = 0;
        connected.hello_at = None;
        if self.may_log(Some(&wallet)) {
            tracing::info!(%peer, %wallet, "connected with a node that speaks for this wallet");
        }
        if let Some(earlier) = self.peers.bind(wallet, peer) {
            // One session for each wallet: the newer node counts.
            self.end_session(&earlier, "another node speaks for this wallet now");
            self.peers.bind(wallet, peer);
        }
        self.on_proved(peer);
        for channel in self.channels.of_partner(&wallet).to_vec() {
            self.apply(channel, Input::Peer(PeerInput::Connected { initiator: is_initiator }));
        }
    }

    /// Ends a session; messages that are still on their way are dropped.
    pub(crate) fn end_session(&mut self, peer: &PeerId, why: &str) {
        let Some(connected) = self.peers.connected.get_mut(peer) else { return };
        let Session::Open(OpenSession { wallet, .. }) = std::mem::take(&mut connected.session) else {
            return;
        };
        connected.await_proof_anew(self.now);
        if self.may_log(Some(&wallet)) {
            tracing::info!(%peer, %wallet, "session over: {why}");
        }
        self.peers.unbind(&wallet, peer);
        self.fail_offers(&wallet);
        for channel in self.channels.of_partner(&wallet).to_vec() {
            self.apply(channel, Input::Peer(PeerInput::Disconnected));
        }
    }

    /// Ends a session in which a message may have been lost. In the next one both sides send their state again.
    pub(crate) fn restart_session(&mut self, peer: &PeerId, why: &str) {
        if self.peers.connected.get(peer).is_some_and(|connected| connected.session.is_open()) {
            self.end_session(peer, why);
            self.say_hello_later(peer);
        }
    }

    /// Ends every session: nothing of an earlier wallet or chain is left.
    pub(crate) fn end_all_sessions(&mut self, why: &str) {
        self.peers.pending_handshakes.clear();
        for peer in self.peers.connected.keys().cloned().collect::<Vec<_>>() {
            self.end_session(&peer, why);
            self.say_hello(&peer);
        }
    }

    /// The other node refuses a request.
    pub(crate) fn on_refused(&mut self, peer: &PeerId, request: OutboundRequestId, error: WireError) {
        tracing::debug!(%peer, %error, "the other node refuses");
        let Some(connected) = self.peers.connected.get_mut(peer) else { return };
        if let Some(open) = connected.session.open() {
            if open.has_sent(request) {
                self.restart_session(peer, "the other side says that there is none");
            }
            return;
        }
        if !connected.session.is_begun_by(request) {
            return;
        }
        connected.session = Session::None;
        let hint = match error {
            // The next hello is likely to succeed.
            WireError::NotReady | WireError::NoSession => "",
            WireError::NoWallet => "connect again when the other side has a wallet",
            WireError::OtherChain(_) => "both nodes have to use the same chain: see --RPC",
            WireError::NoChain | WireError::BadProof | WireError::TooLarge => "see the log of the other node",
        };
        if !hint.is_empty() {
            let error = ApiError::new(Code::PeerRefused, error.to_string(), hint);
            self.fail_waiting_for_session(peer, &error);
        }
        self.say_hello_later(peer);
    }

    /// A request has failed in the network.
    pub(crate) fn on_request_failed(
        &mut self,
        peer: &PeerId,
        request: OutboundRequestId,
        is_unsupported: bool,
    ) {
        if is_unsupported {
            self.on_other_version(peer);
        }
        let Some(connected) = self.peers.connected.get_mut(peer) else { return };
        if connected.session.is_begun_by(request) {
            connected.session = Session::None;
            self.say_hello_later(peer);
        } else if connected.session.open().is_some_and(|open| open.has_sent(request)) {
            self.restart_session(peer, "a request failed");
        }
    }

    /// The other node is of a version that this one can't talk to, or no Thunder node at all.
    fn on_other_version(&mut self, peer: &PeerId) {
        if self.may_log(None) {
            tracing::warn!(%peer, "the node that answers does not speak {PROTOCOL}");
        }
        let message = format!("the other node does not speak {PROTOCOL}, the protocol of this one");
        let hint = "both sides need versions of thunderd with the same protocol";
        self.fail_waiting_for_session(peer, &ApiError::new(Code::PeerRefused, message, hint));
    }

    /// Whether the log may have one more line about a peer: always, if there is an open channel with it.
    /// For all other peers together the number of lines is limited.
    pub(crate) fn may_log(&mut self, wallet: Option<&Address>) -> bool {
        wallet.is_some_and(|wallet| self.channels.has_open_with(wallet))
            || self.peers.log_limiter.may_log(self.now)
    }
}

#[cfg(test)]
mod tests;
