//! Endpoints that lie about heads, fees, counts, receipts and states, one of several or a single one for once;
//! gateways; and an account with little ether.

use thunder_guard::Report;
use thunder_guard::transactions::CallOutcome;
use thunder_protocol::onchain::OnChain;

use super::*;

/// One of three endpoints shows an absurd base fee; the account has 0.2 ether, hundreds of times what a challenge costs.
#[test]
fn g6_a_base_fee_that_one_of_three_invents_keeps_no_challenge_from_being_paid() {
    let liar = Faults { base_fee: Some(1 << 90), ..honest() };
    let mut world = World::new(1, 1, 12_000, vec![honest(), liar, honest()]);
    world.ether.balance = 2 * 10u128.pow(17);
    let blocks = cheated(&mut world, 0);
    assert!(blocks.is_some());
}

/// A single endpoint shows an absurd base fee in one block only, the block of the closing.
#[test]
fn g5_one_odd_base_fee_keeps_no_challenge_from_being_paid() {
    let mut world = World::new(1, 1, 12_000, vec![honest()]);
    world.ether.balance = 2 * 10u128.pow(17);
    for _ in 0..6 {
        world.block(&[]);
    }
    let channel = world.channel(0);
    world.endpoints[0].faults.base_fee = Some(1 << 90);
    world.block(&[(channel, cheat())]);
    world.endpoints[0].faults.base_fee = None;
    for _ in 0..23 {
        world.block(&[]);
    }
    assert!(world.answered_after(channel).is_some());
}

/// No lie at all: base fee 50 gwei, the account has 0.01 ether (the challenge costs 0.004), and the endpoint has
/// no eth_getBalance (or does not answer it in time after a restart).
#[test]
fn g4_an_account_with_little_ether_whose_balance_is_not_known_pays_what_it_can() {
    let mute = Faults { refuses_balance: true, ..honest() };
    let mut world = World::new(1, 1, 12_000, vec![mute]);
    world.base_fee = 50 * GWEI;
    world.ether.balance = 10u128.pow(16);
    let blocks = cheated(&mut world, 0);
    assert!(blocks.is_some());
}

/// The same, and the balance is known a block later.
#[test]
fn g4_an_account_with_little_ether_whose_balance_is_known_late_pays_what_it_can() {
    let mute = Faults { refuses_balance: true, ..honest() };
    let mut world = World::new(1, 1, 12_000, vec![mute]);
    world.base_fee = 50 * GWEI;
    world.ether.balance = 10u128.pow(16);
    for _ in 0..6 {
        world.block(&[]);
    }
    let channel = world.channel(0);
    world.block(&[(channel, cheat())]);
    world.endpoints[0].faults.refuses_balance = false;
    for _ in 0..23 {
        world.block(&[]);
    }
    assert!(world.answered_after(channel).is_some());
}

/// One of two endpoints says that the account has hardly anything.
#[test]
fn g6_a_balance_that_one_of_three_invents_keeps_no_challenge_from_being_mined() {
    for tip in [GWEI / 10, GWEI] {
        let base = GWEI;
        let liar = Faults { balance: Some((base + 2) * 86_000), delay: 400, ..honest() };
        let mut world = World::new(1, 1, 12_000, vec![honest(), liar, honest()]);
        world.ether.least_tip = tip;
        let blocks = cheated(&mut world, 0);
        assert!(blocks.is_some(), "{tip}");
    }
}

/// One of two endpoints answers for the states of an old block for ever: the channel is closed on the newest
/// receipt and paid out, and the node believes it ACTIVE, and may sign.
#[test]
fn g6_over_a_channel_of_which_one_of_two_shows_an_old_state_for_ever_nothing_is_signed() {
    for states_lag in [false, true] {
        let mut world = World::new(1, 1, 12_000, vec![honest(), honest()]);
        for _ in 0..6 {
            world.block(&[]);
        }
        let channel = world.channel(0);
        if states_lag {
            // Honest and 60 blocks behind, but going on.
            world.endpoints[1].faults.lag = 60;
        } else {
            world.endpoints[1].faults.states_at = Some(world.ether.number());
        }
        let closing = match cheat() {
            StorageState::Closing { closer, balances, block, .. } => StorageState::Closing {
                closer,
                balances,
                block,
                nonce: thunder_protocol::Nonce::new(world::NEWEST).unwrap(),
            },
            _ => unreachable!(),
        };
        world.block(&[(channel, closing)]);
        let at = world.ether.number();
        for _ in 0..26 {
            world.block(&[]);
        }
        let StorageState::Closing { nonce, balances, .. } = closing else { unreachable!() };
        world.block(&[(channel, StorageState::Closed { nonce, balances, block: at })]);
        for _ in 0..20 {
            world.block(&[]);
        }
        let is_reported = matches!(world.views[&channel], OnChain::Closed { .. });
        assert!(is_reported || !world.is_fresh || world.unreadable.contains(&channel), "lag {states_lag}");
    }
}

