//! Records of channels on disk: what release 0.0.1 wrote is read, and written again byte for byte.
//!
//! `records.txt` holds one record a line, as that release wrote it for the channel of the same name in
//! [`channels`]. A line is never changed; a new form of record gets a new line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{ChannelCommand, CloseMode, ImportedReceipt, PeerInput};
use thunder_protocol::codec::CodecError;
use thunder_protocol::onchain::{ChainClosing, EndKind, OnChain};
use thunder_protocol::{Channel, Domain, Input, Receipt, Role, hex};

const RECORDS: &str = include_str!("records.txt");

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

/// Receipt 1 (9, 11) is agreed, and receipt 3 (7, 13) of A's is proposed.
fn proposed() -> Pair {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.pay("y", 2);
    pair
}

fn opening() -> Vec<(&'static str, Channel)> {
    let mut pair = Pair::opening(balances(6, 4), 6);
    let missing = [("opening-a", pair.a.disk.load()), ("opening-b", pair.b.disk.load())];
    pair.b.chain(OnChain::Empty { paid_in: balances(6, 0) });
    let empty = [("opening-empty", pair.b.disk.load()), ("opening-lost", pair.b.disk.load().mark_stale())];
    [missing, empty].concat()
}

fn in_use() -> Vec<(&'static str, Channel)> {
    let unused = pair();
    let proposed = proposed();
    vec![
        ("active-unused", unused.a.disk.load()),
        ("active-proposed", proposed.a.disk.load()),
        ("active-agreed", proposed.b.disk.load()),
    ]
}

fn finishing() -> Vec<(&'static str, Channel)> {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    let asking = pair.a.disk.load();
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    pair.deliver(Role::B);
    // B answers, but A is to post first; as it does not come to that here, B's record has both FINALs.
    let answering = pair.b.disk.load();
    vec![("finishing-asking", asking), ("finishing-answering", answering)]
}

fn lost() -> Vec<(&'static str, Channel)> {
    let mut pair = proposed();
    let backup = pair.a.disk.clone();
    pair.disconnect();
    pair.a.restore(backup);
    let restored = pair.a.disk.load();
    let receipt = Receipt { nonce: nonce(4), balances: balances(15, 5) };
    let (theirs, own) = (pair.b.sign(receipt.nonce, receipt.balances), None);
    pair.a.command(ChannelCommand::ImportReceipt(Box::new(ImportedReceipt { receipt, theirs, own })));
    let imported = pair.a.disk.load();
    let own = Some(pair.a.sign(receipt.nonce, receipt.balances));
    pair.a.command(ChannelCommand::ImportReceipt(Box::new(ImportedReceipt { receipt, theirs, own })));
    let newer = pair.a.disk.load();
    pair.a.apply(Input::Peer(PeerInput::Connected { initiator: true }));
    let agreed = pair.a.channel().receipts().unwrap().agreed;
    pair.a.receive(sync_of(agreed));
    let signed = pair.a.disk.load();
    vec![("lost", restored), ("lost-imported", imported), ("lost-newer", newer), ("lost-signed", signed)]
}

fn closing_seen(closer: Role, number: u64, shares: (u64, u64), by_proposal: bool) -> OnChain {
    closing(closer, number, balances(shares.0, shares.1), 1, by_proposal, 12)
}

fn closing_channels() -> Vec<(&'static str, Channel)> {
    let mut by_receipt = pair();
    by_receipt.a.pay("x", 1);
    by_receipt.run();
    by_receipt.a.close();
    let mut by_proposal = proposed();
    by_proposal.a.close();
    let planned = by_proposal.a.disk.load();
    by_proposal.a.chain(closing_seen(Role::A, 3, (7, 13), true));
    // B has the proposal's payments for the record (rule 12).
    by_proposal.b.chain(closing_seen(Role::A, 3, (7, 13), true));
    let unrecorded = by_proposal.b.disk.load();
    by_proposal.run();
    let OnChain::Closing(closing) = closing_seen(Role::B, 0, (10, 10), false) else { unreachable!() };
    let mut old = proposed();
    old.a.chain(OnChain::Closing(ChainClosing { event: None, paid_in: None, ..closing }));
    let mut unknown = pair();
    unknown.b.chain(closing_seen(Role::A, 4, (12, 8), false));
    vec![
        ("closing-receipt", by_receipt.a.disk.load()),
        ("closing-proposal", planned),
        ("closing-seen", by_proposal.a.disk.load()),
        ("closing-unrecorded", unrecorded),
        ("closing-recorded", by_proposal.b.disk.load()),
        ("closing-without-event", old.a.disk.load()),
        ("closing-lost", unknown.b.disk.load()),
    ]
}

