//! Hostile nodes on the same libp2p stack: what they send is not believed, and while they flood,
//! others are served, the memory stays bounded and so does the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use thunder_node::limits::{
    LARGE_IN_ALL, LARGE_PER_CONNECTION, MAX_STRANGERS, MAX_STREAMS, STRANGER_LINES, STRANGER_LINES_PER_SECOND,
};
use thunder_protocol::wire::{
    Envelope, Hello, MAX_MESSAGES, MAX_PAYMENTS, Message, OpenAsk, OpenMessage, Packet, Proof, Propose,
    Refuse, RefuseReason, Request, Response, SessionId, WireError,
};
use thunder_protocol::{Address, B256, Balances, Memo, Nonce, Payment, PaymentId, Signature, Signer, codec};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::harness::*;
use super::mallory::{Bytes, Gate, Mallory};

/// anvil's.
const CHAIN_ID: u64 = 31337;

fn signer(secret: u8) -> Signer {
    Signer::new(&[secret; 32], &[1; 32]).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A message in a session, about these channels.
fn packet(session: SessionId, channels: impl Iterator<Item = Address>) -> Request {
    let refuse =
        Refuse { nonce: Nonce::new(1).unwrap(), reason: RefuseReason::NotNow, agreed_nonce: Nonce::ZERO };
    let envelope = |channel| Envelope::Channel { channel, message: Message::Refuse(refuse.clone()) };
    Request::Packet(Packet { session, messages: channels.map(envelope).collect() })
}

fn is_refused(answer: &Option<Response>, error: &WireError) -> bool {
    matches!(answer, Some(Response::Error(given)) if given == error)
}

fn no_session() -> SessionId {
    SessionId::new(B256::ZERO, B256::ZERO)
}

fn hello() -> Request {
    Request::Hello(Hello { chain_id: CHAIN_ID, challenge: B256::ZERO })
}

/// What nobody hostile may change: the channels and payments of a node.
fn belongings(node: &Node) -> (serde_json::Value, Vec<serde_json::Value>) {
    (node.infos()["channels"].clone(), node.history())
}

fn strangers(node: &Node, friends: usize) -> usize {
    node.infos()["peers"].as_array().unwrap().len() - friends
}

fn lines(node: &Node) -> usize {
    node.log().lines().count()
}

#[test]
fn nothing_forged_replayed_or_out_of_turn_is_accepted() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    let before = belongings(&bob);
    let wallet = signer(0x77);
    runtime().block_on(async {
        let mut mallory = Mallory::connect(bob.port).await.unwrap();
        let early = mallory.ask(packet(no_session(), std::iter::once(channel))).await;
        assert!(is_refused(&early, &WireError::NoSession), "a message before the handshake: {early:?}");
        let early = mallory.proof(CHAIN_ID, &wallet, B256::ZERO);
        let early = mallory.ask(Request::Prove(early)).await;
        assert!(is_refused(&early, &WireError::NoSession), "a proof that nobody asked for: {early:?}");
        let other = mallory.ask(Request::Hello(Hello { chain_id: 1, challenge: B256::ZERO })).await;
        assert!(is_refused(&other, &WireError::OtherChain(CHAIN_ID)), "another chain: {other:?}");

        let stranger = Mallory::connect(bob.port).await.unwrap();
        let mut earlier = mallory.hello(CHAIN_ID, B256::ZERO).await;
        for forgery in 0..5 {
            let fresh = mallory.hello(CHAIN_ID, B256::ZERO).await;
            assert_ne!(fresh.challenge, earlier.challenge);
            let proof = match forgery {
                0 => mallory.proof(CHAIN_ID, &wallet, earlier.challenge),
                1 => {
                    let own = mallory.proof(CHAIN_ID, &wallet, fresh.challenge);
                    Proof { wallet: alice.wallet(), ..own }
                }
                2 => mallory.proof(1, &wallet, fresh.challenge),
                3 => stranger.proof(CHAIN_ID, &wallet, fresh.challenge),
                // The victim's own, sent back.
                _ => fresh.proof.clone(),
            };
            let answer = mallory.ask(Request::Prove(proof.clone())).await;
            assert!(is_refused(&answer, &WireError::BadProof), "{forgery}: {answer:?}");
            let again = mallory.ask(Request::Prove(proof)).await;
            assert!(is_refused(&again, &WireError::NoSession), "one try for each challenge: {again:?}");
            earlier = fresh;
        }
        let open = mallory.open_session(CHAIN_ID, &wallet).await;
        let unknown = mallory.ask(packet(no_session(), std::iter::once(channel))).await;
        assert!(is_refused(&unknown, &WireError::NoSession), "another session's number: {unknown:?}");
        // A channel of others ends the connection, however often it is named.
        let request = packet(open, std::iter::repeat_n(channel, MAX_MESSAGES));
        mallory.send(Bytes::All(codec::encode(&request).unwrap()));
        mallory.disconnected().await;
    });
    wait_for("only alice is left", || strangers(&bob, 1) == 0);
    assert_eq!(bob.log().matches("MISBEHAVIOUR").count(), 1, "said once");
    assert_eq!(belongings(&bob), before);
    alice.pay("1");
}

