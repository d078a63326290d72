//! What a node gets that speaks another version of the protocol.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::request_response;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, noise, ping, tcp, yamux};
use thunder_node::p2p::{BehaviourEvent, build, is_unsupported};
use thunder_protocol::B256;
use thunder_protocol::wire::{Hello, Request};

/// A node of libp2p that does not speak our protocol.
fn stranger() -> Swarm<ping::Behaviour> {
    libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| ping::Behaviour::default())
        .unwrap()
        .build()
}

async fn address(swarm: &mut Swarm<ping::Behaviour>) -> Multiaddr {
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_request_to_an_unknown_version_fails_as_unsupported() {
    let mut stranger = stranger();
    stranger.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = address(&mut stranger).await;
    let mut node = build(Keypair::generate_ed25519(), false).unwrap();
    node.dial(address).unwrap();
    let hello = Request::Hello(Hello { chain_id: 1, challenge: B256::ZERO });
    let failure = loop {
        tokio::select! {
            _ = stranger.select_next_some() => {}
            event = node.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    node.behaviour_mut().messages.send_request(&peer_id, hello.clone().into());
                }
                SwarmEvent::Behaviour(BehaviourEvent::Messages(request_response::Event::OutboundFailure {
                    error,
                    ..
                })) => break error,
                _ => {}
            }
        }
    };
    assert!(is_unsupported(&failure), "{failure:?}");
}