fn closed_channels() -> Vec<(&'static str, Channel)> {
    let mut abandoned = Pair::opening(balances(10, 0), 10);
    abandoned.a.fail(thunder_protocol::onchain::CallKind::Open, "no ether");
    let mut cancelled = Pair::opening(balances(6, 4), 6);
    cancelled.a.chain(OnChain::Empty { paid_in: balances(6, 0) });
    cancelled.a.chain(closed(EndKind::Cancelled, balances(6, 0), None));
    let mut cooperative = proposed();
    cooperative.run();
    cooperative.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    cooperative.run();
    cooperative.a.chain(closed(EndKind::Final, balances(7, 13), None));
    let OnChain::Closing(own) = closing_seen(Role::A, 3, (7, 13), true) else { unreachable!() };
    let mut withdrawn = proposed();
    withdrawn.a.close();
    withdrawn.a.chain(OnChain::Closing(own));
    withdrawn.a.chain(closed(EndKind::Withdrawn, balances(7, 13), Some(own)));
    let OnChain::Closing(old) = closing_seen(Role::B, 0, (10, 10), false) else { unreachable!() };
    let mut challenged = proposed();
    challenged.a.chain(closed(EndKind::Challenged, balances(20, 0), Some(old)));
    let history = withdrawn.a.disk.load().for_history_only();
    vec![
        ("closed-abandoned", abandoned.a.disk.load()),
        ("closed-cancelled", cancelled.a.disk.load()),
        ("closed-cooperative", cooperative.a.disk.load()),
        ("closed-withdrawn", withdrawn.a.disk.load()),
        ("closed-challenged", challenged.a.disk.load()),
        ("closed-history", history),
    ]
}

/// A channel in each state, and in each form that its record has.
fn channels() -> Vec<(&'static str, Channel)> {
    [opening(), in_use(), finishing(), lost(), closing_channels(), closed_channels()].concat()
}

fn decode(record: &[u8]) -> Channel {
    Channel::decode::<CodecError>(record, |_| Ok(Vec::new())).unwrap()
}

fn lines() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    RECORDS.lines().map(|line| {
        let (name, record) = line.split_once(' ').unwrap();
        (name, hex::decode(record).unwrap())
    })
}

#[test]
fn each_record_is_read_and_written_again_byte_for_byte() {
    for (name, record) in lines() {
        let channel = decode(&record);
        assert!(name.starts_with(channel.name()), "{name} was read as {}", channel.name());
        assert_eq!(hex::encode(channel.encode().unwrap()), hex::encode(&record), "{name}");
    }
}

/// A closed channel's record has one more field since the release: when its end was seen.
fn as_released(mut channel: Channel) -> Channel {
    if let Channel::Closed(closed) = &mut channel {
        closed.seen_at = None;
    }
    channel
}

#[test]
fn each_state_is_written_as_the_release_wrote_it() {
    let written: Vec<_> = channels()
        .into_iter()
        .map(|(name, channel)| (name, as_released(channel).encode().unwrap()))
        .collect();
    let as_lines = || written.iter().map(|(name, record)| format!("{name} {}", hex::encode(record)));
    assert!(written.iter().cloned().eq(lines()), "{}", as_lines().collect::<Vec<_>>().join("\n"));
}

/// What else a record tells than its bytes.
#[test]
fn what_was_agreed_signed_and_planned_is_there_after_reading() {
    for ((name, record), (_, channel)) in lines().zip(channels()) {
        let read = decode(&record);
        let now = decode(&channel.encode().unwrap());
        if let (Channel::Closed(now), Channel::Closed(closed)) = (&now, &channel) {
            assert_eq!(now.seen_at, closed.seen_at, "{name}");
        }
        assert_eq!(read.setup().terms(), channel.setup().terms(), "{name}");
        assert_eq!(read.view(), channel.view(), "{name}");
        assert_eq!(read.balances(), channel.balances(), "{name}");
        assert_eq!(read.has_valid_receipts(), channel.has_valid_receipts(), "{name}");
        let receipts =
            |channel: &Channel| channel.receipts().map(|receipts| (receipts.agreed, receipts.imported));
        assert_eq!(receipts(&read), receipts(&channel), "{name}");
        let domain = Domain::new(CHAIN_ID, CHANNEL);
        let zero = Receipt { nonce: nonce(0), balances: balances(1, 1) };
        assert_eq!(read.setup().domain().digest(&zero), domain.digest(&zero), "{name}");
    }
}
