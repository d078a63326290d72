//! What becomes of a batch that the disk refuses (rule 4 of docs/protocol.md): its channels freeze, nothing is sent but
//! challenges, and users are answered.

use thunder_api::{CloseMode, CloseRequest, Code, PayRequest, PaymentRequest, Selector};
use thunder_protocol::onchain::{CallKind, ChainClosing, OnChain};
use thunder_protocol::wire::{Envelope, Message, Packet, Request};
use thunder_protocol::{B256, Channel, Memo, Nonce, PaymentId, Role};

use super::*;
use crate::testing::{
    CHAIN, HEAD, Node, Remote, answers, calls, error, old_closing, paid, pay, reply, sent, thd, with_channel,
};
use crate::{
    ChainEvent, Event, InboundRequestId, PeerEvent, Reply, SettleCommand, Storage, UserCommand, UserRequestId,
};

fn close() -> UserCommand {
    let request = CloseRequest { channel: Selector::default(), mode: CloseMode::Alone, confirmed: false };
    UserCommand::Close { request, gas: Ok(()) }
}

/// A message of the other node, with all that comes of it.
fn message(node: &mut Node, remote: &Remote, channel: Address, message: Message) -> Outbox {
    let messages = vec![Envelope::Channel { channel, message }];
    let packet = Packet { session: node.session(remote).unwrap(), messages };
    let (id, peer) = (InboundRequestId(node.next()), remote.id.clone());
    node.handle(Event::Peer(PeerEvent::Request { peer, id, request: Request::Packet(packet) }))
}

fn is_silent(outbox: &Outbox) -> bool {
    outbox.requests.is_empty() && outbox.responses.is_empty() && calls(outbox).is_empty()
}

#[test]
fn rule_4_what_the_disk_refuses_is_not_sent_the_channel_freezes_and_the_user_hears_why() {
    let (mut node, _remote, channel) = with_channel();
    node.disk.set_full(true);
    let (request, outbox) = node.command(pay("rent"));
    assert!(is_silent(&outbox), "{outbox:?}");
    let error = error(&outbox, request);
    assert!(error.message.contains("nothing was done: no space left"), "{error:?}");
    let warns =
        |notice: &Notice| matches!(notice, Notice::Warning { channel: Some(of), .. } if *of == channel);
    assert!(node.engine.finish_batch().take_notices().iter().any(warns));
    assert!(node.engine.channels().any_frozen());
    assert_eq!(node.disk.own_payments(&PaymentId::new("rent").unwrap()), Ok(Vec::new()));
}

#[test]
fn a_frozen_channel_takes_no_command_and_no_message_also_when_the_disk_has_room_again() {
    let (mut node, mut remote, channel) = with_channel();
    let (_, outbox) = node.command(pay("rent"));
    let proposal_answer = answers(&node, &mut remote, &outbox);
    node.disk.set_full(true);
    let _ = node.command(close());
    node.disk.set_full(false);
    for command in [pay("again"), close()] {
        let (request, outbox) = node.command(command);
        assert!(is_silent(&outbox), "{outbox:?}");
        assert!(error(&outbox, request).message.contains("frozen"), "{outbox:?}");
    }
    for answer in proposal_answer {
        let outbox = message(&mut node, &remote, channel, answer);
        assert!(sent(&outbox).is_empty() && node.notices.is_empty(), "{outbox:?}");
    }
    let stored = &node.disk.channels(CHAIN.genesis).unwrap()[0].channel;
    assert_eq!(stored.receipts().unwrap().agreed.nonce(), Nonce::ZERO, "nothing was signed or stored since");
}

#[test]
fn a_challenge_goes_out_from_a_refused_batch_and_from_a_frozen_channel() {
    for is_frozen_before in [false, true] {
        let (mut node, mut remote, channel) = with_channel();
        paid(&mut node, &mut remote, channel, "rent");
        node.disk.set_full(true);
        if is_frozen_before {
            let _ = node.command(pay("more"));
        }
        let outbox = node.view(channel, OnChain::Closing(old_closing()));
        assert_eq!(calls(&outbox), [CallKind::Challenge], "frozen before: {is_frozen_before}; {outbox:?}");
        assert!(outbox.requests.is_empty() && outbox.responses.is_empty());
    }
}