/// One of three endpoints shows heads that are 30 too high.
#[test]
fn g6_heads_that_one_of_three_shows_too_high_end_no_challenge_period() {
    let liar = Faults { head_off: 30, ..honest() };
    let mut world = World::new(1, 1, 12_000, vec![honest(), liar, honest()]);
    assert!(cheated(&mut world, 0).is_some_and(|blocks| blocks <= 2));
    for report in &world.reports {
        if let thunder_guard::Report::View { view, .. } = report
            && let OnChain::Closing(closing) = view.status
        {
            assert!(
                view.head + 1 < closing.withdrawable_at(),
                "the core takes the challenge period for over"
            );
        }
    }
}

/// One of two endpoints answers "underpriced" to every transaction.
#[test]
fn g6_what_one_of_two_always_finds_too_cheap_is_mined_all_the_same() {
    for base in [1u128, 60] {
        let liar = Faults { says: Some("replacement transaction underpriced"), tip: 1000 * GWEI, ..honest() };
        let mut world = World::new(1, 1, 12_000, vec![honest(), liar]);
        world.base_fee = base * GWEI;
        assert!(cheated(&mut world, 0).is_some_and(|blocks| blocks <= 2), "{base}");
        let tip = world.ether.own_mined().map(|mined| mined.transaction.tip).max();
        assert!(tip.is_some_and(|tip| tip <= 200 * GWEI), "{tip:?}");
    }
}

/// One of three endpoints invents a closing, and a count of mined transactions that stays as it was.
#[test]
fn g6_an_invented_closing_and_a_low_count_cost_little_ether() {
    for (endpoints, liar, count) in
        [(2, 0, Some(3)), (2, 1, Some(3)), (3, 0, Some(3)), (3, 1, Some(3)), (3, 1, None)]
    {
        let mut faults = vec![honest(); endpoints];
        faults[liar].count_at = count;
        faults[liar].says = Some("already known");
        let mut world = World::new(1, 1, 12_000, faults);
        world.ether.balance = 100 * 10u128.pow(18);
        for _ in 0..6 {
            world.block(&[]);
        }
        let channel = world.channel(0);
        world.endpoints[liar].faults.invents.insert(channel);
        for _ in 0..60 {
            world.block(&[]);
        }
        let wei = world.spent();
        // Some ten challenges in 60 blocks, as none may be the last; their fees rise as if none were mined.
        assert!(wei <= 100 * 10u128.pow(15), "{endpoints} endpoints, count {count:?}: {wei} wei");
    }
}

/// One of three endpoints shows a channel that there is none of, heads that are 10 too high, and one timestamp.
#[test]
fn g6_an_opening_that_one_of_three_invents_is_not_believed() {
    for base in [None, Some(2_000_000)] {
        let mut liar = Faults { head_off: 10, timestamp: base, ..honest() };
        liar.active.insert(crate::ether::channels(1)[0]);
        let mut world = World::new(1, 2, 12_000, vec![honest(), liar, honest()]);
        let channel = world.channel(0);
        world.ether.blocks[0].states.remove(&channel);
        world.views.insert(channel, OnChain::Missing);
        for _ in 0..40 {
            world.block(&[]);
            let is_believed = matches!(world.views[&channel], OnChain::Active { .. });
            assert!(!is_believed || world.unreadable.contains(&channel), "{base:?}");
        }
    }
}

/// The partner has many channels that are worth nothing, and one that is worth something, and closes all of them on
/// old receipts. The account has 0.02 ether.
#[test]
fn g4_the_channel_that_holds_the_most_is_challenged_first() {
    for junk in [100] {
        let mut world = World::new(1, junk + 1, 12_000, vec![honest()]);
        world.ether.is_paid = true;
        world.only_worth = Some(world.channel(junk));
        world.ether.balance = 2 * 10u128.pow(16);
        world.ether.least_tip = GWEI;
        for _ in 0..6 {
            world.block(&[]);
        }
        let all: Vec<_> = (0..=junk).map(|index| (world.channel(index), cheat())).collect();
        world.block(&all);
        for _ in 0..23 {
            world.block(&[]);
        }
        assert!(world.answered_after(world.channel(junk)).is_some(), "{junk}");
    }
}

/// Half of the answers of a single endpoint come from a machine on a fork.
#[test]
fn g3_a_machine_on_a_fork_behind_an_endpoint_delays_a_challenge_by_two_blocks_at_most() {
    for (fork, block_time) in [(1, 12_000), (2, 12_000), (1, 2_000), (2, 2_000), (1, 1_000), (2, 1_000)] {
        let mut all = Vec::new();
        for seed in 1..15 {
            let mut world = World::new(seed, 3, block_time, vec![honest()]);
            for _ in 0..6 {
                world.block(&[]);
            }
            world.endpoints[0].faults.stuck_at = world.ether.number();
            world.endpoints[0].faults.fork = fork;
            for _ in 0..6 {
                world.block(&[]);
            }
            let channel = world.channel(0);
            world.block(&[(channel, cheat())]);
            for _ in 0..23 {
                world.block(&[]);
            }
            all.push(world.answered_after(channel).unwrap());
        }
        assert!(all.iter().all(|blocks| *blocks <= 3), "fork {fork}, {block_time} ms: {all:?}");
    }
}

