//! Which channels the chain task is told to watch, and for how long (guard rules G1 and G2).

use thunder_protocol::channel::{ChannelCommand, CommandId, PeerInput};
use thunder_protocol::onchain::{CallKind, ChannelEnd, EndKind, OnChain};
use thunder_protocol::wire::{Envelope, Message, Packet, Request};
use thunder_protocol::{Amount, B256, Balances, Memo, Payment, PaymentId};

use super::*;
use crate::event::{Event, InboundRequestId, PeerEvent};
use crate::outbox::Outbox;
use crate::testing::{CHAIN, HEAD, Node, calls, old_closing, paid, thd, with_channel};

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

/// A payment of the partner's comes, and in the same batch the RPC endpoint shows another chain, for some time.
#[test]
fn a_receipt_that_is_signed_in_the_batch_in_which_the_chain_changes_is_on_disk_with_its_payments() {
    let (mut node, mut remote, channel) = with_channel();
    paid(&mut node, &mut remote, channel, "rent");
    let (id, memo) = (PaymentId::new("back").unwrap(), Memo::default());
    let pay = ChannelCommand::Pay { payment: Payment { id, amount: thd("1"), memo }, known: None };
    remote.apply(Input::Command(CommandId(1), pay), node.now);
    let proposed = remote.apply(Input::Flush, node.now);
    let [propose @ Message::Propose(_)] = &proposed[..] else { panic!("{proposed:?}") };
    let session = node.session(&remote).unwrap();
    let messages = vec![Envelope::Channel { channel, message: propose.clone() }];
    let (peer, id) = (remote.id.clone(), InboundRequestId(node.next()));
    let request = Request::Packet(Packet { session, messages });
    node.engine.handle(Event::Peer(PeerEvent::Request { peer, id, request }), node.now);
    let other = ChainIdentity { chain_id: 5, genesis: B256::repeat_byte(5) };
    let _ = node.chain(ChainEvent::ChainSelected(other));
    let _ = node.chain(ChainEvent::ChainSelected(CHAIN));
    let _ = node.read();
    let agreed = node.engine.channels.get(&channel).unwrap().channel.receipts().unwrap().agreed;
    let shares = agreed.balances();
    assert_eq!((shares.a, shares.b), (thd("10"), Amount::ZERO), "the payment is in a receipt");
    // The partner has not got the answer, and proposes the same again.
    remote.apply(Input::Peer(PeerInput::Disconnected), node.now);
    node.open_session(&remote);
    let from_remote = remote.apply(Input::Peer(PeerInput::Connected { initiator: true }), node.now);
    node.exchange(&mut remote, channel, from_remote, Vec::new());
    let theirs = remote.channel.as_ref().unwrap().receipts().unwrap().agreed;
    assert_eq!(theirs.receipt, agreed.receipt);
}
