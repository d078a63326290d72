//! Data was lost (rule 9): what such a channel signs, for whom, and what it never does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::chain::Chain;
use common::data_loss::*;
use common::*;
use thunder_protocol::channel::{
    ChannelCommand, ChannelNotice, ClosedBy, CommandError, CommandId, CommandOutcome, DataLossStep, Risk,
};
use thunder_protocol::codec::CodecError;
use thunder_protocol::onchain::{Call, ClosePlan, EndKind, OnChain};
use thunder_protocol::wire::{Answer, Final, Message, Refuse, RefuseReason};
use thunder_protocol::{AgreedReceipt, Channel, Crypto, Domain, Input, Nonce, Role};

fn warnings(party: &Party, of: Risk) -> usize {
    party.notices.iter().filter(|notice| **notice == ChannelNotice::AtRisk(of)).count()
}

#[test]
fn rule_9_a_mere_sync_makes_no_final_of_a_restored_side() {
    let mut pair = restored();
    lie(&mut pair);
    assert_eq!(signed_final(&pair.a), None, "B would get 8 THD for good");
    assert_eq!((pair.a.channel().name(), step(&pair.a)), ("lost", DataLossStep::User));
    assert_eq!(warnings(&pair.a, Risk::NothingNewerShown), 1, "it says so loudly: {:?}", pair.a.notices);
    let backups = agreed(1, 9, 11);
    pair.a.receive(sync_of(backups));
    assert_eq!(warnings(&pair.a, Risk::NothingNewerShown), 1, "and once a session");
    for _ in 0..3 {
        pair.tick();
    }
    assert_eq!(signed_final(&pair.a), None);
}

#[test]
fn rule_9_a_lost_channel_takes_newer_receipts_signs_one_final_and_never_closes_alone() {
    let mut pair = restored();
    let newest = pair.b.agreed();
    let close = pair.a.close();
    assert_eq!(pair.a.reply(close), &Err(CommandError::DataLost));
    let pay = pair.a.pay("w", 1);
    assert_eq!(pair.a.reply(pay), &Err(CommandError::DataLost));
    pair.connect();
    pair.run();
    assert_eq!(pair.a.agreed(), newest);
    let posted = |party: &Party| {
        let is_final = |call: &Call| matches!(call, Call::Close(ClosePlan::Final { balances, .. }) if *balances == newest.1);
        party.submitted.iter().any(is_final)
    };
    assert!(posted(&pair.a) && posted(&pair.b));
    assert!(
        matches!(pair.a.channel(), Channel::Closing(state) if state.common.may_be_stale),
        "it stays lost"
    );
}

#[test]
fn rule_9_the_users_order_signs_final_on_the_backups_receipt() {
    let mut pair = restored();
    let order = pair.a.command(ChannelCommand::SignFinal);
    assert_eq!(pair.a.reply(order), &Err(CommandError::PeerOffline), "the other side may have a newer one");
    lie(&mut pair);
    let order = pair.a.command(ChannelCommand::SignFinal);
    let own = signed_final(&pair.a).expect("ordered");
    assert_eq!((own.base_nonce, own.balances), (nonce(1), balances(9, 11)));
    assert_eq!(step(&pair.a), DataLossStep::Partner);
    pair.a.restart();
    pair.a.chain(closed(EndKind::Final, own.balances, None));
    assert!(!pair.a.is_answered(order), "who waited is gone with the process");
    assert_eq!(pair.a.channel().name(), "closed");
}

#[test]
fn rule_9_who_orders_final_is_told_of_the_end() {
    let mut pair = restored();
    lie(&mut pair);
    let order = pair.a.command(ChannelCommand::SignFinal);
    assert!(!pair.a.is_answered(order));
    pair.a.chain(closed(EndKind::Final, balances(9, 11), None));
    let Ok(CommandOutcome::Closing { mode: ClosedBy::Cooperative, withdrawable_at: None, .. }) =
        pair.a.reply(order)
    else {
        panic!("{:?}", pair.a.reply(order))
    };
}

