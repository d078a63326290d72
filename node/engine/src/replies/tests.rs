//! Every user gets one reply, and the one that belongs to the command.

use thunder_api::{CloseMode, CloseRequest, PayManyRequest, PayRequest, PaymentRequest, Selector};
use thunder_protocol::channel::PeerInput;
use thunder_protocol::wire::{Envelope, Message};
use thunder_protocol::{B256, ChainIdentity, Input, Memo, PaymentId};

use super::*;
use crate::payments::MAX_PAYMENTS_IN_CALL;
use crate::testing::{CHAIN, HEAD, Node, Remote, error, reply, sent, thd};
use crate::{ChainEvent, Event, InboundRequestId, Outbox, PeerEvent, UserCommand};

fn payment(amount: &str, id: &str) -> PaymentRequest {
    PaymentRequest { amount: thd(amount), memo: Memo::default(), id: Some(PaymentId::new(id).unwrap()) }
}

fn pay(amount: &str, id: &str) -> UserCommand {
    UserCommand::Pay(PayRequest { channel: Selector::default(), payment: payment(amount, id) })
}

fn pay_many(payments: Vec<PaymentRequest>) -> UserCommand {
    UserCommand::PayMany(PayManyRequest { channel: Selector::default(), payments })
}

fn close(mode: CloseMode) -> UserCommand {
    let request = CloseRequest { channel: Selector::default(), mode, confirmed: false };
    UserCommand::Close { request, gas: Ok(()) }
}

