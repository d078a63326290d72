//! `Mallory`: a hostile node on the same libp2p stack that sends any bytes as a message, as slowly as it likes.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::request_response::{self, Event, Message, OutboundRequestId, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, noise, ping, tcp, yamux};
use thunder_node::limits::MAX_STREAMS;
use thunder_protocol::wire::{
    Envelope, Hello, Message as ChannelMessage, PROTOCOL, Packet, Proof, Refuse, RefuseReason, Request,
    Response, SessionId, Welcome, WireError,
};
use thunder_protocol::{Address, B256, Crypto, Nonce, Signer, codec, node_binding_digest};
use tokio::sync::Semaphore;

/// How long the victim may take to do what it has to.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is written on a stream.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// These, and the end.
    All(Vec<u8>),
    /// These, and then one more every so often, without end.
    Trickle(Arc<[u8]>),
    /// All but the last of these, and that one when the gate is opened.
    Held(Arc<[u8]>, Gate),
}

/// Where messages wait that are to be whole at the same time.
#[derive(Debug, Clone)]
pub struct Gate {
    waiting: Arc<AtomicUsize>,
    opened: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { waiting: Arc::default(), opened: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// How many messages have come to the gate.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Lets all go on that come.
    pub fn open(&self) {
        self.opened.close();
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.opened.acquire().await);
    }
}

/// Writes whatever it is given.
#[derive(Debug, Clone, Default)]
pub struct AnyBytes;

