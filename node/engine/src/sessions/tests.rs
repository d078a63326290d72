//! The handshake of docs/protocol.md ("Sessions"), step by step, from both sides.

use thunder_protocol::wire::{Envelope, Hello, Packet, Proof, Request, Response, SessionId, WireError};
use thunder_protocol::{Address, B256, Crypto, node_binding_digest, recover};

use crate::testing::disk::Disk;
use crate::testing::{CHAIN, Node, Remote, error, reply, sent};
use crate::{Event, OutboundRequestId, Outbox, PeerEvent, Reply, UserRequestId};

const CHALLENGE: B256 = B256::repeat_byte(0x33);
const USER: UserRequestId = UserRequestId(9_000);
/// Below and above the own number: of two peer ids the greater one goes on when both say hello.
const LOW: u8 = 50;
const HIGH: u8 = 200;

fn no_session() -> Option<Response> {
    Some(Response::Error(WireError::NoSession))
}

fn bad_proof() -> Option<Response> {
    Some(Response::Error(WireError::BadProof))
}

fn response(node: &mut Node, remote: &Remote, id: OutboundRequestId, response: Response) -> Outbox {
    node.handle(Event::Peer(PeerEvent::Response { peer: remote.id.clone(), id, response }))
}

/// The node dials, for a user. Returns the number and the challenge of its hello.
fn dial(node: &mut Node, remote: &Remote) -> (OutboundRequestId, B256) {
    let outbox = node.connect(remote, true, Some(USER));
    let [(id, _, Request::Hello(hello))] = &outbox.requests[..] else { panic!("no hello: {outbox:?}") };
    assert_eq!(hello.chain_id, CHAIN.chain_id);
    (*id, hello.challenge)
}

fn welcome(remote: &Remote, challenge: B256) -> Response {
    let proof = remote.proof(&Remote::own().id, challenge);
    Response::Welcome(thunder_protocol::wire::Welcome {
        chain_id: CHAIN.chain_id,
        challenge: CHALLENGE,
        proof,
    })
}

/// The other node says hello. Returns the challenge and the proof of the welcome.
fn welcomed(node: &mut Node, remote: &Remote) -> (B256, Proof) {
    match node.hello(remote, CHALLENGE) {
        Some(Response::Welcome(welcome)) => (welcome.challenge, welcome.proof),
        other => panic!("no welcome: {other:?}"),
    }
}

#[test]
fn the_dialed_node_proves_itself_on_the_challenge_of_the_hello_and_expects_a_proof_on_its_own() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let _ = node.connect(&remote, false, None);
    let (own_challenge, proof) = welcomed(&mut node, &remote);
    let own = Remote::own();
    let digest = node_binding_digest(CHAIN.chain_id, own.id.as_bytes(), remote.id.as_bytes(), CHALLENGE);
    assert_eq!(recover(&digest, &proof.signature), Some(own.wallet()));
    assert_eq!(node.session(&remote), None, "before the other side has proved itself");
    let proof = remote.proof(&own.id, own_challenge);
    assert_eq!(node.request(&remote, Request::Prove(proof)), Some(Response::Proved));
    assert_eq!(node.session(&remote), Some(SessionId::new(CHALLENGE, own_challenge)));
    assert_eq!(node.engine.peers.by_wallet(&remote.wallet()), Some(&remote.id));
}

#[test]
fn the_dialing_node_proves_itself_only_after_a_valid_welcome_and_its_user_hears_when_both_have() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let (hello, challenge) = dial(&mut node, &remote);
    let outbox = response(&mut node, &remote, hello, welcome(&remote, challenge));
    let [(prove, _, Request::Prove(proof))] = &outbox.requests[..] else { panic!("no proof: {outbox:?}") };
    let own = Remote::own();
    let digest = node_binding_digest(CHAIN.chain_id, own.id.as_bytes(), remote.id.as_bytes(), CHALLENGE);
    assert_eq!(recover(&digest, &proof.signature), Some(own.wallet()));
    assert!(reply(&outbox, USER).is_none() && node.session(&remote).is_none());
    let outbox = response(&mut node, &remote, *prove, Response::Proved);
    assert_eq!(node.session(&remote), Some(SessionId::new(challenge, CHALLENGE)));
    let Some(Ok(Reply::Peer(peer))) = reply(&outbox, USER) else { panic!("no reply: {outbox:?}") };
    assert_eq!(peer.wallet.map(|wallet| wallet.0), Some(remote.wallet()));
}

