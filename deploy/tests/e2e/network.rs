//! A network that is slow, breaks and heals, and nodes that move: no payment is lost or made twice,
//! and whoever pays knows in bounded time.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use thunder_protocol::Address;

use super::endpoint::Endpoint;
use super::harness::*;
use super::line::Line;

/// Two users with a channel of 10 THD, paid in by the first, who reaches the second over a line.
fn over_a_line(world: &World) -> (Node, Node, Line, Address) {
    let (alice, bob) = (world.user(1), world.user(2));
    let line = Line::to(bob.port);
    alice.ok(&["connect", &line.address()]);
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);
    alice.wait_usable(channel);
    (alice, bob, line, channel)
}

/// Both are in touch again and agree on everything.
fn agree(alice: &Node, bob: &Node, channel: Address) {
    alice.wait_connected(bob);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    wait_for("both have the same receipt", || {
        alice.channel(channel)["nonce"] == bob.channel(channel)["nonce"]
    });
    let paid = |node: &Node| -> Vec<_> {
        let payments = node.history().into_iter();
        let mut paid: Vec<_> = payments
            .map(|payment| (payment["id"].to_string(), payment["amount"].clone(), payment["status"].clone()))
            .collect();
        paid.sort_by(|a, b| a.0.cmp(&b.0));
        paid
    };
    let (ours, theirs) = (paid(alice), paid(bob));
    assert_eq!(ours, theirs);
    let ids: std::collections::BTreeSet<_> = ours.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), ours.len(), "nothing was paid twice");
}

#[test]
fn after_a_partition_during_payments_the_channel_goes_on_and_both_histories_agree() {
    let world = World::new();
    let (alice, bob, line, channel) = over_a_line(&world);
    let (confirmed, broken) = std::thread::scope(|scope| {
        let paying = scope.spawn(|| {
            let mut confirmed = Vec::new();
            for number in 0.. {
                let id = format!("p{number}");
                let output = alice.output(&["--timeout", "5", "pay", "0.001", "--id", &id]);
                match output.status.code() {
                    Some(0) => confirmed.push(id),
                    Some(5 | 6) => return (confirmed, id),
                    code => panic!("{code:?}: {}", text(&output.stderr)),
                }
            }
            unreachable!()
        });
        wait_for("payments flow", || alice.channel(channel)["nonce"].as_u64().unwrap() > 6);
        line.cut();
        paying.join().unwrap()
    });
    wait_for("both notice", || !alice.is_connected_with(&bob) && !bob.is_connected_with(&alice));
    alice.refused(&["pay", "0.001"], 5, "peer_not_connected");
    wait_for("it is dialed again and again", || line.tried() >= 3);
    line.heal();
    agree(&alice, &bob, channel);
    // Whoever does not know what became of a payment asks with the same id.
    alice.ok(&["pay", "0.001", "--id", &broken]);
    agree(&alice, &bob, channel);
    let history = alice.history();
    assert!(confirmed.iter().all(|id| history.iter().any(|payment| payment["id"] == id.as_str())));
    assert_eq!(history.len(), confirmed.len() + 1);
}

#[test]
fn a_half_open_connection_is_noticed_and_a_payment_on_it_is_settled_once_by_its_id() {
    let world = World::new();
    let (alice, bob, line, channel) = over_a_line(&world);
    line.freeze();
    alice.refused(&["--timeout", "2", "pay", "1", "--id", "half-open"], 6, "timeout");
    // Neither side hears that the other is gone: each finds out by itself.
    wait_for("both notice", || !alice.is_connected_with(&bob) && !bob.is_connected_with(&alice));
    alice.refused(&["pay", "1"], 5, "peer_not_connected");
    line.heal();
    agree(&alice, &bob, channel);
    alice.ok(&["pay", "1", "--id", "half-open"]);
    agree(&alice, &bob, channel);
    assert_eq!((alice.mine(channel), alice.history().len()), (thd("9"), 1));
}

#[test]
fn over_a_slow_line_everything_works() {
    let world = World::new();
    let (alice, bob, line, channel) = over_a_line(&world);
    line.delay(Duration::from_millis(300));
    alice.pay("1");
    bob.pay("0.25");
    agree(&alice, &bob, channel);
    line.cut();
    wait_for("both notice", || !alice.is_connected_with(&bob) && !bob.is_connected_with(&alice));
    line.heal();
    agree(&alice, &bob, channel);
    alice.pay("1");
    agree(&alice, &bob, channel);
    assert_eq!(alice.mine(channel), thd("8.25"));
}

/// An address of this machine other than 127.0.0.1, where the system has more.
const ELSEWHERE: &str = if cfg!(target_os = "linux") { "127.0.0.2" } else { "127.0.0.1" };

fn move_to(node: &mut Node, ip: &str) -> String {
    node.kill();
    node.port = thunder_deploy::ports::free().unwrap();
    node.flags = vec!["--listen".into(), ip.into()];
    node.start();
    format!("{ip}:{}", node.port)
}

#[test]
fn a_node_that_moves_keeps_its_channel_whoever_dials() {
    let world = World::new();
    let (alice, mut bob, channel) = world.channel();
    alice.pay("1");
    let address = move_to(&mut bob, ELSEWHERE);
    alice.ok(&["connect", &address]);
    agree(&alice, &bob, channel);
    alice.pay("1");
    // From now on it is dialed there.
    bob.crash();
    agree(&alice, &bob, channel);
    // It moves, and dials by itself.
    move_to(&mut bob, "127.0.0.1");
    bob.connect(&alice);
    agree(&alice, &bob, channel);
    bob.pay("0.5");
    agree(&alice, &bob, channel);
    assert_eq!(alice.mine(channel), thd("8.5"));
}