impl request_response::Codec for AnyBytes {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
    ) -> io::Result<Bytes> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Bytes,
    ) -> io::Result<()> {
        match request {
            Bytes::All(bytes) => io.write_all(&bytes).await,
            Bytes::Held(bytes, gate) => {
                let (last, start) = bytes.split_last().ok_or(io::ErrorKind::InvalidInput)?;
                io.write_all(start).await?;
                io.flush().await?;
                gate.pass().await;
                io.write_all(&[*last]).await
            }
            Bytes::Trickle(bytes) => {
                io.write_all(&bytes).await?;
                io.flush().await?;
                // What makes it slow, not something to wait for.
                let mut drip = tokio::time::interval(Duration::from_millis(200));
                loop {
                    drip.tick().await;
                    io.write_all(&[0]).await?;
                    io.flush().await?;
                }
            }
        }
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        _: Vec<u8>,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What it speaks. Without an answer to its pings the victim would end the connection.
#[derive(NetworkBehaviour)]
pub struct Behaviour {
    ping: ping::Behaviour,
    messages: request_response::Behaviour<AnyBytes>,
}

/// A hostile node, connected with its victim.
pub struct Mallory {
    swarm: Swarm<Behaviour>,
    pub victim: PeerId,
}

impl Mallory {
    /// Connects, with a name of its own; `None` if it is not let in.
    pub async fn connect(port: u16) -> Option<Self> {
        Self::connect_speaking(port, PROTOCOL).await
    }

    /// The same, with messages of this protocol.
    pub async fn connect_speaking(port: u16, protocol: &'static str) -> Option<Self> {
        let messages = request_response::Behaviour::with_codec(
            AnyBytes,
            [(StreamProtocol::new(protocol), ProtocolSupport::Full)],
            request_response::Config::default().with_max_concurrent_streams(2000),
        );
        let behaviour = Behaviour { ping: ping::Behaviour::default(), messages };
        let mut swarm = libp2p::SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| behaviour)
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::MAX))
            .build();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        swarm.dial(address).unwrap();
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    return Some(Self { swarm, victim: peer_id });
                }
                SwarmEvent::OutgoingConnectionError { .. } => return None,
                _ => {}
            }
        }
    }

    pub fn id(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    pub fn send(&mut self, bytes: Bytes) -> OutboundRequestId {
        let victim = self.victim;
        self.swarm.behaviour_mut().messages.send_request(&victim, bytes)
    }

    /// Sends messages that stop before they are whole: as many as a connection may have, each as large as the
    /// victim's side of a stream holds.
    pub fn send_endless(&mut self) -> Vec<OutboundRequestId> {
        let start: Arc<[u8]> = vec![0x9f; 250_000].into();
        (0..MAX_STREAMS).map(|_| self.send(Bytes::Trickle(Arc::clone(&start)))).collect()
    }

    /// Lets the connection do its work until something is so.
    pub async fn until(&mut self, is_so: impl Fn() -> bool) {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let working = async {
            while !is_so() {
                tokio::select! {
                    _ = self.swarm.select_next_some() => {}
                    _ = look.tick() => {}
                }
            }
        };
        tokio::time::timeout(TIMEOUT, working).await.expect("it comes true");
    }

    /// What became of these requests: the answer, or `None` if there was none. Never dials again.
    pub async fn answers(&mut self, mut waiting: Vec<OutboundRequestId>) -> Vec<Option<Response>> {
        let mut answers = HashMap::new();
        let all = waiting.clone();
        while !waiting.is_empty() {
            let (id, answer) = match self.swarm.select_next_some().await {
                SwarmEvent::Behaviour(BehaviourEvent::Messages(Event::Message {
                    message: Message::Response { request_id, response },
                    ..
                })) => (request_id, codec::decode(&response).ok()),
                SwarmEvent::Behaviour(BehaviourEvent::Messages(Event::OutboundFailure {
                    request_id,
                    ..
                })) => (request_id, None),
                SwarmEvent::ConnectionClosed { .. } => break,
                _ => continue,
            };
            waiting.retain(|other| *other != id);
            answers.insert(id, answer);
        }
        all.into_iter().map(|id| answers.remove(&id).flatten()).collect()
    }

    /// Waits until the victim has ended the connection.
    pub async fn disconnected(&mut self) {
        let closed = async {
            while !matches!(self.swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
        };
        tokio::time::timeout(TIMEOUT, closed).await.expect("it is sent away");
    }

    /// Several messages at once.
    pub async fn ask_all(&mut self, requests: &[Request]) -> Vec<Option<Response>> {
        let encoded = requests.iter().map(|request| codec::encode(request).unwrap());
        let waiting = encoded.map(|bytes| self.send(Bytes::All(bytes))).collect();
        self.answers(waiting).await
    }

    pub async fn ask(&mut self, request: Request) -> Option<Response> {
        self.ask_all(&[request]).await.remove(0)
    }

    /// Says hello; the victim's proof and challenge.
    pub async fn hello(&mut self, chain_id: u64, challenge: B256) -> Welcome {
        match self.ask(Request::Hello(Hello { chain_id, challenge })).await {
            Some(Response::Welcome(welcome)) => welcome,
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// The proof that this node speaks for a wallet.
    pub fn proof(&self, chain_id: u64, wallet: &Signer, challenge: B256) -> Proof {
        let (own, victim) = (self.id().to_bytes(), self.victim.to_bytes());
        let signature = wallet.sign(&node_binding_digest(chain_id, &own, &victim, challenge));
        Proof { wallet: wallet.address(), signature }
    }

    /// A session that is in order.
    pub async fn open_session(&mut self, chain_id: u64, wallet: &Signer) -> SessionId {
        self.try_open_session(chain_id, wallet).await.expect("a session")
    }

    /// The same, if the victim has time for it.
    pub async fn try_open_session(&mut self, chain_id: u64, wallet: &Signer) -> Option<SessionId> {
        let challenge = B256::repeat_byte(7);
        let hello = Request::Hello(Hello { chain_id, challenge });
        let Some(Response::Welcome(welcome)) = self.ask(hello).await else { return None };
        let proof = self.proof(chain_id, wallet, welcome.challenge);
        let proved = self.ask(Request::Prove(proof)).await;
        (proved == Some(Response::Proved)).then(|| SessionId::new(challenge, welcome.challenge))
    }
}

// ---- what it says -----------------------------------------------------------------------------

/// anvil's.
pub const CHAIN_ID: u64 = 31337;

pub fn signer(secret: u8) -> Signer {
    Signer::new(&[secret; 32], &[1; 32]).unwrap()
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A packet in a session with a message about each of these channels.
pub fn packet(session: SessionId, channels: impl Iterator<Item = Address>) -> Request {
    let refuse =
        Refuse { nonce: Nonce::new(1).unwrap(), reason: RefuseReason::NotNow, agreed_nonce: Nonce::ZERO };
    let envelope = |channel| Envelope::Channel { channel, message: ChannelMessage::Refuse(refuse.clone()) };
    Request::Packet(Packet { session, messages: channels.map(envelope).collect() })
}

pub fn is_refused(answer: &Option<Response>, error: &WireError) -> bool {
    matches!(answer, Some(Response::Error(given)) if given == error)
}

pub fn no_session() -> SessionId {
    SessionId::new(B256::ZERO, B256::ZERO)
}

pub fn hello() -> Request {
    Request::Hello(Hello { chain_id: CHAIN_ID, challenge: B256::ZERO })
}
