//! Which channel a command takes by itself, and what it says where it takes none.

use thunder_api::{PayManyRequest, PayRequest, PaymentRequest};
use thunder_protocol::onchain::ChainClosing;
use thunder_protocol::wire::Envelope;
use thunder_protocol::{Memo, Nonce, PaymentId, Role};

use super::*;
use crate::testing::{HEAD, Node, Remote, error, old_closing, paid, sent, thd, with_channel};
use crate::{Outbox, UserCommand, UserRequestId};

fn payment(amount: &str) -> PaymentRequest {
    PaymentRequest { amount: thd(amount), memo: Memo::default(), id: None }
}

fn pay(node: &mut Node, amount: &str, channel: Selector) -> (UserRequestId, Outbox) {
    node.command(UserCommand::Pay(PayRequest { channel, payment: payment(amount) }))
}

/// The channel that a payment is proposed over.
fn paid_over(outbox: &Outbox) -> Address {
    match &sent(outbox)[..] {
        [Envelope::Channel { channel, .. }] => *channel,
        other => panic!("not one message: {other:?}"),
    }
}

/// The payment that was ordered is answered, so that nothing is pending any more.
fn settle(node: &mut Node, remote: &mut Remote, outbox: &Outbox) {
    let channel = paid_over(outbox);
    let answers = crate::testing::answers(node, remote, outbox);
    node.exchange(remote, channel, answers, Vec::new());
}

/// A node with two ACTIVE channels of 10 THD with another one. That has the state of the second only, so that
/// payments over the first stay unanswered.
fn with_two() -> (Node, Remote, [Address; 2]) {
    let (mut node, mut remote, first) = with_channel();
    let second = node.open_channel(&mut remote);
    (node, remote, [first, second])
}

#[test]
fn a_payment_goes_over_the_channel_with_the_largest_own_share() {
    let (mut node, mut remote, [first, second]) = with_two();
    let (_, outbox) = pay(&mut node, "1", Selector::default());
    assert_eq!(paid_over(&outbox), second, "of equal shares the newest");
    settle(&mut node, &mut remote, &outbox);
    let (_, outbox) = pay(&mut node, "3", Selector::default());
    assert_eq!(paid_over(&outbox), first, "10 THD are more than 9");
    // What is proposed and not answered is not there to be paid again.
    let (_, outbox) = pay(&mut node, "8", Selector::default());
    assert_eq!(paid_over(&outbox), second);
    let named = Selector { peer: Some(remote.wallet().to_string()), ..Selector::default() };
    let (_, outbox) = pay(&mut node, "6", named);
    assert!(sent(&outbox).is_empty(), "it waits behind the proposal of the first: {outbox:?}");
    let pending = |channel| node.engine.channels().get(&channel).unwrap().channel.pending();
    assert_eq!((pending(first), pending(second)), (thd("9"), thd("8")));
}

#[test]
fn what_no_channel_can_pay_alone_says_what_there_is_in_all() {
    let (mut node, _remote, _) = with_two();
    let (request, outbox) = pay(&mut node, "15", Selector::default());
    let refused = error(&outbox, request);
    assert_eq!(refused.code, Code::InsufficientBalance);
    assert!(refused.message.contains("in one is 10 THD, in all 20 THD"), "{refused:?}");
    assert!(refused.hint.contains("in several parts"), "{refused:?}");
    let (request, outbox) = pay(&mut node, "21", Selector::default());
    assert!(error(&outbox, request).hint.contains("pay less"));
    let (request, outbox) = pay(&mut node, "0", Selector::default());
    assert_eq!(error(&outbox, request).code, Code::ZeroAmount);
    assert!(sent(&outbox).is_empty());
}

#[test]
fn many_payments_spread_over_the_channels_with_their_payee() {
    let (mut node, _remote, channels) = with_two();
    let payments = ["9", "9", "1", "1"].map(payment).to_vec();
    let order = PayManyRequest { channel: Selector::default(), payments };
    let (_, outbox) = node.command(UserCommand::PayMany(order));
    let pending = channels.map(|channel| node.engine.channels().get(&channel).unwrap().channel.pending());
    assert_eq!(pending, [thd("10"), thd("10")]);
    assert_eq!(sent(&outbox).len(), 2, "one proposal for each channel");
}

