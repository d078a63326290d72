//! How two nodes agree on a channel (docs/protocol.md, "Opening").

use thunder_protocol::onchain::{Call, OnChain};

use super::*;
use crate::testing::disk::Disk;
use crate::testing::{CHAIN, CONTRACTS, Node, Remote, error, reply, sent, thd};
use crate::{ChainEvent, Event, Outbox, PeerEvent, Storage, UserCommand};

/// The other node wants to open a channel. Returns the answer.
fn asks(node: &mut Node, remote: &Remote, ask: OpenAsk) -> OpenMessage {
    match &node.messages(remote, vec![Envelope::Open(OpenMessage::Ask(ask))])[..] {
        [Envelope::Open(answer)] => answer.clone(),
        other => panic!("no answer: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(answer: &OpenMessage, expected: OpenRefuseReason) {
    match answer {
        OpenMessage::Refuse(OpenRefuse { reason, .. }) => assert_eq!(*reason, expected),
        other => panic!("not refused with {expected:?}: {other:?}"),
    }
}

/// A user opens a channel of 10 THD. Returns the command's number and the offer.
fn offers(node: &mut Node, remote: &Remote) -> (UserRequestId, OpenAsk) {
    let request = OpenRequest { amount: thd("10"), deposit: None, peer: None, accept_short_period: false };
    let (id, outbox) = node.command(UserCommand::Open { request, partner: remote.wallet() });
    match &sent(&outbox)[..] {
        [Envelope::Open(OpenMessage::Ask(ask))] => (id, ask.clone()),
        other => panic!("no offer: {other:?}"),
    }
}

fn accept_of(remote: &Remote, ask: &OpenAsk) -> OpenAccept {
    OpenAccept { half_a: ask.half_a, half_b: B256::repeat_byte(0x44), part_b: remote.wallet() }
}

/// The other node sends a message about an opening.
fn answers(node: &mut Node, remote: &Remote, answer: OpenMessage) -> Outbox {
    let session = node.session(remote).unwrap();
    let messages = vec![Envelope::Open(answer)];
    let packet =
        thunder_protocol::wire::Request::Packet(thunder_protocol::wire::Packet { session, messages });
    let id = crate::InboundRequestId(node.next());
    node.handle(Event::Peer(PeerEvent::Request { peer: remote.id.clone(), id, request: packet }))
}

/// The calls that open a channel.
fn opened(outbox: &Outbox) -> usize {
    let is_open = |command: &&ChainCommand| match command {
        ChainCommand::Submit(call) => matches!(call.1, Call::Open { .. }),
        _ => false,
    };
    outbox.chain.iter().filter(is_open).count()
}

#[test]
fn rule_4_the_acceptance_goes_out_only_with_the_channel_on_disk() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    let OpenMessage::Accept(accept) = asks(&mut node, &remote, remote.ask(1)) else { panic!("refused") };
    let [stored] = &node.disk.channels(CHAIN.genesis).unwrap()[..] else { panic!("not on disk") };
    let terms = stored.channel.setup().terms();
    assert_eq!((terms.part_a, terms.part_b), (remote.wallet(), Remote::own().wallet()));
    let salt = salt(B256::repeat_byte(1), accept.half_b);
    assert_eq!(terms.channel, channel_address(&CONTRACTS, terms.part_a, terms.part_b, salt));

    node.disk.set_full(true);
    let outbox = answers(&mut node, &remote, OpenMessage::Ask(remote.ask(2)));
    assert!(outbox.responses.is_empty() && outbox.requests.is_empty(), "{outbox:?}");
}

#[test]
fn rule_4_the_opening_transaction_is_ordered_only_with_the_channel_on_disk() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    let (_, ask) = offers(&mut node, &remote);
    let outbox = answers(&mut node, &remote, OpenMessage::Accept(accept_of(&remote, &ask)));
    assert_eq!((opened(&outbox), node.disk.channels(CHAIN.genesis).unwrap().len()), (1, 1));

    let (_, ask) = offers(&mut node, &remote);
    node.disk.set_full(true);
    let outbox = answers(&mut node, &remote, OpenMessage::Accept(accept_of(&remote, &ask)));
    assert_eq!(opened(&outbox), 0);
}

#[test]
fn rule_4_an_offer_in_a_refused_batch_is_not_sent_and_its_user_learns_it_at_once() {
    let (mut node, remote, _) = crate::testing::with_channel();
    node.disk.set_full(true);
    let request = OpenRequest { amount: thd("10"), deposit: None, peer: None, accept_short_period: false };
    let (id, other) = (UserRequestId(node.next()), UserRequestId(node.next()));
    node.engine.handle(Event::Command(other, crate::testing::pay("rent")), node.now);
    node.engine.handle(Event::Command(id, UserCommand::Open { request, partner: remote.wallet() }), node.now);
    let outbox = node.finish();
    assert!(sent(&outbox).is_empty(), "{outbox:?}");
    assert!(error(&outbox, id).message.contains("no space left"), "{outbox:?}");
    assert_eq!(node.engine.offers.next_deadline(), None);
}

