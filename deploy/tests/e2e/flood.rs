//! Hostile nodes that ask without end or come in large numbers: others are served meanwhile, and the victim's memory,
//! log and number of connections stay bounded.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use thunder_node::limits::{MAX_STRANGERS, STRANGER_LINES, STRANGER_LINES_PER_SECOND};
use thunder_protocol::wire::{
    Envelope, MAX_MESSAGES, OpenAsk, OpenMessage, Packet, Request, Response, WireError,
};
use thunder_protocol::{Address, B256, codec};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::harness::*;
use super::mallory::{Bytes, CHAIN_ID, Mallory, hello, is_refused, no_session, packet, runtime, signer};
#[cfg(target_os = "linux")]
use super::memory::{MAX_MEMORY, most_memory};

/// The channels and payments of a node, which no stranger may change.
pub fn belongings(node: &Node) -> (serde_json::Value, Vec<serde_json::Value>) {
    (node.infos()["channels"].clone(), node.history())
}

/// The number of connected peers besides these friends.
pub fn strangers(node: &Node, friends: usize) -> usize {
    node.infos()["peers"].as_array().unwrap().len() - friends
}

/// The lines of the log, but for one for each payment that is received.
pub fn log_lines(node: &Node) -> usize {
    node.log().lines().filter(|line| !line.contains(" INFO received ")).count()
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

/// What a flood may add to the log in the time since then: what may be said of strangers, and some
/// lines about those who are none.
fn most_lines(since: Instant) -> usize {
    let seconds = usize::try_from(since.elapsed().as_secs()).unwrap();
    STRANGER_LINES as usize + STRANGER_LINES_PER_SECOND as usize * seconds + 64
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
                let sent = mallory.send_endless();
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

#[test]
fn who_asks_for_openings_in_vain_is_sent_away_and_fills_no_log() {
    let world = World::new();
    let bob = world.user(2);
    let before = log_lines(&bob);
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
    bob.wait_logged("refused to open");
    let said = log_lines(&bob) - before;
    // Once for each that was borne, and a few for the session.
    assert!(said < 80, "{said} lines");
    assert_eq!(bob.infos()["channels"], serde_json::json!([]));
}

#[test]
fn strangers_fill_no_log() {
    let world = World::new();
    let bob = world.user(2);
    let (before, since) = (log_lines(&bob), Instant::now());
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
    let said = log_lines(&bob) - before;
    assert!(said < most_lines(since), "{said} lines for {forged} forgeries");
}

#[cfg(target_os = "linux")]
#[test]
fn under_a_flood_others_pay_and_memory_and_log_stay_bounded_and_nothing_is_accepted() {
    let world = World::new();
    let (alice, bob, channel) = world.channel();
    rlimit::increase_nofile_limit(8192).unwrap();
    let (before, since, at_rest) = (log_lines(&bob), Instant::now(), most_memory(&bob));
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
    let (most, said) = (most_memory(&bob), log_lines(&bob) - before);
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
    let (before, since) = (log_lines(&bob), Instant::now());
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
    assert!(log_lines(&bob) - before < most_lines(since));
    bob.crash();
    alice.wait_connected(&bob);
    bob.wait_usable(channel);
    alice.wait_usable(channel);
    alice.pay("1");
}
