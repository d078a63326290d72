//! Which channels the chain task is told to watch, and for how long (guard rules G1 and G2).

use thunder_protocol::Balances;
use thunder_protocol::onchain::{CallKind, ChannelEnd, EndKind, OnChain};

use super::*;
use crate::outbox::Outbox;
use crate::testing::{HEAD, Node, calls, old_closing, paid, thd, with_channel};

fn show_end(node: &mut Node, channel: Address) -> Outbox {
    let paid_out = Balances { a: thd("10"), b: thd("0") };
    node.view(
        channel,
        OnChain::Closed { closing: None, end: ChannelEnd { kind: EndKind::Cancelled, paid_out } },
    )
}

fn unwatches(outbox: &Outbox, channel: Address) -> bool {
    outbox
        .chain
        .iter()
        .any(|command| matches!(command, ChainCommand::Unwatch(address) if *address == channel))
}

#[test]
fn g2_a_channel_is_watched_for_a_week_after_its_end_was_seen() {
    let (mut node, _remote, channel) = with_channel();
    let outbox = show_end(&mut node, channel);
    assert!(!unwatches(&outbox, channel));
    node.now += WATCH_ENDED_FOR - 1;
    // However far the chain is, as an endpoint says.
    let outbox = node.chain(ChainEvent::BlockRead { head: HEAD + 1_000 * UNWATCH_EVERY });
    assert!(!unwatches(&outbox, channel));
    node.now += 1;
    let outbox = node.chain(ChainEvent::BlockRead { head: HEAD + 1_001 * UNWATCH_EVERY });
    assert!(unwatches(&outbox, channel), "not for ever");
}

#[test]
fn g2_an_end_that_was_false_is_left_again_and_an_old_closing_is_challenged() {
    let (mut node, mut remote, channel) = with_channel();
    paid(&mut node, &mut remote, channel, "rent");
    let _ = show_end(&mut node, channel);
    let claimed = node.chain(ChainEvent::Claim { channel, closing: old_closing() });
    assert_eq!(calls(&claimed), [CallKind::Challenge], "one endpoint shows it");
    let seen = node.view(channel, OnChain::Closing(old_closing()));
    assert_eq!(calls(&seen), [CallKind::Challenge], "it is true");
}

#[test]
fn a_reorganisation_is_logged_once_a_minute() {
    let mut node = Node::new();
    let _ = node.chain(ChainEvent::Reorganisation { first: 5 });
    let first = node.engine.chain.reorganisation_logged;
    node.now += LOG_REORGANISATION_EVERY - 1;
    let _ = node.chain(ChainEvent::Reorganisation { first: 5 });
    assert_eq!(node.engine.chain.reorganisation_logged, first);
    node.now += 1;
    let _ = node.chain(ChainEvent::Reorganisation { first: 5 });
    assert_ne!(node.engine.chain.reorganisation_logged, first);
}