#[test]
fn terms_that_are_not_in_order_are_refused_each_with_its_reason() {
    type Change = fn(&mut OpenAsk);
    let wrong: [(Change, OpenRefuseReason); 8] = [
        (|ask| ask.chain_id = 1, OpenRefuseReason::OtherChain),
        (|ask| ask.token = Address::ZERO, OpenRefuseReason::OtherToken),
        (|ask| ask.factory = Address::ZERO, OpenRefuseReason::OtherFactory),
        (|ask| ask.part_a = Address::ZERO, OpenRefuseReason::BadTerms),
        (|ask| ask.share_b = thd("1"), OpenRefuseReason::BadTerms),
        (|ask| ask.share_a = thd("9"), OpenRefuseReason::BadTerms),
        (|ask| ask.share_b = Amount::MAX, OpenRefuseReason::BadTerms),
        (|ask| (ask.amount, ask.share_a) = (Amount::ZERO, Amount::ZERO), OpenRefuseReason::BadTerms),
    ];
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    for (change, reason) in wrong {
        let mut ask = remote.ask(1);
        change(&mut ask);
        assert_refused(&asks(&mut node, &remote, ask), reason);
    }
    assert!(node.disk.channels(CHAIN.genesis).unwrap().is_empty() && node.engine.channels().is_empty());
    let _ = node.chain(ChainEvent::Endpoints(Vec::new()));
    assert_refused(&asks(&mut node, &remote, remote.ask(1)), OpenRefuseReason::ChainUnreachable);
}

#[test]
fn a_partner_may_have_so_many_channels_that_are_not_on_the_chain() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    for number in 0..MAX_INBOUND_PENDING {
        let answer = asks(&mut node, &remote, remote.ask(u8::try_from(number).unwrap()));
        assert!(matches!(answer, OpenMessage::Accept(_)), "{number}");
    }
    assert_refused(&asks(&mut node, &remote, remote.ask(99)), OpenRefuseReason::TooMany);
    let other = Remote::new(201);
    node.open_session(&other);
    assert!(matches!(asks(&mut node, &other, other.ask(99)), OpenMessage::Accept(_)), "another partner");
    // One of them comes onto the chain, and does not count any more.
    let channel = node.engine.channels().of_partner(&remote.wallet())[0];
    let paid_in = Balances { a: thd("10"), b: Amount::ZERO };
    let _ = node.view(channel, OnChain::Active { paid_in });
    assert!(matches!(asks(&mut node, &remote, remote.ask(99)), OpenMessage::Accept(_)));
    assert_refused(&asks(&mut node, &remote, remote.ask(98)), OpenRefuseReason::TooMany);
}

#[test]
fn all_partners_together_may_have_so_many_channels_that_are_not_on_the_chain() {
    let mut node = Node::new();
    let partners = MAX_INBOUND_PENDING_IN_ALL / MAX_INBOUND_PENDING;
    for number in 0..partners {
        let remote = Remote::new(u8::try_from(101 + number).unwrap());
        node.open_session(&remote);
        for half in 0..MAX_INBOUND_PENDING {
            let answer = asks(&mut node, &remote, remote.ask(u8::try_from(half).unwrap()));
            assert!(matches!(answer, OpenMessage::Accept(_)));
        }
    }
    let remote = Remote::new(200);
    node.open_session(&remote);
    assert_refused(&asks(&mut node, &remote, remote.ask(1)), OpenRefuseReason::TooMany);
}

#[test]
fn a_repeated_offer_gets_a_channel_of_its_own_and_a_repeated_acceptance_opens_nothing() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    let (first, second) = (asks(&mut node, &remote, remote.ask(1)), asks(&mut node, &remote, remote.ask(1)));
    assert_ne!(first, second, "the half of the salt is fresh");
    assert_eq!(node.engine.channels().of_partner(&remote.wallet()).len(), 2);

    let (_, ask) = offers(&mut node, &remote);
    let accept = OpenMessage::Accept(accept_of(&remote, &ask));
    assert_eq!(opened(&answers(&mut node, &remote, accept.clone())), 1);
    assert_eq!(opened(&answers(&mut node, &remote, accept)), 0);
    assert_eq!(node.engine.channels().of_partner(&remote.wallet()).len(), 3);
}

#[test]
fn an_address_that_the_disk_knows_is_used_no_second_time() {
    let (disk, remote) = (Disk::new(None), Remote::new(200));
    let mut refused = Vec::new();
    for _ in 0..2 {
        // The same seed gives the same half of the salt.
        let mut node = Node::on(disk.clone());
        node.open_session(&remote);
        refused.push(matches!(asks(&mut node, &remote, remote.ask(1)), OpenMessage::Refuse(refuse)
            if refuse.reason == OpenRefuseReason::AddressUsed));
    }
    assert_eq!(refused, [false, true]);

    let disk = Disk::new(None);
    let mut opens = Vec::new();
    for _ in 0..2 {
        let mut node = Node::on(disk.clone());
        node.open_session(&remote);
        let (_, ask) = offers(&mut node, &remote);
        opens.push(opened(&answers(&mut node, &remote, OpenMessage::Accept(accept_of(&remote, &ask)))));
    }
    assert_eq!(opens, [1, 0]);
}

