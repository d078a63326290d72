//! What peers may ask of a node, and how often they are dialed and greeted.

use thunder_protocol::B256;
use thunder_protocol::wire::{Packet, Request, Response, SessionId, WireError};

use super::*;
use crate::testing::{Node, Remote};
use crate::token_bucket::{BUDGET, BUDGET_PER_SECOND, HANDSHAKE_COST};
use crate::{Outbox, UserCommand};

fn disconnected(outbox: &Outbox) -> Vec<(&PeerId, DisconnectReason)> {
    outbox.disconnects.iter().map(|(peer, why)| (peer, *why)).collect()
}

/// The number of a stranger as a peer id.
fn stranger(number: usize) -> Remote {
    let id = PeerId::new(&number.to_be_bytes(), &format!("stranger-{number}"));
    Remote { id, ..Remote::new(7) }
}

#[test]
fn a_peer_that_does_not_prove_itself_in_time_is_disconnected_and_others_are_not() {
    let (mut node, silent, proved, dialed) = (Node::new(), stranger(1), Remote::new(200), stranger(2));
    node.open_session(&proved);
    let _ = node.connect(&silent, false, None);
    let _ = node.connect(&dialed, true, None);
    assert_eq!(disconnected(&node.wait(PROVE_WITHIN - 1)), []);
    let outbox = node.wait(10_000);
    assert_eq!(disconnected(&outbox), [(&silent.id, DisconnectReason::Unproved)]);
}

#[test]
fn of_too_many_strangers_the_one_with_the_least_time_left_goes() {
    let mut node = Node::new();
    for number in 0..MAX_STRANGERS {
        let outbox = node.connect(&stranger(number), false, None);
        assert_eq!(disconnected(&outbox), [], "{number}");
        node.now += 1;
    }
    let outbox = node.connect(&stranger(MAX_STRANGERS), false, None);
    assert_eq!(disconnected(&outbox), [(&stranger(0).id, DisconnectReason::TooManyStrangers)]);
    // A peer that a user has asked for is no stranger.
    let outbox = node.connect(&stranger(MAX_STRANGERS + 1), false, Some(UserRequestId(1)));
    assert_eq!(disconnected(&outbox), []);
}

#[test]
fn a_peer_that_begins_handshakes_without_end_spends_its_budget_and_is_listened_to_no_more() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    let _ = node.connect(&remote, false, None);
    let affordable = BUDGET / HANDSHAKE_COST;
    for number in 0..affordable {
        let response = node.hello(&remote, B256::ZERO);
        assert!(matches!(response, Some(Response::Welcome(_))), "{number}: {response:?}");
    }
    let hello = thunder_protocol::wire::Hello { chain_id: 31337, challenge: B256::ZERO };
    let (id, peer) = (crate::InboundRequestId(node.next()), remote.id.clone());
    let request = crate::PeerEvent::Request { peer, id, request: Request::Hello(hello) };
    let outbox = node.handle(crate::Event::Peer(request));
    assert_eq!(disconnected(&outbox), [(&remote.id, DisconnectReason::BudgetSpent)]);
    assert_eq!(node.hello(&remote, B256::ZERO), None, "nothing more is answered");
    let outbox = node.connect(&remote, false, None);
    assert_eq!(disconnected(&outbox), [(&remote.id, DisconnectReason::Banned)]);
}

#[test]
fn a_budget_fills_up_again_with_time() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    let _ = node.connect(&remote, false, None);
    let packet =
        || Request::Packet(Packet { session: SessionId::new(B256::ZERO, B256::ZERO), messages: vec![] });
    for _ in 0..BUDGET {
        assert_eq!(node.request(&remote, packet()), Some(Response::Error(WireError::NoSession)));
    }
    node.now += 1000;
    for _ in 0..BUDGET_PER_SECOND {
        assert_eq!(node.request(&remote, packet()), Some(Response::Error(WireError::NoSession)));
    }
    assert!(!node.engine.peers.is_banned(&remote.id));
    let _ = node.request(&remote, packet());
    assert!(node.engine.peers.is_banned(&remote.id));
}

#[test]
fn a_banned_peer_that_was_asked_for_is_dialed_again_only_after_the_longest_wait() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    let session = node.open_session(&remote);
    let address = "/ip4/127.0.0.1/tcp/peer-200".to_owned();
    let (_, outbox) = node.command(UserCommand::Connect { peer: None, addresses: vec![address.clone()] });
    assert!(outbox.dials.is_empty(), "it is connected");
    node.engine.peers.ban(&remote.id);
    let packet = Request::Packet(Packet { session, messages: Vec::new() });
    assert_eq!(node.request(&remote, packet), None);
    node.engine.on_disconnected(&remote.id, ConnectionId(1), 0);
    let _ = node.finish();
    assert!(node.wait(LAST_RETRY - 1).dials.is_empty());
    let dial = Dial::Remembered { peer: remote.id.clone(), address };
    assert_eq!(node.wait(1).dials, [dial]);
}

#[test]
fn the_wait_before_the_next_attempt_doubles_and_has_an_end() {
    let waits: Vec<_> = (0..8).map(retry_after).collect();
    assert_eq!(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, LAST_RETRY, LAST_RETRY]);
    assert_eq!(retry_after(u32::MAX), LAST_RETRY);
}