#[test]
fn a_packet_of_the_new_session_says_that_the_own_proof_has_arrived() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let (hello, challenge) = dial(&mut node, &remote);
    let _ = response(&mut node, &remote, hello, welcome(&remote, challenge));
    let session = SessionId::new(challenge, CHALLENGE);
    let packet = |session| Request::Packet(Packet { session, messages: Vec::new() });
    assert_eq!(node.request(&remote, packet(SessionId::new(CHALLENGE, challenge))), no_session());
    assert_eq!(node.session(&remote), None, "a packet of another session");
    assert!(matches!(node.request(&remote, packet(session)), Some(Response::Packet(_))));
    assert_eq!(node.session(&remote), Some(session));
}

#[test]
fn steps_in_the_wrong_order_open_nothing() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let _ = node.connect(&remote, false, None);
    let proof = remote.proof(&Remote::own().id, CHALLENGE);
    assert_eq!(node.request(&remote, Request::Prove(proof)), no_session(), "a proof before the hello");
    let (own_challenge, _) = welcomed(&mut node, &remote);
    let session = SessionId::new(CHALLENGE, own_challenge);
    let packet = Request::Packet(Packet { session, messages: Vec::new() });
    assert_eq!(node.request(&remote, packet), no_session(), "a packet before the proof");
    for early in [welcome(&remote, CHALLENGE), Response::Proved] {
        let outbox = response(&mut node, &remote, OutboundRequestId(1), early);
        assert!(outbox.requests.is_empty(), "a response without a request");
    }

    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let (hello, challenge) = dial(&mut node, &remote);
    let _ = response(&mut node, &remote, hello, Response::Proved);
    let other = OutboundRequestId(hello.0 + 1);
    let outbox = response(&mut node, &remote, other, welcome(&remote, challenge));
    assert!(outbox.requests.is_empty(), "a welcome to another request");
    let outbox = response(&mut node, &remote, hello, welcome(&remote, challenge));
    let [(prove, ..)] = &outbox.requests[..] else { panic!("no proof: {outbox:?}") };
    let _ = response(&mut node, &remote, hello, Response::Proved);
    assert_eq!(node.session(&remote), None, "the word for the proof in response to the hello");
    let outbox = response(&mut node, &remote, *prove, welcome(&remote, challenge));
    assert!(outbox.requests.is_empty() && node.session(&remote).is_none(), "a second welcome");
}

#[test]
fn a_proof_counts_for_one_key_one_pair_of_nodes_one_chain_and_one_challenge() {
    let remote = Remote::new(HIGH);
    let (own, other) = (Remote::own().id, Remote::new(LOW));
    let sign = |chain: u64, node: &Remote, to: &crate::PeerId, challenge| {
        let digest = node_binding_digest(chain, node.id.as_bytes(), to.as_bytes(), challenge);
        Proof { wallet: remote.wallet(), signature: remote.signer.sign(&digest) }
    };
    let wrong: [(&str, &dyn Fn(B256) -> Proof); 6] = [
        ("another key", &|challenge| Proof { wallet: remote.wallet(), ..other.proof(&own, challenge) }),
        ("of another peer id", &|challenge| sign(CHAIN.chain_id, &other, &own, challenge)),
        ("for another peer id", &|challenge| sign(CHAIN.chain_id, &remote, &other.id, challenge)),
        ("another chain", &|challenge| sign(1, &remote, &own, challenge)),
        ("its own challenge", &|_| remote.proof(&own, CHALLENGE)),
        ("the other direction", &|challenge| {
            let digest = node_binding_digest(CHAIN.chain_id, own.as_bytes(), remote.id.as_bytes(), challenge);
            Proof { wallet: remote.wallet(), signature: remote.signer.sign(&digest) }
        }),
    ];
    for (what, proof) in wrong {
        let mut node = Node::new();
        let _ = node.connect(&remote, false, None);
        let (challenge, _) = welcomed(&mut node, &remote);
        assert_eq!(node.request(&remote, Request::Prove(proof(challenge))), bad_proof(), "{what}");
        let right = Request::Prove(remote.proof(&own, challenge));
        assert_eq!(node.request(&remote, right), no_session(), "{what}: the challenge is used up");
        assert_eq!(node.session(&remote), None, "{what}");
    }
}

#[test]
fn a_welcome_with_a_wrong_proof_is_not_answered_with_the_own_proof_and_the_user_is_told() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let (hello, _) = dial(&mut node, &remote);
    let outbox = response(&mut node, &remote, hello, welcome(&remote, B256::repeat_byte(1)));
    assert!(outbox.requests.is_empty());
    assert!(error(&outbox, USER).message.contains("proof"), "{outbox:?}");
    let outbox = node.wait(crate::peers::FIRST_RETRY);
    assert!(matches!(&outbox.requests[..], [(_, _, Request::Hello(_))]), "it is greeted again: {outbox:?}");
}