#[test]
fn an_answer_counts_only_from_the_partner_for_its_own_wallet_and_for_the_wallet_that_asked() {
    let (mut node, remote, other) = (Node::new(), Remote::new(200), Remote::new(201));
    node.open_session(&remote);
    node.open_session(&other);
    let (request, ask) = offers(&mut node, &remote);
    let of_other = OpenMessage::Accept(accept_of(&other, &ask));
    let outbox = answers(&mut node, &other, of_other.clone());
    assert!(opened(&outbox) == 0 && reply(&outbox, request).is_none(), "from somebody else");
    let outbox = answers(&mut node, &remote, of_other);
    assert_eq!((opened(&outbox), error(&outbox, request).code), (0, Code::PeerRefused), "{outbox:?}");

    let (request, ask) = offers(&mut node, &remote);
    let reason = OpenRefuseReason::OtherToken;
    let refuse = OpenMessage::Refuse(OpenRefuse { half_a: ask.half_a, reason, policy: None });
    let outbox = answers(&mut node, &remote, refuse);
    assert_eq!(error(&outbox, request).message, reason.to_string());
}

#[test]
fn an_offer_without_an_answer_ends_with_the_time_the_session_or_its_user() {
    let (mut node, remote) = (Node::new(), Remote::new(200));
    node.open_session(&remote);
    let (request, late) = offers(&mut node, &remote);
    assert!(reply(&node.wait(OFFER_LASTS - 1), request).is_none());
    assert!(node.engine.next_deadline() <= node.now + 1);
    assert_eq!(error(&node.wait(1), request).code, Code::PeerNotConnected);

    let (_, abandoned) = offers(&mut node, &remote);
    let request = node.engine.uncommitted_requests().next().unwrap();
    let _ = node.handle(Event::Abandoned([request].into()));

    for ask in [late, abandoned] {
        let outbox = answers(&mut node, &remote, OpenMessage::Accept(accept_of(&remote, &ask)));
        assert_eq!(opened(&outbox), 0, "nothing is opened behind the user's back");
    }
    let (request, _) = offers(&mut node, &remote);
    let outbox = node.handle(Event::Peer(PeerEvent::ResponseFailed { peer: remote.id.clone() }));
    assert_eq!(error(&outbox, request).code, Code::PeerNotConnected, "the session is over");
    assert!(node.engine.channels().is_empty());
}

/// A channel that the partner wanted to open, and the time at which it is forgotten.
fn never_opened(node: &mut Node) -> Address {
    let remote = Remote::new(200);
    node.open_session(&remote);
    assert!(matches!(asks(node, &remote, remote.ask(1)), OpenMessage::Accept(_)));
    node.engine.channels().of_partner(&remote.wallet())[0]
}

#[test]
fn an_opening_of_the_partner_that_never_comes_onto_the_chain_is_forgotten() {
    let mut node = Node::new();
    let channel = never_opened(&mut node);
    node.now += INBOUND_PENDING_FOR - 1;
    let _ = node.read();
    let outbox = node.handle(Event::Deadline);
    assert!(outbox.chain.is_empty() && node.engine.channels().get(&channel).is_some(), "{outbox:?}");
    // Not while the chain is not read: the transaction may be there.
    let _ = node.wait(60_001);
    let outbox = node.wait(60_000);
    assert!(outbox.chain.is_empty() && node.engine.channels().get(&channel).is_some(), "{outbox:?}");
    let _ = node.read();
    let outbox = node.wait(60_000);
    assert!(matches!(outbox.chain[..], [ChainCommand::Unwatch(address)] if address == channel), "{outbox:?}");
    assert!(node.engine.channels().get(&channel).is_none());
    assert_eq!(node.disk.knows_address(&channel), Ok(false));
}

#[test]
fn rule_9_the_address_of_a_restored_opening_that_never_came_stays_known() {
    let mut node = Node::new();
    let channel = never_opened(&mut node);
    node.disk.mark_all_lost();
    let mut node = Node::on(node.disk.clone());
    node.now += INBOUND_PENDING_FOR;
    let _ = node.read();
    let _ = node.handle(Event::Deadline);
    assert!(node.engine.channels().get(&channel).is_none());
    assert_eq!(node.disk.knows_address(&channel), Ok(true));
}

#[test]
fn an_opening_whose_transaction_came_is_kept_however_long_it_stays_unpaid() {
    let mut node = Node::new();
    let channel = never_opened(&mut node);
    let paid_in = Balances { a: thd("1"), b: Amount::ZERO };
    let _ = node.view(channel, OnChain::Empty { paid_in });
    node.now += INBOUND_PENDING_FOR;
    let _ = node.read();
    let _ = node.handle(Event::Deadline);
    assert!(node.engine.channels().get(&channel).is_some());
}