#[test]
fn a_frozen_channel_writes_nothing_and_warns_although_the_disk_has_room_again() {
    let (mut node, mut remote, channel) = with_channel();
    paid(&mut node, &mut remote, channel, "rent");
    node.disk.set_full(true);
    let _ = node.command(close());
    node.disk.set_full(false);
    let outbox = node.view(channel, OnChain::Closing(old_closing()));
    assert_eq!(calls(&outbox), [CallKind::Challenge]);
    let stored = &node.disk.channels(CHAIN.genesis).unwrap()[0];
    assert!(
        matches!(stored.channel, Channel::Active(_)),
        "the next start has the state that the disk took last"
    );
}

#[test]
fn of_the_calls_of_a_batch_the_challenges_go_out_first() {
    let (mut node, mut remote, channel) = with_channel();
    paid(&mut node, &mut remote, channel, "rent");
    let mut other = Remote::new(201);
    node.open_session(&other);
    let second = node.open_channel(&mut other);
    let selector = Selector { channel: Some(second.to_string()), ..Selector::default() };
    let request = CloseRequest { channel: selector, mode: CloseMode::Alone, confirmed: false };
    let command = UserCommand::Close { request, gas: Ok(()) };
    let number = UserRequestId(node.next());
    node.engine.handle(Event::Command(number, command), node.now);
    let outbox = node.view(channel, OnChain::Closing(old_closing()));
    assert_eq!(calls(&outbox), [CallKind::Challenge, CallKind::Close]);
}

#[test]
fn every_user_whose_command_was_in_a_refused_batch_is_told_that_nothing_was_done() {
    let (mut node, _, _) = with_channel();
    node.disk.set_full(true);
    let (request, outbox) = node.command(close());
    assert!(is_silent(&outbox), "{outbox:?}");
    assert!(error(&outbox, request).message.contains("nothing was done"), "{outbox:?}");
    let stored = &node.disk.channels(CHAIN.genesis).unwrap()[0];
    assert!(matches!(stored.channel, Channel::Active(_)), "the closing flag is not on the disk");

    let (mut node, _, _) = with_channel();
    let payment = |id: &str| PaymentRequest {
        amount: thd("1"),
        memo: Memo::default(),
        id: Some(PaymentId::new(id).unwrap()),
    };
    node.disk.set_full(true);
    let payments = vec![payment("a"), payment("b")];
    let order = thunder_api::PayManyRequest { channel: Selector::default(), payments };
    let (request, outbox) = node.command(UserCommand::PayMany(order));
    let Some(Ok(Reply::PaidMany(paid))) = reply(&outbox, request) else { panic!("no reply: {outbox:?}") };
    assert!(paid.len() == 2 && paid.iter().all(Result::is_err), "{paid:?}");
}

#[test]
fn a_user_whose_new_channel_the_disk_refuses_is_told_so() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    let request =
        thunder_api::OpenRequest { amount: thd("10"), deposit: None, peer: None, accept_short_period: false };
    let (request, outbox) = node.command(UserCommand::Open { request, partner: remote.wallet() });
    let [Envelope::Open(thunder_protocol::wire::OpenMessage::Ask(ask))] = &sent(&outbox)[..] else {
        panic!("no offer: {outbox:?}")
    };
    let accept = thunder_protocol::wire::OpenAccept {
        half_a: ask.half_a,
        half_b: B256::ZERO,
        part_b: remote.wallet(),
    };
    let messages = vec![Envelope::Open(thunder_protocol::wire::OpenMessage::Accept(accept))];
    let packet = Packet { session: node.session(&remote).unwrap(), messages };
    node.disk.set_full(true);
    let (id, peer) = (InboundRequestId(node.next()), remote.id.clone());
    let outbox = node.handle(Event::Peer(PeerEvent::Request { peer, id, request: Request::Packet(packet) }));
    assert!(is_silent(&outbox), "{outbox:?}");
    assert!(error(&outbox, request).message.contains("nothing was done"), "{outbox:?}");
}