#[test]
fn whoever_does_not_speak_the_protocol_gets_nothing_and_costs_no_line_of_the_log() {
    let world = World::new();
    let (alice, bob, _) = world.channel();
    let (before, lines_before) = (belongings(&bob), lines(&bob));
    runtime().block_on(async {
        let mut other = Mallory::connect_speaking(bob.port, "/somebody-else/1").await.unwrap();
        assert_eq!(other.ask(hello()).await, None, "another protocol");
        let mut mallory = Mallory::connect(bob.port).await.unwrap();
        let claims = |head: &[u8]| [head, &[0xff; 8], &[0; 100]].concat();
        let whole = codec::encode(&hello()).unwrap();
        let garbage = [
            Vec::new(),
            vec![0],
            vec![0xff; 64],
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            // CBOR that claims to go on for 2^64 - 1 items or bytes, or to nest for ever.
            claims(&[0x9b]),
            claims(&[0xbb]),
            claims(&[0x5b]),
            vec![0x81; 100_000],
            // As large as a message may be, and one byte more.
            vec![0x61; codec::MAX_LEN],
            vec![0; codec::MAX_LEN + 1],
            whole[..whole.len() - 1].to_vec(),
            [whole, vec![0]].concat(),
        ];
        for bytes in garbage {
            let start = bytes[..bytes.len().min(8)].to_vec();
            let sent = mallory.send(Bytes::All(bytes));
            assert_eq!(mallory.answers(vec![sent]).await, [None], "{start:?}…");
        }
        assert!(
            matches!(mallory.ask(hello()).await, Some(Response::Welcome(_))),
            "what is in order is answered"
        );
    });
    assert_eq!(belongings(&bob), before);
    // The chain may have had something to say.
    assert!(lines(&bob) - lines_before < 5, "{}", bob.log());
    alice.pay("1");
}

#[test]
fn who_asks_in_vain_without_end_is_sent_away() {
    let world = World::new();
    let bob = world.user(2);
    let welcomes = runtime().block_on(async {
        let mut mallory = Mallory::connect(bob.port).await.unwrap();
        let mut welcomes = 0;
        for _ in 0..40 {
            let answers = mallory.ask_all(&vec![hello(); 10]).await;
            let welcome = |answer: &&Option<Response>| matches!(answer, Some(Response::Welcome(_)));
            welcomes += answers.iter().filter(welcome).count();
            if answers.iter().any(Option::is_none) {
                return welcomes;
            }
        }
        panic!("{welcomes} signatures for nothing");
    });
    assert!(welcomes > 30, "{welcomes}: patience has an end, but not at once");
    wait_for("it is gone", || strangers(&bob, 0) == 0);
}

/// What a node may need while it is flooded; see `docs/limits.md`.
#[cfg(target_os = "linux")]
const MAX_MEMORY: u64 = 256 << 20;
/// What a flood may add to the log in the time since then: what may be said of strangers, and some
/// lines about those who are none.
fn most_lines(since: Instant) -> usize {
    let seconds = usize::try_from(since.elapsed().as_secs()).unwrap();
    STRANGER_LINES as usize + STRANGER_LINES_PER_SECOND as usize * seconds + 64
}

/// The most memory that a node ever needed.
#[cfg(target_os = "linux")]
fn most_memory(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// How somebody floods a node.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// Connections that say nothing, or nonsense.
    Connections,
    /// Messages that are large, or claim to be, or are too large.
    Large,
    /// Large messages that never end, on many streams.
    Endless,
    /// The handshake, and what is out of turn, again and again.
    Handshakes,
    /// Proofs that are wrong.
    Forgeries,
    /// One who proves to be somebody, and speaks of channels of others and of none.
    Channels,
}