#[test]
fn a_replayed_handshake_opens_nothing_and_a_repeated_step_does_not_end_the_session() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let _ = node.connect(&remote, false, None);
    let (challenge, _) = welcomed(&mut node, &remote);
    let recorded = Request::Prove(remote.proof(&Remote::own().id, challenge));
    assert_eq!(node.request(&remote, recorded.clone()), Some(Response::Proved));
    let first = node.session(&remote).unwrap();
    assert_eq!(node.request(&remote, recorded.clone()), no_session());
    assert_eq!(node.session(&remote), Some(first));
    let (fresh, _) = welcomed(&mut node, &remote);
    assert_ne!(fresh, challenge, "the same hello gets a fresh challenge");
    assert_eq!(node.session(&remote), None, "a hello ends the session before it");
    assert_eq!(node.request(&remote, recorded), bad_proof());
    let packet = Request::Packet(Packet { session: first, messages: Vec::new() });
    assert_eq!(node.request(&remote, packet), no_session(), "a packet of the earlier session");
}

#[test]
fn a_hello_is_refused_for_another_chain_and_while_wallet_or_chain_are_missing() {
    let remote = Remote::new(HIGH);
    let refusal = |node: &mut Node, chain_id| {
        let _ = node.connect(&remote, false, None);
        match node.request(&remote, Request::Hello(Hello { chain_id, challenge: CHALLENGE })) {
            Some(Response::Error(error)) => error,
            other => panic!("no refusal: {other:?}"),
        }
    };
    assert_eq!(refusal(&mut Node::new(), 1), WireError::OtherChain(CHAIN.chain_id));
    let mut node = Node::blank(Disk::new(None));
    assert_eq!(refusal(&mut node, CHAIN.chain_id), WireError::NoChain);
    node.find_chain();
    assert_eq!(refusal(&mut node, CHAIN.chain_id), WireError::NoWallet);
    node.engine.set_wallet(Remote::own().signer, node.now);
    assert_eq!(refusal(&mut node, CHAIN.chain_id), WireError::NotReady, "the chain is not read yet");
    let _ = node.read();
    assert!(matches!(node.hello(&remote, CHALLENGE), Some(Response::Welcome(_))));
}

#[test]
fn a_refused_hello_is_told_to_the_user_where_waiting_does_not_help() {
    let refusals = [
        (WireError::OtherChain(1), Some("--RPC")),
        (WireError::NoWallet, Some("wallet")),
        (WireError::NoChain, Some("log")),
        (WireError::NotReady, None),
    ];
    for (refusal, hint) in refusals {
        let (mut node, remote) = (Node::new(), Remote::new(HIGH));
        let (hello, _) = dial(&mut node, &remote);
        let outbox = response(&mut node, &remote, hello, Response::Error(refusal));
        match hint {
            Some(hint) => assert!(error(&outbox, USER).hint.contains(hint), "{refusal:?}: {outbox:?}"),
            None => assert!(reply(&outbox, USER).is_none(), "{refusal:?}"),
        }
        let outbox = node.wait(crate::peers::FIRST_RETRY);
        assert!(matches!(&outbox.requests[..], [(_, _, Request::Hello(_))]), "{refusal:?}: {outbox:?}");
    }
}

#[test]
fn a_node_opens_no_session_with_its_own_peer_id_or_its_own_wallet() {
    let wallet_only = Remote { signer: Remote::own().signer, ..Remote::new(HIGH) };
    for remote in [Remote::own(), wallet_only] {
        let mut node = Node::new();
        let _ = node.connect(&remote, false, None);
        let (challenge, _) = welcomed(&mut node, &remote);
        let proof = remote.proof(&Remote::own().id, challenge);
        assert_eq!(node.request(&remote, Request::Prove(proof)), bad_proof());

        let mut node = Node::new();
        let (hello, challenge) = dial(&mut node, &remote);
        let outbox = response(&mut node, &remote, hello, welcome(&remote, challenge));
        assert!(error(&outbox, USER).message.contains("same wallet"), "{outbox:?}");
        assert!(outbox.requests.is_empty() && node.session(&remote).is_none());
    }
}

#[test]
fn a_second_node_with_the_same_wallet_replaces_the_first() {
    let (mut node, first) = (Node::new(), Remote::new(HIGH));
    let second = Remote { id: Remote::new(LOW).id, ..Remote::new(HIGH) };
    let earlier = node.open_session(&first);
    let later = node.open_session(&second);
    assert_eq!((node.session(&first), node.session(&second)), (None, Some(later)));
    assert_eq!(node.engine.peers.by_wallet(&first.wallet()), Some(&second.id));
    let packet = Request::Packet(Packet { session: earlier, messages: Vec::new() });
    assert_eq!(node.request(&first, packet), no_session());
}

