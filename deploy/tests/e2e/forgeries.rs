//! What a hostile node forges, replays or sends out of turn, and what is no message at all: none of it is accepted.

use thunder_protocol::wire::{Hello, MAX_MESSAGES, Proof, Request, Response, WireError};
use thunder_protocol::{B256, codec};

use super::flood::{belongings, log_lines, strangers};
use super::harness::*;
use super::mallory::{Bytes, CHAIN_ID, Mallory, hello, is_refused, no_session, packet, runtime, signer};

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
    bob.wait_logged("MISBEHAVIOUR");
    assert_eq!(bob.log().matches("MISBEHAVIOUR").count(), 1, "said once");
    assert_eq!(belongings(&bob), before);
    alice.pay("1");
}

#[test]
fn whoever_does_not_speak_the_protocol_gets_nothing_and_costs_no_line_of_the_log() {
    let world = World::new();
    let (alice, bob, _) = world.channel();
    let (before, lines_before) = (belongings(&bob), log_lines(&bob));
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
    assert!(log_lines(&bob) - lines_before < 5, "{}", bob.log());
    alice.pay("1");
}