const FLOODS: [Flood; 6] =
    [Flood::Connections, Flood::Large, Flood::Endless, Flood::Handshakes, Flood::Forgeries, Flood::Channels];

/// A flood that goes on until it is told to stop, and counts its waves.
struct Attack<'a> {
    port: u16,
    channel: Address,
    stop: &'a AtomicBool,
    waves: &'a AtomicUsize,
}

impl Attack<'_> {
    async fn run(&self, flood: Flood) {
        let (mut idle, mut number) = (Vec::new(), 0_u32);
        while !self.stop.load(Ordering::SeqCst) {
            number += 1;
            if matches!(flood, Flood::Connections) {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else { continue };
                if number.is_multiple_of(2) {
                    let _ = stream.write_all(&[number.to_le_bytes(); 512].concat()).await;
                }
                if idle.len() < 1000 {
                    idle.push(stream);
                }
            } else if let Some(mut mallory) = Mallory::connect(self.port).await {
                self.wave(flood, &mut mallory, number).await;
            }
            self.waves.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn wave(&self, flood: Flood, mallory: &mut Mallory, number: u32) {
        match flood {
            Flood::Connections => {}
            Flood::Large => {
                let claims = [&[0x9b_u8][..], &[0xff; 8], &[0; 100]].concat();
                let large = [vec![0x61; 1 << 20], vec![0x9f; 1 << 20], vec![0; (1 << 20) + 4096], claims];
                let sent = large.into_iter().cycle().take(60).map(|bytes| mallory.send(Bytes::All(bytes)));
                let sent = sent.collect();
                mallory.answers(sent).await;
            }
            Flood::Endless => {
                let sent = endless(mallory);
                // The victim gives them up in its own time; the next wave does not wait for it.
                let _ = tokio::time::timeout(Duration::from_secs(1), mallory.answers(sent)).await;
            }
            Flood::Handshakes => {
                let early = packet(no_session(), std::iter::once(self.channel));
                for _ in 0..5 {
                    mallory.ask_all(&vec![hello(); 20]).await;
                    mallory.ask_all(&vec![early.clone(); 20]).await;
                }
            }
            Flood::Forgeries => {
                for _ in 0..40 {
                    let Some(Response::Welcome(welcome)) = mallory.ask(hello()).await else { return };
                    let proof = mallory.proof(CHAIN_ID + 1, &signer(0x66), welcome.challenge);
                    mallory.ask(Request::Prove(proof)).await;
                }
            }
            Flood::Channels => {
                let Some(session) = mallory.try_open_session(CHAIN_ID, &signer(0x55)).await else { return };
                let named = if number.is_multiple_of(2) { Address::repeat_byte(9) } else { self.channel };
                let unknown = Packet {
                    session,
                    messages: vec![Envelope::UnknownChannel { channel: self.channel }; MAX_MESSAGES],
                };
                mallory.ask_all(&vec![Request::Packet(unknown); 10]).await;
                let others = packet(session, std::iter::repeat_n(named, MAX_MESSAGES));
                mallory.ask_all(&vec![others; 10]).await;
            }
        }
    }
}

/// Messages that stop before they are whole, as many as a connection may have, each as large as the
/// victim's side of a stream holds.
fn endless(mallory: &mut Mallory) -> Vec<libp2p::request_response::OutboundRequestId> {
    let start: Arc<[u8]> = vec![0x9f; 250_000].into();
    (0..MAX_STREAMS).map(|_| mallory.send(Bytes::Trickle(Arc::clone(&start)))).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn messages_that_never_end_take_no_more_memory_than_there_are_places_for() {
    let world = World::new();
    let (alice, bob, _) = world.channel();
    runtime().block_on(async {
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(Mallory::connect(bob.port).await.unwrap());
        }
        let given_up = all.iter_mut().map(|mallory| async {
            let sent = endless(mallory);
            mallory.answers(sent).await
        });
        let answers = futures::future::join_all(given_up).await;
        assert!(answers.iter().flatten().all(Option::is_none));
    });
    let most = most_memory(&bob);
    eprintln!("endless messages: at most {} MiB", most >> 20);
    assert!(most < MAX_MEMORY, "{most} bytes");
    alice.pay("1");
}

/// A packet of half the largest size with well-formed messages as small as can be, which take much more memory when they
/// are read than on the wire.
fn dense(of: Dense) -> Arc<[u8]> {
    let payment = Payment { id: PaymentId::new("x").unwrap(), amount: thd("0"), memo: Memo::default() };
    let propose = |payments: usize| Envelope::Channel {
        channel: Address::ZERO,
        message: Message::Propose(Propose {
            base_nonce: Nonce::ZERO,
            nonce: Nonce::new(1).unwrap(),
            balances: Balances { a: thd("0"), b: thd("0") },
            payments: vec![payment.clone(); payments],
            signature: Signature::from_bytes([0; 65]),
        }),
    };
    let envelope = match of {
        Dense::Proposals => propose(MAX_PAYMENTS),
        Dense::Payments => propose(15 * MAX_PAYMENTS),
        Dense::Messages => Envelope::UnknownChannel { channel: Address::ZERO },
    };
    let count = codec::MAX_LEN / 2 / codec::encode(&envelope).unwrap().len();
    let messages = vec![envelope; count];
    codec::encode(&Request::Packet(Packet { session: no_session(), messages })).unwrap().into()
}

/// Of what a dense packet has as much as fits.
#[derive(Debug, Clone, Copy)]
enum Dense {
    /// Proposals with as many payments as one may have.
    Proposals,
    /// Payments, in a proposal that has more than it may have.
    Payments,
    /// Messages, more than a packet may have.
    Messages,
}

/// They are all held back before their last byte and are whole at the same time.
#[cfg(target_os = "linux")]
#[test]
fn dense_packets_take_no_more_memory_than_the_limits_say() {
    let world = World::new();
    let (alice, bob, _) = world.channel();
    let connections = LARGE_IN_ALL / LARGE_PER_CONNECTION;
    for of in [Dense::Proposals, Dense::Payments, Dense::Messages] {
        let (packet, gate) = (dense(of), Gate::default());
        runtime().block_on(async {
            let mut all = Vec::new();
            for _ in 0..connections {
                all.push(Mallory::connect(bob.port).await.unwrap());
            }
            let floods = all.iter_mut().map(|mallory| async {
                let held = || Bytes::Held(Arc::clone(&packet), gate.clone());
                let sent = (0..LARGE_PER_CONNECTION).map(|_| mallory.send(held())).collect();
                mallory.until(|| gate.waiting() == LARGE_IN_ALL).await;
                gate.open();
                mallory.answers(sent).await
            });
            futures::future::join_all(floods).await;
        });
        let most = most_memory(&bob);
        eprintln!("dense packets of {of:?}: at most {} MiB", most >> 20);
        assert!(most < MAX_MEMORY, "{of:?}: {most} bytes");
    }
    alice.pay("1");
}

#[test]
fn who_asks_for_openings_in_vain_is_sent_away_and_fills_no_log() {
    let world = World::new();
    let bob = world.user(2);
    let before = lines(&bob);
    let wallet = signer(0x77);
    let ask = OpenAsk {
        half_a: B256::ZERO,
        amount: thd("10"),
        share_a: thd("10"),
        share_b: thd("0"),
        chain_id: CHAIN_ID + 1,
        token: Address::ZERO,
        factory: Address::ZERO,
        part_a: wallet.address(),
    };
    runtime().block_on(async {
        let mut mallory = Mallory::connect(bob.port).await.unwrap();
        let session = mallory.open_session(CHAIN_ID, &wallet).await;
        let messages = vec![Envelope::Open(OpenMessage::Ask(ask)); MAX_MESSAGES];
        mallory.send(Bytes::All(codec::encode(&Request::Packet(Packet { session, messages })).unwrap()));
        mallory.disconnected().await;
    });
    wait_for("it is gone", || strangers(&bob, 0) == 0);
    let said = lines(&bob) - before;
    // Once for each that was borne, and a few for the session.
    assert!(said < 80 && bob.has_logged("refused to open"), "{said} lines");
    assert_eq!(bob.infos()["channels"], serde_json::json!([]));
}

#[test]
fn strangers_fill_no_log() {
    let world = World::new();
    let bob = world.user(2);
    let (before, since) = (lines(&bob), Instant::now());
    let forged = runtime().block_on(async {
        let mut forged = 0;
        while forged < 4 * STRANGER_LINES as usize {
            let mut mallory = Mallory::connect(bob.port).await.unwrap();
            // Until it is sent away.
            while let Some(Response::Welcome(welcome)) = mallory.ask(hello()).await {
                let proof = mallory.proof(CHAIN_ID + 1, &signer(0x66), welcome.challenge);
                let answer = mallory.ask(Request::Prove(proof)).await;
                forged += usize::from(is_refused(&answer, &WireError::BadProof));
            }
        }
        forged
    });
    let said = lines(&bob) - before;
    assert!(said < most_lines(since), "{said} lines for {forged} forgeries");
}

#[cfg(target_os = "linux")]
#[test]
fn under_a_flood_others_pay_and_memory_and_log_stay_bounded_and_nothing_is_accepted() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    rlimit::increase_nofile_limit(8192).unwrap();
    let (before, since, at_rest) = (lines(&bob), Instant::now(), most_memory(&bob));
    let stop = AtomicBool::new(false);
    let waves: [AtomicUsize; FLOODS.len()] = Default::default();
    let so_far = || waves.iter().map(|waves| waves.load(Ordering::SeqCst)).collect::<Vec<_>>();
    let mut paid = 0;
    std::thread::scope(|scope| {
        // However this ends, the floods end with it.
        let _stop = Stop(&stop);
        for (flood, waves) in FLOODS.into_iter().zip(&waves) {
            let attack = Attack { port: bob.port, channel, stop: &stop, waves };
            scope.spawn(move || runtime().block_on(attack.run(flood)));
        }
        wait_for("every flood is on", || so_far().iter().all(|waves| *waves >= 2));
        let begun = so_far();
        // Every one of them goes on while the payments do.
        while paid < 10 || so_far().iter().zip(&begun).any(|(now, then)| now <= then) {
            assert!(paid < 1000, "the flood has dried up: {:?}", so_far());
            alice.ok(&["--timeout", "30", "pay", "0.001"]);
            paid += 1;
        }
    });
    let (most, said) = (most_memory(&bob), lines(&bob) - before);
    eprintln!(
        "{FLOODS:?}: {:?} waves, {paid} payments; memory {} MiB, at most {} MiB; {said} lines",
        so_far(),
        at_rest >> 20,
        most >> 20
    );
    assert!(most < MAX_MEMORY, "{most} bytes");
    assert!(said < most_lines(since), "{said} lines");
    wait_for("the strangers are gone", || strangers(&bob, 1) == 0);
    let (channels, history) = belongings(&bob);
    assert_eq!(channels.as_array().unwrap().len(), 1);
    assert_eq!((history.len(), alice.history().len()), (paid, paid));
    alice.pay("1");
    bob.wait_usable(channel);
}

