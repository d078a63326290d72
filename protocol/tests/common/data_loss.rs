//! A pair of which A was restored from a backup (rule 9), and what B and A's user show it.

use thunder_protocol::channel::{
    ChannelCommand, CommandError, CommandOutcome, DataLossStep, ImportedReceipt,
};
use thunder_protocol::wire::{Final, Message};
use thunder_protocol::{AgreedReceipt, Channel, Crypto, Domain, Receipt, Role, Signatures};

use super::{CHAIN_ID, CHANNEL, Pair, Party, balances, nonce, signer, sync_of};

pub fn pair() -> Pair {
    let mut pair = Pair::active(balances(10, 10));
    pair.a.submitted.clear();
    pair
}

/// The receipt as both have signed it.
pub fn agreed(number: u64, a: u64, b: u64) -> AgreedReceipt {
    let receipt = Receipt { nonce: nonce(number), balances: balances(a, b) };
    let digest = Domain::new(CHAIN_ID, CHANNEL).digest(&receipt);
    let sign = |role| signer(role).sign(&digest);
    AgreedReceipt::signed(receipt, Signatures { a: sign(Role::A), b: sign(Role::B) })
}

/// What A's user has in a file that A's node exported: with both signatures, or with B's alone.
pub fn exported(number: u64, a: u64, b: u64, own: bool) -> ImportedReceipt {
    let AgreedReceipt { receipt, signatures } = agreed(number, a, b);
    let Signatures { a, b } = signatures.unwrap();
    ImportedReceipt { receipt, theirs: b, own: own.then_some(a) }
}

pub fn import(party: &mut Party, given: ImportedReceipt) -> Result<CommandOutcome, CommandError> {
    let caller = party.command(ChannelCommand::ImportReceipt(given.into()));
    party.reply(caller).clone()
}

/// A was restored from a backup with receipt 1 (9, 11); since then B has paid 8, in receipt 2 (17, 3),
/// and knows it.
pub fn restored() -> Pair {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let backup = pair.a.disk.clone();
    pair.b.pay("y", 8);
    pair.run();
    pair.disconnect();
    pair.a.restore(backup);
    assert_eq!((pair.a.channel().name(), pair.a.agreed()), ("lost", (1, balances(9, 11))));
    pair
}

/// Opens a session in which B says only that receipt.
pub fn show(pair: &mut Pair, agreed: AgreedReceipt) {
    pair.disconnect();
    pair.connect();
    pair.a.outbox.clear();
    pair.a.receive(sync_of(agreed));
}

/// B lies: it shows nothing newer than what was in the backup.
pub fn lie(pair: &mut Pair) {
    let backups = agreed(1, 9, 11);
    show(pair, backups);
}

pub fn signed_final(party: &Party) -> Option<Final> {
    party.outbox.iter().find_map(|message| match message {
        Message::Final(final_receipt) => Some(final_receipt.clone()),
        Message::Sync(sync) => sync.own_final.clone(),
        Message::Propose(_) | Message::Answer(_) | Message::Refuse(_) => None,
    })
}

pub fn step(party: &Party) -> DataLossStep {
    let Channel::DataLoss(state) = party.channel() else { panic!("{}", party.channel().name()) };
    state.step()
}
