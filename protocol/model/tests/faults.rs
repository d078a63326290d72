//! The checker can fail: each seeded fault is found.

use std::time::Duration;

use thunder_model::scenario::{AGREEMENT, NO_LOSS, NO_MINTING, PROGRESS};
use thunder_model::{Fault, Left, Scenario};
use thunder_protocol::Role;

const NONE: Left = Left {
    pays: [0, 0],
    crashes: 0,
    connects: 0,
    repeats: 0,
    closes: 0,
    coops: 0,
    blocks: 0,
    reorgs: 0,
    backups: 0,
    orders: 0,
    imports: 0,
    said: 0,
    posts: 0,
};

/// Where each fault shows, and which property it breaks.
fn seeded(fault: Fault) -> (Scenario, &'static str) {
    let honest = |left| Scenario::honest("honest", left);
    let hostile = |role, nonce, left| Scenario::hostile("hostile", role, nonce, left);
    match fault {
        Fault::SendBeforePersist => (hostile(Role::A, 2, Left { crashes: 1, ..NONE }), NO_LOSS),
        Fault::ForgetProposal => (hostile(Role::A, 0, Left { pays: [1, 0], crashes: 1, ..NONE }), NO_LOSS),
        Fault::AnswerLowerCrossing => (honest(Left { pays: [1, 1], ..NONE }), AGREEMENT),
        Fault::BuiltOnMineIsCrossing => (honest(Left { pays: [1, 2], ..NONE }), NO_MINTING),
        Fault::ReplaceAfterRefusal => (hostile(Role::A, 0, Left { pays: [2, 0], ..NONE }), NO_LOSS),
        Fault::CloseOnAgreedWithProposalOut => (hostile(Role::A, 0, Left { pays: [1, 0], ..NONE }), NO_LOSS),
        Fault::ParityIgnored => (hostile(Role::A, 2, Left { pays: [1, 0], ..NONE }), NO_LOSS),
        Fault::ConcessionUnchecked => (hostile(Role::A, 2, NONE), NO_MINTING),
        Fault::InventedBaseZero => (hostile(Role::A, 0, NONE), NO_LOSS),
        Fault::FreeNonce => (hostile(Role::A, 6, Left { pays: [1, 0], ..NONE }), NO_LOSS),
        Fault::SignAfterFinal => (hostile(Role::A, 2, NONE), NO_LOSS),
        Fault::PostStaleFinal => (hostile(Role::A, 2, NONE), NO_LOSS),
        Fault::TwoWrites => (honest(Left { pays: [1, 0], crashes: 1, ..NONE }), NO_MINTING),
        Fault::FlagAfterBroadcast => (hostile(Role::A, 2, Left { closes: 1, crashes: 1, ..NONE }), NO_LOSS),
        Fault::BareClaimBelieved => (hostile(Role::A, 0, NONE), PROGRESS),
        Fault::CarryOnAfterTakingOver => {
            (hostile(Role::A, 0, Left { pays: [2, 0], backups: 1, ..NONE }), NO_LOSS)
        }
        Fault::OthersPaymentId => (honest(Left { pays: [1, 1], ..NONE }), AGREEMENT),
        Fault::EarlierConnection => {
            (honest(Left { pays: [2, 0], backups: 1, connects: 2, ..NONE }), PROGRESS)
        }
        Fault::CloseOnBait => (hostile(Role::A, 2, NONE), NO_LOSS),
        Fault::OldAddressAgain => {
            let scenario = hostile(Role::A, 0, Left { pays: [1, 0], ..NONE });
            (Scenario { reset: true, ..scenario }, NO_LOSS)
        }
        Fault::FinalOnMereSync => (hostile(Role::A, 2, Left { backups: 1, ..NONE }), NO_LOSS),
    }
}

#[test]
fn each_seeded_fault_is_found() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let (scenario, property) = seeded(fault);
        match scenario.clone().with(fault).search(Duration::from_secs(30), Some(property)).broken {
            Some((_, trace)) => println!("{trace}\n"),
            None => missed.push((fault, property)),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// What finds a fault finds nothing where there is none.
#[test]
fn without_a_fault_the_same_searches_find_nothing() {
    for fault in Fault::ALL {
        let (scenario, _) = seeded(fault);
        let found = scenario.search(Duration::from_secs(60), None);
        assert!(found.complete, "{fault:?}: {:?}", found.broken);
    }
}