#[test]
fn whom_to_pay_is_never_chosen() {
    let (mut node, _remote, first) = with_channel();
    let mut other = Remote::new(201);
    node.open_session(&other);
    let second = node.open_channel(&mut other);
    // Only one of the channels could pay that, and that is no reason to pay its other side.
    let (_, outbox) =
        pay(&mut node, "5", Selector { channel: Some(first.to_string()), ..Selector::default() });
    assert_eq!(paid_over(&outbox), first);
    let (request, outbox) = pay(&mut node, "8", Selector::default());
    let refused = error(&outbox, request);
    assert_eq!((refused.code, sent(&outbox).len()), (Code::AmbiguousChannel, 0));
    assert_eq!(refused.channels, [second, first].map(thunder_api::ChecksumAddress));
    assert!(refused.hint.contains("--peer"), "{refused:?}");
    assert!(refused.message.lines().all(|line| line.len() <= 80), "{refused:?}");
}

#[test]
fn a_frozen_channel_and_one_that_is_not_read_pay_nothing_by_themselves() {
    let (mut node, _remote, [first, second]) = with_two();
    node.engine.channels.get_mut(&second).unwrap().frozen = Some("the disk is full".into());
    assert_eq!(paid_over(&pay(&mut node, "1", Selector::default()).1), first);
    let (mut node, _remote, [first, second]) = with_two();
    node.engine.channels.get_mut(&second).unwrap().unreadable = Some("history pruned".into());
    assert_eq!(paid_over(&pay(&mut node, "1", Selector::default()).1), first);
}

/// A closing by the node itself, which is over.
fn own_closing() -> ChainClosing {
    ChainClosing { closer: Role::A, block: HEAD - 30, ..old_closing() }
}

fn find(node: &Node, purpose: Purpose) -> Result<Address, Code> {
    node.engine.find_channel(&Selector::default(), purpose).map_err(|error| error.code)
}

#[test]
fn challenge_and_withdraw_take_the_channel_on_which_they_work_now() {
    let (mut node, mut remote, first) = with_channel();
    paid(&mut node, &mut remote, first, "rent");
    node.engine.settings.auto_challenge = false;
    let second = node.open_channel(&mut remote);
    let _ = node.view(first, OnChain::Closing(old_closing()));
    let _ = node.view(second, OnChain::Closing(own_closing()));
    assert_eq!(find(&node, Purpose::Challenge), Ok(first), "the other side closed it on an old receipt");
    assert_eq!(find(&node, Purpose::Withdraw), Ok(second), "its challenge period is over");
    // Neither works on any channel: which one is meant is not to be guessed.
    let early = ChainClosing { block: HEAD - 1, nonce: Nonce::ZERO, ..own_closing() };
    let _ = node.view(second, OnChain::Closing(early));
    assert_eq!(find(&node, Purpose::Withdraw), Err(Code::AmbiguousChannel));
    assert_eq!(find(&node, Purpose::Challenge), Ok(first));
}

/// A user who repeats `closechannel`, because no answer came, means the channel that is closing.
#[test]
fn a_channel_that_is_about_to_close_is_not_passed_over_for_another() {
    let (mut node, _remote, [first, second]) = with_two();
    let close = |channel: Option<Address>| UserCommand::Close {
        request: thunder_api::CloseRequest {
            channel: Selector { channel: channel.map(|address| address.to_string()), ..Selector::default() },
            mode: thunder_api::CloseMode::Alone,
            confirmed: false,
        },
        gas: Ok(()),
    };
    let _ = node.command(close(Some(second)));
    assert_eq!(find(&node, Purpose::Close), Err(Code::AmbiguousChannel));
    let (request, outbox) = node.command(close(None));
    assert_eq!(error(&outbox, request).channels.len(), 2);
    let _ = node.view(second, OnChain::Closing(own_closing()));
    assert_eq!(find(&node, Purpose::Close), Ok(first), "the closing is in the chain");
}

#[test]
fn an_id_of_before_is_looked_up_before_any_channel_is() {
    let (mut node, mut remote, first) = with_channel();
    paid(&mut node, &mut remote, first, "rent");
    let _ = node.open_channel(&mut remote);
    let mut other = Remote::new(201);
    node.open_session(&other);
    let _ = node.open_channel(&mut other);
    let id = Some(PaymentId::new("rent").unwrap());
    let payment = PaymentRequest { amount: thd("1"), memo: Memo::default(), id };
    let order = PayRequest { channel: Selector::default(), payment };
    let (request, outbox) = node.command(UserCommand::Pay(order));
    assert!(
        matches!(crate::testing::reply(&outbox, request), Some(Ok(crate::Reply::Paid(paid))) if paid.channel.0 == first),
        "{outbox:?}"
    );
    assert!(sent(&outbox).is_empty());
}