#[test]
fn rule_12_a_user_whose_payment_was_proposed_before_the_disk_refused_is_told_that_it_is_undecided() {
    let (mut node, mut remote, channel) = with_channel();
    let (request, outbox) = node.command(pay("rent"));
    let proposal_answer = answers(&node, &mut remote, &outbox);
    node.disk.set_full(true);
    // The partner's signature can't be written: it has the receipt, and this node does not.
    let [answer] = &proposal_answer[..] else { panic!("no answer: {proposal_answer:?}") };
    let outbox = message(&mut node, &remote, channel, answer.clone());
    let answered = error(&outbox, request);
    assert_eq!(answered.code, Code::PaymentUndecided, "{answered:?}");

    let (mut node, _remote, _) = with_channel();
    let (request, _) = node.command(pay("rent"));
    node.disk.set_full(true);
    let (second, outbox) = node.command(close());
    assert_eq!(error(&outbox, request).code, Code::PaymentUndecided, "{outbox:?}");
    assert!(error(&outbox, second).message.contains("nothing was done"), "{outbox:?}");
}

#[test]
fn a_user_who_waits_for_the_chain_is_answered_when_the_channel_freezes() {
    let (mut node, _remote, channel) = with_channel();
    let (request, outbox) = node.command(close());
    assert_eq!(calls(&outbox), [CallKind::Close]);
    assert!(reply(&outbox, request).is_none(), "it waits for the transaction");
    node.disk.set_full(true);
    let outbox = node.view(channel, OnChain::Closing(ChainClosing { closer: Role::A, ..old_closing() }));
    let answered = error(&outbox, request);
    assert!(answered.message.contains("frozen"), "the closing is under way all the same: {answered:?}");
}

#[test]
fn a_user_who_waits_for_a_peer_is_told_that_the_disk_did_not_take_it() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    node.disk.set_full(true);
    let addresses = vec!["/ip4/127.0.0.1/tcp/peer-200".to_owned()];
    let (request, outbox) = node.command(UserCommand::Connect { peer: None, addresses });
    assert!(error(&outbox, request).message.contains("no space left"), "{outbox:?}");
}

#[test]
fn a_disk_that_is_full_at_the_start_holds_back_neither_the_chain_task_nor_the_next_note_of_the_head() {
    let mut node = Node::blank(crate::testing::disk::Disk::new(None));
    node.engine.set_wallet(Remote::own().signer, node.now);
    node.find_chain();
    node.disk.set_full(true);
    let is_caught_up =
        |outbox: &Outbox| outbox.chain.iter().any(|command| matches!(command, ChainCommand::CaughtUp));
    assert!(is_caught_up(&node.read()), "the chain task waits for this before it sends calls");
    node.disk.set_full(false);
    let _ = node.chain(ChainEvent::BlockRead { head: HEAD + 1 });
    assert_eq!(node.disk.content().head, Some((CHAIN.genesis, HEAD + 1)));
}

#[test]
fn a_question_that_the_disk_does_not_answer_refuses_the_whole_batch() {
    let (mut node, _remote, channel) = with_channel();
    let request = UserRequestId(node.next());
    node.engine.handle(Event::Command(request, pay("rent")), node.now);
    node.engine.fail_batch(channel, StorageError("can't be read".into()));
    let outbox = node.finish();
    assert!(is_silent(&outbox), "{outbox:?}");
    assert!(error(&outbox, request).message.contains("can't be read"), "{outbox:?}");
    assert_eq!(node.disk.own_payments(&PaymentId::new("rent").unwrap()), Ok(Vec::new()));
}