#[test]
fn g2_a_gateway_that_does_not_let_large_calls_through_is_asked_for_less() {
    let mut world = World::new(1, 3, 12_000, vec![Faults { drops_code: true, ..honest() }]);
    for _ in 0..6 {
        world.block(&[]);
    }
    let channel = world.channel(0);
    world.block(&[(channel, cheat())]);
    for _ in 0..23 {
        world.block(&[]);
    }
    assert!(world.answered_after(channel).is_some());
}

/// One of three endpoints suggests a tip of nothing.
#[test]
fn g5_a_tip_of_nothing_that_is_suggested_is_no_tip_of_a_challenge() {
    for (endpoints, least) in [(1, GWEI / 1000), (3, GWEI / 1000), (3, GWEI / 10), (3, GWEI)] {
        let mut faults = vec![honest(); endpoints];
        faults[0].tip = 0;
        let mut world = World::new(1, 1, 12_000, faults);
        world.ether.least_tip = least;
        let blocks = cheated(&mut world, 0);
        assert!(blocks.is_some_and(|blocks| blocks <= 3), "{endpoints} endpoints, {least} wei: {blocks:?}");
    }
}

/// One of three endpoints shows a new block whenever it is asked.
#[test]
fn g6_blocks_that_one_of_three_invents_do_not_raise_fees() {
    for fast in [false, true] {
        let liar = Faults { fast, ..honest() };
        let mut world = World::new(1, 2, 12_000, vec![honest(), liar, honest()]);
        world.ether.balance = 100 * 10u128.pow(18);
        let blocks = cheated(&mut world, 0);
        let other = world.channel(1);
        world.close(other);
        for _ in 0..3 {
            world.block(&[]);
        }
        let tip = world.ether.own_mined().map(|mined| mined.transaction.tip).max().unwrap();
        assert!(blocks.is_some_and(|blocks| blocks <= 2) && tip <= 20 * GWEI, "{fast}: {blocks:?}, {tip}");
    }
}

/// One of three endpoints says that a transaction of the account was mined and refused, which waits in the mempool.
#[test]
fn g6_an_opening_that_one_of_three_says_was_refused_is_not_given_up() {
    let liar = Faults { failed_receipts: true, ..honest() };
    let mut world = World::new(1, 2, 12_000, vec![liar, honest(), honest()]);
    let channel = world.channel(0);
    world.ether.blocks[0].states.remove(&channel);
    world.views.insert(channel, OnChain::Missing);
    for _ in 0..4 {
        world.block(&[]);
    }
    let before = world.reports.len();
    world.open(channel);
    world.run(world.now + 8_000);
    // The block's producers do not take it at once.
    world.ether.least_tip = 100 * GWEI;
    world.endpoints[0].faults.count_off = 1;
    world.block(&[]);
    let failed = |report: &Report| matches!(report, Report::Outcome(CallOutcome::Failed { .. }));
    assert!(!world.reports[before..].iter().any(failed) && !world.disk.is_empty(), "{:?}", world.reports);
    world.ether.least_tip = 1;
    for _ in 0..3 {
        world.block(&[]);
    }
    assert_eq!(world.ether.own_mined().filter(|mined| mined.succeeded).count(), 1);
}

/// One of three endpoints says that its (true) states are those of a block that is 30 too high; no head is false.
#[test]
fn g5_states_said_to_be_of_a_later_block_delay_no_challenge() {
    for endpoints in [1, 3] {
        let mut faults = vec![honest(); endpoints];
        faults[0].states_off = 30;
        let mut world = World::new(1, 1, 12_000, faults);
        assert!(cheated(&mut world, 0).is_some_and(|blocks| blocks <= 2), "{endpoints}");
    }
}

/// As where large packets are lost on the way to the endpoint.
#[test]
fn g2_where_calls_for_many_channels_get_no_answer_the_channels_are_read_one_by_one_in_time() {
    for (count, block_time) in [(1, 1_000), (1, 12_000), (800, 3_000), (800, 12_000)] {
        let hangs = Faults { hangs_code: true, hides_events: true, ..honest() };
        let mut world = World::new(1, count, block_time, vec![hangs]);
        let channel = world.channel(count - 1);
        world.block(&[(channel, cheat())]);
        for _ in 0..23 {
            world.block(&[]);
        }
        let after = world.answered_after(channel);
        assert!(after.is_some_and(|blocks| blocks <= 20), "{count} channels, {block_time} ms: {after:?}");
    }
}