#[test]
fn rule_9_an_ordered_final_is_repeated_until_the_other_side_is_ready_and_its_refusal_is_told() {
    let mut pair = restored();
    lie(&mut pair);
    let order = pair.a.command(ChannelCommand::SignFinal);
    let refuse = |reason| Message::Refuse(Refuse { nonce: Nonce::FINAL, reason, agreed_nonce: nonce(1) });
    pair.a.receive(refuse(RefuseReason::NotNow));
    pair.a.outbox.clear();
    pair.a.now += 10_000;
    pair.a.apply(Input::Tick);
    assert!(signed_final(&pair.a).is_some(), "said again");
    assert!(!pair.a.is_answered(order));
    pair.a.receive(refuse(RefuseReason::Stale));
    assert_eq!(pair.a.reply(order), &Err(CommandError::PeerStopped));
    assert_eq!(pair.a.channel().next_tick(), None);
    // The order is not lost with the session: it is signed, and the next one starts with it.
    pair.a.restart();
    lie(&mut pair);
    pair.a.now += 10_000;
    pair.a.apply(Input::Tick);
    assert_eq!(signed_final(&pair.a).map(|own| own.base_nonce), Some(nonce(1)));
    let again = pair.a.command(ChannelCommand::SignFinal);
    pair.a.apply(Input::Peer(thunder_protocol::channel::PeerInput::Disconnected));
    assert_eq!(pair.a.reply(again), &Err(CommandError::PeerOffline));
}

#[test]
fn rule_9_both_sides_have_lost_data_and_both_users_order_final() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.disconnect();
    for role in [Role::A, Role::B] {
        let backup = pair.party(role).disk.clone();
        pair.party(role).restore(backup);
    }
    pair.connect();
    pair.run();
    pair.a.command(ChannelCommand::SignFinal);
    pair.run();
    assert_eq!((step(&pair.a), step(&pair.b)), (DataLossStep::Partner, DataLossStep::User));
    pair.b.command(ChannelCommand::SignFinal);
    pair.run();
    assert!(matches!(pair.a.submitted[..], [Call::Close(ClosePlan::Final { .. })]));
}

#[test]
fn rule_7_a_lost_side_signs_final_only_while_the_chain_is_sound() {
    let mut pair = restored();
    pair.a.fresh = false;
    let newest = agreed(2, 17, 3);
    show(&mut pair, newest);
    assert_eq!((signed_final(&pair.a), step(&pair.a)), (None, DataLossStep::Chain));
    let order = pair.a.command(ChannelCommand::SignFinal);
    assert_eq!(pair.a.reply(order), &Err(CommandError::ChainStale));
    pair.a.fresh = true;
    pair.a.confirmations = 5;
    let order = pair.a.command(ChannelCommand::SignFinal);
    assert_eq!(pair.a.reply(order), &Err(CommandError::NotConfirmed));
    let due = pair.a.channel().next_block(&pair.a.context()).expect("it becomes deep enough");
    pair.a.head = due;
    pair.a.apply(Input::Chain(thunder_protocol::channel::ChainInput::Block));
    assert_eq!(signed_final(&pair.a).map(|own| own.balances), Some(balances(17, 3)));
}

#[test]
fn rule_9_nothing_is_handled_before_the_sync() {
    let mut pair = restored();
    pair.connect();
    pair.a.outbox.clear();
    let digest = Domain::new(CHAIN_ID, CHANNEL).final_digest(balances(9, 11));
    let signature = pair.b.signer.sign(&digest);
    pair.a.receive(Message::Final(Final { base_nonce: nonce(1), balances: balances(9, 11), signature }));
    assert!(pair.a.outbox.is_empty() && pair.a.submitted.is_empty());
}

#[test]
fn rule_9_the_partners_final_is_not_posted_without_the_users_order() {
    let mut pair = restored();
    lie(&mut pair);
    let digest = Domain::new(CHAIN_ID, CHANNEL).final_digest(balances(9, 11));
    let signature = pair.b.signer.sign(&digest);
    let theirs = Message::Final(Final { base_nonce: nonce(1), balances: balances(9, 11), signature });
    pair.a.receive(theirs.clone());
    assert!(pair.a.submitted.is_empty());
    assert!(
        matches!(pair.a.outbox.pop_back(), Some(Message::Refuse(refuse)) if refuse.reason == RefuseReason::Lost)
    );
    pair.a.command(ChannelCommand::SignFinal);
    pair.a.receive(theirs);
    assert!(matches!(pair.a.submitted[..], [Call::Close(ClosePlan::Final { .. })]));
}

