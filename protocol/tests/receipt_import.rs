//! Receipts that the user gives to a channel that has lost data (rule 9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::data_loss::*;
use common::*;
use thunder_protocol::channel::{
    ChannelCommand, CloseMode, CommandError, CommandOutcome, DataLossStep, ImportedReceipt,
};
use thunder_protocol::onchain::{Call, ClosePlan};
use thunder_protocol::wire::{Final, Message};
use thunder_protocol::{Crypto, Domain, Nonce, Receipt};

#[test]
fn rule_9_an_exported_receipt_is_taken_over_and_final_waits_for_the_other_sides_sync() {
    let mut pair = restored();
    let taken = import(&mut pair.a, exported(2, 17, 3, true));
    let receipt = Receipt { nonce: nonce(2), balances: balances(17, 3) };
    assert_eq!(taken, Ok(CommandOutcome::ReceiptImported { receipt, both_signed: true }));
    assert_eq!((signed_final(&pair.a), pair.a.agreed()), (None, (2, balances(17, 3))));
    pair.a.restart();
    lie(&mut pair);
    let own = signed_final(&pair.a).expect("newer than the backup's");
    assert_eq!((own.base_nonce, own.balances), (nonce(2), balances(17, 3)));
}

#[test]
fn rule_9_an_older_export_does_not_bind_where_the_other_side_shows_the_newest_receipt() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let backup = pair.a.disk.clone();
    pair.b.pay("y", 1);
    pair.run();
    pair.b.pay("z", 7);
    pair.run();
    pair.disconnect();
    pair.a.restore(backup);
    import(&mut pair.a, exported(2, 10, 10, true)).unwrap();
    pair.connect();
    pair.run();
    assert_eq!(pair.a.agreed(), (4, balances(17, 3)));
    assert_eq!(pair.a.channel().name(), "closing");
}

#[test]
fn rule_9_an_export_in_a_session_is_shown_to_the_other_side_before_final_is_signed() {
    let mut pair = restored();
    lie(&mut pair);
    import(&mut pair.a, exported(2, 17, 3, true)).unwrap();
    assert_eq!(signed_final(&pair.a), None);
    let Some(Message::Sync(sync)) = pair.a.outbox.pop_back() else { panic!("nothing is shown") };
    assert!(sync.wants_reply && sync.agreed == agreed(2, 17, 3));
    pair.a.receive(sync_of(agreed(1, 9, 11)));
    assert_eq!(signed_final(&pair.a).map(|own| own.balances), Some(balances(17, 3)));
}

#[test]
fn rule_9_an_export_of_one_side_proves_to_the_other_that_it_has_lost_data_too() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let (backup, copy) = (pair.a.disk.clone(), pair.b.disk.clone());
    pair.b.pay("y", 8);
    pair.run();
    pair.disconnect();
    pair.a.restore(backup);
    pair.b.disk = copy; // copied back by hand
    pair.b.restart();
    pair.b.submitted.clear();
    pair.connect();
    pair.run();
    assert_eq!((step(&pair.a), pair.b.channel().name()), (DataLossStep::User, "active"));
    import(&mut pair.a, exported(2, 17, 3, true)).unwrap();
    pair.run();
    for party in [&pair.a, &pair.b] {
        let [Call::Close(ClosePlan::Final { balances: shares, .. })] = party.submitted[..] else {
            panic!("{:?}", party.submitted)
        };
        assert_eq!(shares, balances(17, 3));
    }
}

#[test]
fn rule_9_a_watchtower_record_is_evidence_at_once_and_final_on_it_needs_the_users_order() {
    let mut pair = restored();
    let taken = import(&mut pair.a, exported(4, 17, 3, false));
    let receipt = Receipt { nonce: nonce(4), balances: balances(17, 3) };
    assert_eq!(taken, Ok(CommandOutcome::ReceiptImported { receipt, both_signed: false }));
    pair.a.restart();
    lie(&mut pair);
    assert_eq!((signed_final(&pair.a), step(&pair.a)), (None, DataLossStep::User));
    // B shows one that is newer than the backup's and older than the record.
    let between = agreed(2, 1, 19);
    show(&mut pair, between);
    assert_eq!((signed_final(&pair.a), step(&pair.a)), (None, DataLossStep::User), "the record is newer");
    assert_eq!(pair.a.agreed(), (2, balances(1, 19)), "no signature of A's is made up for the record");
    pair.a.command(ChannelCommand::SignFinal);
    let own = signed_final(&pair.a).expect("ordered");
    assert_eq!((own.base_nonce, own.balances), (nonce(4), balances(17, 3)));
    // B signs the same end.
    let signature = pair.b.signer.sign(&Domain::new(CHAIN_ID, CHANNEL).final_digest(own.balances));
    pair.a.receive(Message::Final(Final { signature, ..own }));
    assert!(matches!(pair.a.submitted[..], [Call::Close(ClosePlan::Final { .. })]));
}