#[test]
fn a_channel_of_another_wallet_is_left_alone() {
    let (mut node, _remote, channel) = with_channel();
    node.engine.set_wallet(Remote::new(9).signer, node.now);
    let _ = node.finish();
    let settle = UserCommand::Settle {
        command: SettleCommand::Withdraw,
        selector: Selector { channel: Some(channel.to_string()), ..Selector::default() },
        gas: Ok(()),
    };
    let (request, outbox) = node.command(settle);
    assert_eq!(error(&outbox, request).code, Code::WalletInUse);
    let outbox = node.view(channel, OnChain::Closing(old_closing()));
    assert!(is_silent(&outbox) && node.notices.is_empty(), "{outbox:?}");
}

#[test]
fn a_channel_that_a_refused_batch_did_not_change_stays_usable_and_its_users_get_their_outcome() {
    let (mut node, _, channel) = with_channel();
    let mut second = Remote::new(201);
    node.open_session(&second);
    let other = node.open_channel(&mut second);
    let over = |channel: &Address, id| match pay(id) {
        UserCommand::Pay(order) => {
            let selector = Selector { channel: Some(channel.to_string()), ..Selector::default() };
            UserCommand::Pay(PayRequest { channel: selector, ..order })
        }
        other => other,
    };
    // One payment is under way over the other channel, and one waits for it.
    let _ = node.command(over(&other, "a"));
    let (waits, _) = node.command(over(&other, "b"));
    node.disk.set_full(true);
    let refused = UserRequestId(node.next());
    node.engine.handle(Event::Command(refused, over(&channel, "c")), node.now);
    let lost = PeerEvent::ResponseFailed { peer: second.id.clone() };
    let outbox = node.handle(Event::Peer(lost));
    assert!(error(&outbox, refused).message.contains("nothing was done"), "{outbox:?}");
    assert_eq!(error(&outbox, waits).code, Code::PeerNotConnected, "{outbox:?}");
    let is_frozen = |channel| node.engine.channels().get(channel).unwrap().frozen.is_some();
    assert!(is_frozen(&channel) && !is_frozen(&other));
}

#[test]
fn rule_6_an_id_is_free_again_after_the_disk_has_refused_its_payment() {
    let (mut node, _remote, _) = with_channel();
    node.disk.set_full(true);
    let _ = node.command(pay("rent"));
    node.disk.set_full(false);
    let mut second = Remote::new(201);
    node.open_session(&second);
    let other = node.open_channel(&mut second);
    let UserCommand::Pay(order) = pay("rent") else { panic!("no payment") };
    let selector = Selector { channel: Some(other.to_string()), ..Selector::default() };
    let (_, outbox) = node.command(UserCommand::Pay(PayRequest { channel: selector, ..order }));
    assert!(
        matches!(&sent(&outbox)[..], [Envelope::Channel { channel, .. }] if *channel == other),
        "{outbox:?}"
    );
}

#[test]
fn a_user_whose_challenge_goes_out_from_a_refused_batch_waits_for_its_outcome() {
    let (mut node, mut remote, channel) = with_channel();
    paid(&mut node, &mut remote, channel, "rent");
    let mut second = Remote::new(201);
    node.open_session(&second);
    let _ = node.open_channel(&mut second);
    node.engine.settings.auto_challenge = false;
    assert_eq!(calls(&node.view(channel, OnChain::Closing(old_closing()))), []);
    let (challenging, paying) = (UserRequestId(node.next()), UserRequestId(node.next()));
    let command = SettleCommand::Challenge;
    let challenge = UserCommand::Settle { command, selector: Selector::default(), gas: Ok(()) };
    node.disk.set_full(true);
    node.engine.handle(Event::Command(challenging, challenge), node.now);
    let outbox = node.handle(Event::Command(paying, pay("coffee")));
    assert_eq!(calls(&outbox), [CallKind::Challenge]);
    assert!(error(&outbox, paying).message.contains("nothing was done"), "{outbox:?}");
    assert!(reply(&outbox, challenging).is_none(), "{outbox:?}");
}