#[test]
fn rule_9_an_answer_to_a_proposal_of_the_backup_is_nothing_newer() {
    let mut pair = pair();
    pair.a.pay("x", 1); // receipt 1 is proposed
    let backup = pair.a.disk.clone();
    pair.run();
    pair.b.pay("y", 8);
    pair.run();
    pair.disconnect();
    pair.a.restore(backup);
    let zero = AgreedReceipt::zero(balances(10, 10));
    show(&mut pair, zero);
    assert_eq!(step(&pair.a), DataLossStep::Answer);
    assert_eq!(warnings(&pair.a, Risk::ProposalUnanswered), 1);
    let order = pair.a.command(ChannelCommand::SignFinal);
    assert!(matches!(pair.a.reply(order), Err(CommandError::WrongState(_))), "rule 11: a proposal is out");
    let signature = pair.b.sign(nonce(1), balances(9, 11));
    pair.a.receive(Message::Answer(Answer { nonce: nonce(1), signature }));
    assert_eq!((step(&pair.a), pair.a.agreed()), (DataLossStep::User, (1, balances(9, 11))));
    lie(&mut pair);
    assert_eq!(signed_final(&pair.a), None);
    pair.reconnect();
    assert_eq!(pair.a.channel().name(), "closing", "B, honest, shows receipt 2");
}

#[test]
fn rule_9_what_a_lost_channel_had_taken_over_is_the_backups_after_another_restore() {
    let mut pair = restored();
    pair.a.fresh = false; // or FINAL would be signed at once
    let newest = agreed(2, 17, 3);
    show(&mut pair, newest);
    pair.a.fresh = true;
    let backup = pair.a.disk.clone();
    pair.a.restore(backup);
    show(&mut pair, newest);
    assert_eq!((signed_final(&pair.a), step(&pair.a)), (None, DataLossStep::User));
}

#[test]
fn rule_9_a_channel_lost_under_an_earlier_release_waits_for_its_user() {
    fn without(value: &mut serde_cbor::Value, field: &str) -> bool {
        let serde_cbor::Value::Map(fields) = value else { return false };
        let here = fields.remove(&serde_cbor::Value::Text(field.into())).is_some();
        fields.values_mut().fold(here, |found, inner| without(inner, field) || found)
    }
    let mut pair = restored();
    pair.a.fresh = false;
    let newest = agreed(2, 17, 3);
    show(&mut pair, newest);
    pair.a.fresh = true;
    let mut record = serde_cbor::from_slice(&pair.a.disk.record).unwrap();
    assert!(without(&mut record, "is_newer"), "{record:?}");
    assert!(!without(&mut record, "imported"), "not written unless it is there");
    let record = serde_cbor::to_vec(&record).unwrap();
    let channel = Channel::decode::<CodecError>(&record, |_| Ok(Vec::new())).unwrap();
    pair.a.disk.record = channel.encode().unwrap();
    pair.a.restart();
    show(&mut pair, newest);
    assert_eq!((signed_final(&pair.a), step(&pair.a)), (None, DataLossStep::User));
}

#[test]
fn rule_9_a_lost_channel_challenges_with_what_it_has() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let backup = pair.b.disk.clone();
    pair.b.restore(backup);
    pair.b.chain(closing(Role::A, 0, balances(10, 10), 0, false, 12));
    assert_eq!(pair.b.submitted.last(), Some(&Call::Challenge(evidence(&pair.a, 1, balances(9, 11)))));
}

/// B closes on the backup's receipt; before or after it, A's user gives the newer one. Also if the end
/// is taken back, and if A dies at once.
#[test]
fn no_loss_a_closing_on_the_backups_receipt_is_challenged_with_what_the_user_gives() {
    for own in [false, true] {
        for before in [false, true] {
            let mut pair = restored();
            let given = exported(2, 17, 3, own);
            if before {
                import(&mut pair.a, given).unwrap();
            }
            pair.a.restart();
            let mut chain = Chain::active(balances(10, 10), 11);
            chain
                .execute(Role::B, &Call::Close(ClosePlan::Receipt(evidence(&pair.a, 1, balances(9, 11)))))
                .unwrap();
            chain.show(&mut pair);
            if !before {
                assert!(pair.a.submitted.is_empty());
                assert_eq!(warnings(&pair.a, Risk::NothingNewerToChallengeWith), 1, "{:?}", pair.a.notices);
                import(&mut pair.a, given).unwrap();
            }
            let challenge = [Call::Challenge(evidence(&pair.b, 2, balances(17, 3)))];
            assert_eq!(pair.a.submitted, challenge, "own: {own}, before: {before}");
            pair.a.submitted.clear();
            pair.a.restart();
            assert_eq!(pair.a.submitted, challenge);
            // The chain shows the end, and takes it back.
            let status = chain.view().status;
            let OnChain::Closing(inner) = status else { unreachable!() };
            pair.a.chain(closed(EndKind::Challenged, balances(20, 0), Some(inner)));
            pair.a.submitted.clear();
            pair.a.chain(status);
            assert_eq!(pair.a.submitted, challenge);
        }
    }
}