/// Ends the floods when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How many strangers come; more with `THUNDER_STRANGERS`.
fn crowd() -> usize {
    std::env::var("THUNDER_STRANGERS").map_or(300, |number| number.parse().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn of_many_strangers_only_so_many_stay_and_those_who_have_a_channel_stay_anyway() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    let files = rlimit::increase_nofile_limit(64_000).unwrap();
    let crowd = crowd();
    assert!(files as usize > 4 * crowd, "ulimit -n is {files}: too few for {crowd} strangers");
    let (before, since) = (lines(&bob), Instant::now());
    runtime().block_on(async {
        let mut there = Vec::new();
        for number in 0..crowd {
            there.extend(Mallory::connect(bob.port).await);
            if number % 100 == 99 {
                assert!(strangers(&bob, 1) <= MAX_STRANGERS, "{} strangers", strangers(&bob, 1));
                alice.pay("0.001");
            }
        }
        assert!(there.len() > MAX_STRANGERS, "they were let in: {}", there.len());
        wait_for("so many stay", || strangers(&bob, 1) <= MAX_STRANGERS);
    });
    assert!(alice.is_connected_with(&bob), "it had proved who it is");
    let most = most_memory(&bob);
    eprintln!("{crowd} strangers: at most {} MiB", most >> 20);
    assert!(most < MAX_MEMORY, "{most} bytes");
    assert!(lines(&bob) - before < most_lines(since));
    bob.crash();
    alice.wait_connected(&bob);
    bob.wait_usable(channel);
    alice.wait_usable(channel);
    alice.pay("1");
}