fn with_channel() -> (Node, Remote, Address) {
    let (mut node, mut remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    let channel = node.open_channel(&mut remote);
    (node, remote, channel)
}

/// The other side gets what was sent, and answers. Returns what comes of the answer.
fn answered(node: &mut Node, remote: &mut Remote, channel: Address, outbox: &Outbox) -> Outbox {
    let mut messages = Vec::new();
    for envelope in sent(outbox) {
        let Envelope::Channel { message, .. } = envelope else { continue };
        let input = PeerInput::Message { message, repeated: Vec::new() };
        let answers: Vec<Message> = remote.apply(Input::Peer(input), node.now);
        messages.extend(answers.into_iter().map(|message| Envelope::Channel { channel, message }));
    }
    let packet = thunder_protocol::wire::Packet { session: node.session(remote).unwrap(), messages };
    let (id, peer) = (InboundRequestId(node.next()), remote.id.clone());
    let request = thunder_protocol::wire::Request::Packet(packet);
    node.handle(Event::Peer(PeerEvent::Request { peer, id, request }))
}

#[test]
fn pay_is_answered_when_both_have_signed_and_with_the_shares_of_that_receipt() {
    let (mut node, mut remote, channel) = with_channel();
    let (request, outbox) = node.command(pay("1.5", "rent"));
    assert!(reply(&outbox, request).is_none(), "the other side has not answered");
    let outbox = answered(&mut node, &mut remote, channel, &outbox);
    let Some(Ok(Reply::Paid(paid))) = reply(&outbox, request) else { panic!("no reply: {outbox:?}") };
    assert_eq!((paid.nonce, paid.channel.0, paid.id.as_str()), (1, channel, "rent"));
    assert_eq!((paid.amount, paid.mine, paid.theirs), (thd("1.5"), thd("8.5"), thd("1.5")));
    assert!(node.engine.pending_commands.is_empty());
}

#[test]
fn rule_6_a_repeated_payment_gets_the_same_reply_and_pays_once() {
    let (mut node, mut remote, channel) = with_channel();
    let (first, outbox) = node.command(pay("1", "rent"));
    let (again, nothing) = node.command(pay("1", "rent"));
    assert!(sent(&nothing).is_empty() && reply(&nothing, again).is_none(), "{nothing:?}");
    let outbox = answered(&mut node, &mut remote, channel, &outbox);
    for request in [first, again] {
        let Some(Ok(Reply::Paid(paid))) = reply(&outbox, request) else { panic!("no reply: {outbox:?}") };
        assert_eq!((paid.nonce, paid.mine), (1, thd("9")));
    }
    let (later, outbox) = node.command(pay("1", "rent"));
    assert!(matches!(reply(&outbox, later), Some(Ok(Reply::Paid(paid))) if paid.nonce == 1), "{outbox:?}");
    assert!(sent(&outbox).is_empty());
    let (other, outbox) = node.command(pay("2", "rent"));
    assert_eq!(error(&outbox, other).code, Code::IdInUse, "another amount under the same id");
}

#[test]
fn rule_6_an_id_that_was_used_with_one_payee_pays_no_other_one() {
    let (mut node, mut remote, channel) = with_channel();
    let (_, outbox) = node.command(pay("1", "rent"));
    let _ = answered(&mut node, &mut remote, channel, &outbox);
    let mut other = Remote::new(201);
    node.open_session(&other);
    let second = node.open_channel(&mut other);
    let selector = Selector { channel: Some(second.to_string()), ..Selector::default() };
    let order = PayRequest { channel: selector, payment: payment("1", "rent") };
    let (request, outbox) = node.command(UserCommand::Pay(order));
    assert_eq!(error(&outbox, request).code, Code::IdInUse);
    assert!(sent(&outbox).is_empty());
}

#[test]
fn many_payments_get_one_reply_in_their_order_with_what_became_of_each() {
    let (mut node, mut remote, channel) = with_channel();
    let payments = vec![payment("1", "a"), payment("11", "b"), payment("2", "c"), payment("1", "a")];
    let (request, outbox) = node.command(pay_many(payments));
    assert!(reply(&outbox, request).is_none());
    let outbox = answered(&mut node, &mut remote, channel, &outbox);
    let Some(Ok(Reply::PaidMany(replies))) = reply(&outbox, request) else { panic!("no reply: {outbox:?}") };
    let ids = |reply: &ApiResult<Paid>| match reply {
        Ok(paid) => Ok((paid.id.as_str().to_owned(), paid.nonce)),
        Err(error) => Err(error.code),
    };
    let paid = |id: &str| Ok((id.to_owned(), 1));
    let expected = [paid("a"), Err(Code::InsufficientBalance), paid("c"), paid("a")];
    assert_eq!(replies.iter().map(ids).collect::<Vec<_>>(), expected);
    assert!(node.engine.paid_many.is_empty() && node.engine.pending_commands.is_empty());
}

#[test]
fn a_call_has_at_least_one_payment_and_not_too_many() {
    let (mut node, _, _) = with_channel();
    for count in [0, MAX_PAYMENTS_IN_CALL + 1] {
        let (request, outbox) = node.command(pay_many(vec![payment("1", "a"); count]));
        assert_eq!(error(&outbox, request).code, Code::Busy, "{count}");
    }
    assert!(node.engine.paid_many.is_empty() && node.engine.pending_commands.is_empty());
}

#[test]
fn a_user_who_has_gone_gets_no_reply_and_the_payment_is_made() {
    let (mut node, mut remote, channel) = with_channel();
    let (request, outbox) = node.command(pay("1", "rent"));
    let (many, more) = node.command(pay_many(vec![payment("1", "a")]));
    let _ = node.handle(Event::Abandoned([request, many].into()));
    assert!(node.engine.paid_many.is_empty() && node.engine.pending_commands.is_empty());
    let outbox = answered(&mut node, &mut remote, channel, &outbox);
    assert!(outbox.replies.is_empty() && sent(&more).is_empty(), "{outbox:?}");
    assert_eq!(
        node.engine.channels().get(&channel).unwrap().channel.receipts().unwrap().agreed.nonce().get(),
        1
    );
}

#[test]
fn users_who_wait_are_told_when_the_chain_is_another_one() {
    let (mut node, _remote, _) = with_channel();
    let (paying, _) = node.command(pay("1", "rent"));
    let (many, _) = node.command(pay_many(vec![payment("1", "a"), payment("1", "b")]));
    let other = ChainIdentity { genesis: B256::repeat_byte(8), ..CHAIN };
    let outbox = node.chain(ChainEvent::ChainSelected(other));
    assert_eq!(error(&outbox, paying).message, chain_is_gone().message);
    let of_many: Vec<_> = outbox.replies.iter().filter(|(to, _)| *to == many).collect();
    assert_eq!(of_many.len(), 1, "one reply to one call: {of_many:?}");
    assert!(node.engine.paid_many.is_empty() && node.engine.pending_commands.is_empty());
}

#[test]
fn rule_8_without_the_other_side_nothing_is_paid_and_a_cooperative_close_names_the_way_out() {
    let (mut node, remote, _) = with_channel();
    let _ = node.handle(Event::Peer(PeerEvent::ResponseFailed { peer: remote.id.clone() }));
    let (request, outbox) = node.command(pay("1", "rent"));
    assert_eq!(error(&outbox, request).code, Code::PeerNotConnected);
    let (request, outbox) = node.command(close(CloseMode::Cooperative));
    assert!(error(&outbox, request).hint.contains("--fallback"), "{outbox:?}");
    assert!(sent(&outbox).is_empty());
}

#[test]
fn an_outcome_of_another_kind_of_command_is_an_error_and_no_false_reply() {
    let (mut node, _remote, channel) = with_channel();
    let request = UserRequestId(node.next());
    let outcomes = [
        (ReplyTarget::Closing(request), CommandOutcome::PaidIn { tx: None }),
        (ReplyTarget::ReceiptImported(request), CommandOutcome::PaidIn { tx: None }),
    ];
    for (target, outcome) in outcomes {
        let id = node.engine.register_command(channel, target);
        node.engine.reply_outcome(channel, id, Ok(outcome.clone()));
        node.engine.reply_outcome(channel, id, Ok(outcome));
        let outbox = node.finish();
        assert_eq!(error(&outbox, request).message, out_of_place().message);
    }
}

#[test]
fn a_user_who_waits_for_a_block_is_answered_once_the_chain_is_read_that_far() {
    let mut node = Node::new();
    let (past, outbox) = node.command(UserCommand::AwaitBlock(HEAD));
    assert!(matches!(reply(&outbox, past), Some(Ok(Reply::BlockRead))));
    let (next, outbox) = node.command(UserCommand::AwaitBlock(HEAD + 2));
    assert!(reply(&outbox, next).is_none());
    assert!(reply(&node.chain(ChainEvent::BlockRead { head: HEAD + 1 }), next).is_none());
    let outbox = node.chain(ChainEvent::BlockRead { head: HEAD + 2 });
    assert!(matches!(reply(&outbox, next), Some(Ok(Reply::BlockRead))), "{outbox:?}");
}