#[test]
fn rule_9_with_a_newer_receipt_a_closing_that_was_begun_is_not_sent_again() {
    for own in [false, true] {
        let mut pair = pair();
        pair.a.pay("x", 1);
        pair.run();
        pair.a.close();
        let backup = pair.a.disk.clone();
        pair.a.submitted.clear();
        pair.a.restore(backup);
        assert_eq!(pair.a.submitted.len(), 1, "once closing, nothing more is signed");
        import(&mut pair.a, exported(2, 17, 3, own)).unwrap();
        pair.a.submitted.clear();
        pair.a.restart();
        let close = pair.a.close();
        assert_eq!(
            (pair.a.reply(close), pair.a.submitted.len()),
            (&Err(CommandError::DataLost), 0),
            "own: {own}"
        );
    }
}

#[test]
fn a_closing_on_a_receipt_that_was_forgotten_is_noticed() {
    let mut pair = pair();
    pair.b.chain(closing(Role::A, 4, balances(12, 8), 4, false, 12));
    assert!(pair.b.notices.iter().any(|notice| matches!(notice, ChannelNotice::AtRisk(_))));
    assert!(matches!(pair.b.channel(), Channel::Closing(state) if state.common.may_be_stale));
}

#[test]
fn rule_9_a_closing_on_the_proposals_nonce_with_other_balances_proves_lost_data() {
    let mut pair = pair();
    pair.a.pay("x", 1); // receipt 1 (9, 11) is proposed
    pair.disconnect();
    pair.a.chain(closing(Role::B, 1, balances(5, 15), 1, false, 12));
    assert!(matches!(pair.a.channel(), Channel::Closing(state) if state.common.may_be_stale));
}

#[test]
fn rule_9_who_waits_for_final_is_told_that_the_other_side_closed_alone() {
    let mut pair = restored();
    lie(&mut pair);
    let order: CommandId = pair.a.command(ChannelCommand::SignFinal);
    pair.a.chain(closing(Role::B, 2, balances(17, 3), 2, false, 12));
    assert!(matches!(pair.a.reply(order), Err(CommandError::WrongState(_))));
}

#[test]
fn rule_9_a_lost_channel_does_not_call_a_proposed_payment_paid() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.a.disk.mark_stale();
    pair.a.restart();
    let again = pair.a.pay("x", 1);
    assert_eq!(pair.a.reply(again), &Err(CommandError::Undecided));
}

#[test]
fn rule_9_a_backup_of_a_channel_that_was_still_opening_is_lost_too() {
    let shares = balances(10, 10);
    let mut pair = Pair::opening(shares, 0);
    let backup = pair.a.disk.clone();
    pair.a.chain(OnChain::Active { paid_in: shares });
    pair.b.chain(OnChain::Active { paid_in: shares });
    pair.run();
    pair.a.pay("x", 1);
    pair.run();
    pair.disconnect();
    pair.a.disk = backup;
    pair.a.disk.mark_stale();
    pair.a.restart();
    pair.a.chain(OnChain::Active { paid_in: shares });
    assert_eq!(pair.a.channel().name(), "lost", "receipt 0 may be old, and nonce 1 was signed");
    let close = pair.a.close();
    assert_eq!(pair.a.reply(close), &Err(CommandError::DataLost));
    pair.connect();
    pair.run();
    assert_eq!(pair.a.agreed(), (1, balances(9, 11)));
}

#[test]
fn rule_9_a_lost_channel_stays_lost_when_the_chain_takes_its_end_back() {
    let mut pair = pair();
    pair.a.disk.mark_stale();
    pair.a.restart();
    pair.a.chain(closed(EndKind::Final, balances(10, 10), None));
    pair.a.restart();
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) });
    let close = pair.a.close();
    assert_eq!(pair.a.reply(close), &Err(CommandError::DataLost));
}