/// Connected with while it was starting, the other node greets first. It is dialed again all the same.
#[test]
fn a_node_that_was_asked_for_while_it_was_starting_is_dialed_again_too() {
    let world = World::new();
    let alice = world.user_with(1, &["--log", "info,thunder_engine=debug"]);
    let mut bob = world.user(2);
    let entry = Endpoint::of(&world);
    bob.kill();
    bob.rpc = entry.url();
    entry.go_down();
    bob.start();
    let there = format!("127.0.0.1:{}", bob.port);
    let mut asking = alice.cli().args(["connect", &there]).stdout(Stdio::null()).spawn().unwrap();
    // She waits longer each time before she greets again.
    wait_for("alice has greeted in vain", || alice.log().matches("the other node refuses").count() > 2);
    entry.behave();
    assert!(asking.wait().unwrap().success(), "{}", alice.log());
    bob.crash();
    bob.wait_connected(&alice);
}

#[test]
fn over_quic_a_channel_survives_a_crash() {
    let world = World::new();
    let (alice, mut bob) = (world.user(1), world.user(2));
    let quic = format!("/ip4/127.0.0.1/udp/{}/quic-v1", bob.port);
    let peer = alice.ok(&["connect", &quic]);
    assert!(peer["address"].as_str().unwrap().starts_with(&quic), "{peer}");
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);
    alice.pay("1");
    bob.crash();
    agree(&alice, &bob, channel);
    let infos = alice.infos();
    assert!(infos["peers"][0]["address"].as_str().unwrap().starts_with(&quic), "{infos}");
    alice.pay("1");
    assert_eq!(bob.mine(channel), thd("2"));
}

#[test]
fn a_node_that_is_named_is_connected_with_and_no_other() {
    let world = World::new();
    let (alice, bob, carol) = (world.user(1), world.user(2), world.user(3));
    let tcp = |node: &Node, id: &str| format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", node.port);
    let (bob_id, carol_id) = (bob.peer_id(), carol.peer_id());
    let is_told = |address: &str, found: &str, wanted: &str| {
        let refused = alice.refused(&["connect", address], 5, "peer_unreachable");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(found) && message.contains(wanted), "{address}: {message}");
    };
    is_told(&tcp(&bob, &carol_id), &bob_id, &carol_id);
    alice.ok(&["connect", &tcp(&bob, &bob_id)]);
    for _ in 0..2 {
        is_told(&tcp(&bob, &carol_id), &bob_id, &carol_id);
        is_told(&format!("/ip4/127.0.0.1/udp/{}/quic-v1/p2p/{carol_id}", bob.port), &bob_id, &carol_id);
    }
    assert!(alice.is_connected_with(&bob), "nothing has changed");
    // She has dialed in, from where others reach her.
    carol.connect(&alice);
    let nobody = world.node().peer_id();
    is_told(&tcp(&carol, &nobody), &carol_id, &nobody);
    // Both are connected, and neither is where the other is.
    is_told(&tcp(&carol, &bob_id), &carol_id, &bob_id);
    is_told(&tcp(&bob, &carol_id), &bob_id, &carol_id);
    let requested = |alice: &Node| {
        let peers = alice.infos()["peers"].as_array().unwrap().clone();
        peers.iter().filter(|peer| peer["requested"] == true).count()
    };
    assert_eq!(requested(&alice), 1, "whoever was not reached was not asked for");
    // However often: one connection is enough.
    for _ in 0..8 {
        alice.ok(&["connect", &tcp(&bob, &bob_id)]);
    }
    assert_eq!(alice.ok(&["connect", &tcp(&carol, &carol_id)])["peer_id"], carol_id);
    assert_eq!(alice.infos()["peers"].as_array().unwrap().len(), 2);
}

/// The address of this machine in a network where multicast works, if there is one.
fn in_a_local_network() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect("203.0.113.1:9").ok()?;
    let std::net::IpAddr::V4(ip) = socket.local_addr().ok()?.ip() else { return None };
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    receiver.join_multicast_v4(&group, &ip).ok()?;
    receiver.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let sender = UdpSocket::bind((ip, 0)).ok()?;
    sender.send_to(b"?", (group, receiver.local_addr().ok()?.port())).ok()?;
    (!ip.is_loopback() && receiver.recv(&mut [0; 8]).is_ok()).then_some(ip)
}

#[test]
fn nodes_of_the_local_network_are_listed_and_only_those_asked_for_are_dialed() {
    let Some(ip) = in_a_local_network().map(|ip| ip.to_string()) else {
        eprintln!("not tried: no network in which multicast works");
        return;
    };
    let world = World::new();
    let here = ["--mdns", "--listen", &ip];
    let (alice, mut bob) = (world.user_with(1, &here), world.user_with(2, &here));
    let seen = |node: &Node, other: &Node| {
        let found = node.infos()["discovered"].as_array().unwrap().clone();
        let other = other.peer_id();
        found.iter().find(|node| node["peer_id"] == other.as_str()).map(|node| node["address"].clone())
    };
    wait_for("they see each other", || seen(&alice, &bob).is_some() && seen(&bob, &alice).is_some());
    for node in [&alice, &bob] {
        assert_eq!(node.infos()["peers"], serde_json::json!([]), "nobody asked for a connection");
    }
    let address = seen(&alice, &bob).unwrap();
    alice.ok(&["connect", address.as_str().unwrap()]);
    alice.wait_connected(&bob);
    // One that was asked for is found where it has moved to.
    bob.kill();
    bob.port = thunder_deploy::ports::free().unwrap();
    bob.start();
    alice.wait_connected(&bob);
    assert!(alice.infos()["channels"].as_array().unwrap().is_empty());
}