#[test]
fn of_two_nodes_that_say_hello_at_once_the_one_with_the_greater_peer_id_goes_on() {
    let (mut node, low) = (Node::new(), Remote::new(LOW));
    let (hello, challenge) = dial(&mut node, &low);
    assert_eq!(node.hello(&low, CHALLENGE), Some(Response::Error(WireError::NotReady)));
    let outbox = response(&mut node, &low, hello, welcome(&low, challenge));
    assert!(matches!(&outbox.requests[..], [(_, _, Request::Prove(_))]), "its own goes on: {outbox:?}");

    let (mut node, high) = (Node::new(), Remote::new(HIGH));
    let (hello, challenge) = dial(&mut node, &high);
    let _ = welcomed(&mut node, &high);
    let outbox = response(&mut node, &high, hello, welcome(&high, challenge));
    assert!(outbox.requests.is_empty(), "its own was given up: {outbox:?}");
}

#[test]
fn another_wallet_ends_the_sessions_and_the_handshakes_that_were_begun_with_the_one_before() {
    let (mut node, remote, begun) = (Node::new(), Remote::new(HIGH), Remote::new(LOW));
    let session = node.open_session(&remote);
    let _ = node.connect(&begun, false, None);
    let (challenge, _) = welcomed(&mut node, &begun);
    node.engine.set_wallet(Remote::new(7).signer, node.now);
    let _ = node.finish();
    let packet = Request::Packet(Packet { session, messages: Vec::new() });
    assert_eq!(node.request(&remote, packet), no_session());
    let proof = begun.proof(&Remote::own().id, challenge);
    assert_eq!(
        node.request(&begun, Request::Prove(proof)),
        no_session(),
        "it was welcomed by another wallet"
    );
}

#[test]
fn a_refused_or_failed_request_ends_its_session_and_not_a_later_one() {
    let (mut node, mut remote) = (Node::new(), Remote::new(HIGH));
    node.open_session(&remote);
    let channel = node.open_channel(&mut remote);
    assert_ne!(channel, Address::ZERO);
    let fail = |node: &mut Node, id, is_error: bool| {
        let peer = remote.id.clone();
        node.handle(Event::Peer(match is_error {
            true => PeerEvent::Response { peer, id, response: Response::Error(WireError::NoSession) },
            false => PeerEvent::RequestFailed { peer, id, is_unsupported: false },
        }))
    };
    for is_error in [true, false] {
        let again = node.hello(&remote, CHALLENGE);
        let Some(Response::Welcome(welcome)) = again else { panic!("no welcome") };
        let outbox = {
            let proof = Request::Prove(remote.proof(&Remote::own().id, welcome.challenge));
            let id = crate::InboundRequestId(node.next());
            node.handle(Event::Peer(PeerEvent::Request { peer: remote.id.clone(), id, request: proof }))
        };
        assert!(sent(&outbox).iter().all(|envelope| matches!(envelope, Envelope::Channel { .. })));
        let open = node.session(&remote);
        assert!(open.is_some());
        let _ = fail(&mut node, OutboundRequestId(1), is_error);
        assert_eq!(node.session(&remote), open, "a request of before this session");
        let newest = node.engine.next_outbound_id();
        let _ = fail(&mut node, newest, is_error);
        assert_eq!(node.session(&remote), None, "a request of this session");
    }
}

#[test]
fn a_lost_response_ends_the_session_so_that_both_sides_show_where_they_stand() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    node.open_session(&remote);
    let _ = node.handle(Event::Peer(PeerEvent::ResponseFailed { peer: remote.id.clone() }));
    assert_eq!(node.session(&remote), None);
    let outbox = node.wait(crate::peers::FIRST_RETRY);
    assert!(matches!(&outbox.requests[..], [(_, _, Request::Hello(_))]), "{outbox:?}");
}

#[test]
fn a_packet_whose_session_ends_in_the_same_batch_is_answered_with_no_session() {
    let (mut node, remote) = (Node::new(), Remote::new(HIGH));
    let session = node.open_session(&remote);
    let (id, peer) = (crate::InboundRequestId(node.next()), remote.id.clone());
    let request = Request::Packet(Packet { session, messages: Vec::new() });
    node.engine.handle(Event::Peer(PeerEvent::Request { peer, id, request }), node.now);
    let outbox = node.handle(Event::Peer(PeerEvent::ResponseFailed { peer: remote.id.clone() }));
    assert_eq!(outbox.responses, [(id, Response::Error(WireError::NoSession))]);
}