#[test]
fn rule_9_a_record_that_answers_the_own_proposal_is_agreed() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    let backup = pair.a.disk.clone();
    pair.disconnect();
    pair.a.restore(backup);
    import(&mut pair.a, exported(1, 9, 11, false)).unwrap();
    assert_eq!(pair.a.agreed(), (1, balances(9, 11)));
    let own = pair.a.sign(nonce(1), balances(9, 11));
    assert_eq!(pair.a.channel().receipts().unwrap().agreed.signatures.unwrap().a, own);
}

#[test]
fn rule_9_only_a_valid_and_newer_receipt_is_imported() {
    let mut pair = restored();
    let before = pair.a.disk.record.clone();
    let newest = nonce(1);
    for (number, own) in [(1, true), (1, false)] {
        let taken = import(&mut pair.a, exported(number, 9, 11, own));
        assert_eq!(taken, Err(CommandError::NotNewer { newest }), "{number}");
    }
    let good = exported(2, 17, 3, true);
    let zero = ImportedReceipt { receipt: Receipt { nonce: Nonce::ZERO, ..good.receipt }, ..good };
    let other = Domain::new(CHAIN_ID + 1, CHANNEL).digest(&good.receipt);
    let bad = [
        ImportedReceipt { own: Some(good.theirs), ..good },
        ImportedReceipt { theirs: good.own.unwrap(), ..good },
        ImportedReceipt { theirs: pair.b.signer.sign(&other), ..good },
        zero,
        exported(2, 17, 4, true),
        exported(Nonce::FINAL.get(), 17, 3, true),
    ];
    for given in bad {
        assert_eq!(import(&mut pair.a, given), Err(CommandError::BadReceipt), "{given:?}");
    }
    assert_eq!(pair.a.disk.record, before, "nothing was changed");
    import(&mut pair.a, exported(4, 17, 3, false)).unwrap();
    assert_eq!(
        import(&mut pair.a, exported(4, 18, 2, false)),
        Err(CommandError::NotNewer { newest: nonce(4) })
    );
    import(&mut pair.a, exported(4, 17, 3, true)).unwrap();
    assert_eq!(pair.a.channel().receipts().unwrap().imported, None, "now both have signed it");
}

#[test]
fn rule_9_an_export_proves_lost_data_and_a_record_does_not() {
    for finishing in [false, true] {
        let mut pair = pair();
        pair.a.pay("x", 1);
        pair.run();
        let copy = pair.a.disk.clone();
        pair.b.pay("y", 8);
        pair.run();
        pair.disconnect();
        pair.a.disk = copy; // a data directory that was copied back by hand
        pair.a.restart();
        lie(&mut pair);
        if finishing {
            pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
        }
        let name = pair.a.channel().name();
        assert_eq!(name, if finishing { "finishing" } else { "active" });
        let order = pair.a.command(ChannelCommand::SignFinal);
        assert_eq!(pair.a.reply(order), &Err(CommandError::NoDataLost));
        assert_eq!(import(&mut pair.a, exported(2, 17, 3, false)), Err(CommandError::NoDataLost));
        assert_eq!(import(&mut pair.a, exported(1, 9, 11, true)), Err(CommandError::NoDataLost));
        assert_eq!(pair.a.channel().name(), name);
        assert!(import(&mut pair.a, exported(2, 17, 3, true)).is_ok());
        assert_eq!((pair.a.channel().name(), pair.a.agreed()), ("lost", (2, balances(17, 3))));
        let close = pair.a.close();
        assert_eq!(
            pair.a.reply(close),
            &Err(CommandError::DataLost),
            "closing on 1 would be punished with 2"
        );
    }
}
