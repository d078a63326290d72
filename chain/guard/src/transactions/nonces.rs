//! Which transaction takes which account nonce (guard rule G4).
//!
//! Invariants:
//!
//! 1. Challenges have the lowest nonces that are not mined, those of an earlier tier below those of a later one.
//!    Whatever stood there is made anew above them.
//! 2. No nonce below a transaction of one's own is free, unless another program's transaction is known
//!    to wait there, and then for two blocks at most.
//! 3. No two transactions have one nonce.
//! 4. A transaction keeps its nonce as long as these allow it.
//!
//! A tier is what is of about the same importance, and its transactions have nonces in a row, in any order: so one that
//! comes later takes one of the lowest nonces, and of those that it goes before one in each tier is signed anew.

use std::collections::BTreeMap;

/// A transaction that is to be mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder<K> {
    /// Its name.
    pub(crate) key: K,
    /// The tier, if it is a challenge.
    pub(crate) tier: Option<usize>,
    /// The nonce that it has.
    pub(crate) nonce: Option<u64>,
}

/// Assigns nonces; `holders` come in the order of their importance. `base` is the lowest nonce that is not
/// mined; those below `foreign_until` that nobody here has may be another program's. Returns the
/// transactions that get another nonce than they have.
pub(crate) fn assign<K: Copy + PartialEq>(
    base: u64,
    foreign_until: u64,
    holders: &[Holder<K>],
) -> Vec<(K, u64)> {
    let mut taken: BTreeMap<u64, K> = BTreeMap::new();
    let mut tiers: BTreeMap<usize, Vec<&Holder<K>>> = BTreeMap::new();
    for holder in holders {
        tiers.entry(holder.tier.unwrap_or(usize::MAX)).or_default().push(holder);
    }
    // Those that are no challenges come last, and have no upper end.
    let others = tiers.remove(&usize::MAX).unwrap_or_default();
    // Invariants 1 and 4: challenges keep what they have among the lowest, and fill the rest of these.
    let mut above_urgent = base;
    for tier in tiers.values() {
        let end = above_urgent.saturating_add(u64::try_from(tier.len()).unwrap_or(u64::MAX));
        take(tier, above_urgent, |nonce| (above_urgent..end).contains(&nonce), &mut taken);
        above_urgent = end;
    }
    let first = above_urgent.max(foreign_until);
    take(&others, first, |nonce| nonce >= above_urgent, &mut taken);
    close_gaps(first, &mut taken);
    let before = |key: &K| holders.iter().find(|holder| holder.key == *key).and_then(|holder| holder.nonce);
    taken
        .into_iter()
        .filter(|(nonce, key)| before(key) != Some(*nonce))
        .map(|(nonce, key)| (key, nonce))
        .collect()
}

/// Holders keep nonces that fit; the others get the lowest free ones, from `next` on.
fn take<K: Copy>(
    holders: &[&Holder<K>],
    mut next: u64,
    fits: impl Fn(u64) -> bool,
    taken: &mut BTreeMap<u64, K>,
) {
    let mut without = Vec::new();
    for holder in holders {
        match holder.nonce.filter(|nonce| fits(*nonce) && !taken.contains_key(nonce)) {
            Some(nonce) => drop(taken.insert(nonce, holder.key)),
            None => without.push(holder.key),
        }
    }
    for key in without {
        while taken.contains_key(&next) {
            next = next.saturating_add(1);
        }
        taken.insert(next, key);
    }
}

/// Invariant 2: the transactions with the highest nonces fill what is free below them, from `first` on.
fn close_gaps<K>(first: u64, taken: &mut BTreeMap<u64, K>) {
    let mut gap = first;
    loop {
        while taken.contains_key(&gap) {
            gap = gap.saturating_add(1);
        }
        match taken.last_entry() {
            Some(last) if *last.key() > gap => {
                let key = last.remove();
                taken.insert(gap, key);
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn holder(key: u32, is_urgent: bool, nonce: Option<u64>) -> Holder<u32> {
        in_tier(key, is_urgent.then_some(0), nonce)
    }

    fn in_tier(key: u32, tier: Option<usize>, nonce: Option<u64>) -> Holder<u32> {
        Holder { key, tier, nonce }
    }

    #[test]
    fn g4_a_challenge_of_an_earlier_tier_replaces_one_of_each_later() {
        let (first, second) = (Some(0), Some(1));
        let holders = [
            in_tier(9, first, None),
            in_tier(1, second, Some(5)),
            in_tier(2, second, Some(6)),
            in_tier(3, second, Some(7)),
            in_tier(4, None, Some(8)),
        ];
        assert_eq!(assign(5, 5, &holders), [(9, 5), (1, 8), (4, 9)]);
    }

    #[test]
    fn g4_a_challenge_takes_the_lowest_nonce_and_what_stood_there_is_made_anew() {
        let holders = [holder(9, true, None), holder(1, false, Some(5)), holder(2, false, Some(6))];
        assert_eq!(assign(5, 5, &holders), [(9, 5), (1, 7)]);
    }

    #[test]
    fn g4_several_challenges_stand_side_by_side_and_keep_their_nonces() {
        let holders = [holder(8, true, Some(6)), holder(9, true, None), holder(1, false, Some(5))];
        assert_eq!(assign(5, 5, &holders), [(9, 5), (1, 7)]);
        let settled = [holder(8, true, Some(6)), holder(9, true, Some(5)), holder(1, false, Some(7))];
        assert_eq!(assign(5, 5, &settled), []);
        // The first is mined.
        let after = [holder(8, true, Some(6)), holder(1, false, Some(7))];
        assert_eq!(assign(6, 6, &after), []);
    }

    #[test]
    fn g4_a_gap_is_closed() {
        // A count that was one too high.
        assert_eq!(assign(5, 5, &[holder(1, false, Some(6))]), [(1, 5)]);
        assert_eq!(assign(5, 5, &[holder(1, true, Some(6))]), [(1, 5)]);
        let several = [holder(1, false, Some(5)), holder(2, false, Some(7)), holder(3, false, Some(8))];
        assert_eq!(assign(5, 5, &several), [(3, 6)], "the last one fills it");
    }

    #[test]
    fn g4_another_programs_transaction_is_left_alone_by_all_but_challenges() {
        assert_eq!(assign(5, 7, &[holder(1, false, None)]), [(1, 7)]);
        assert_eq!(assign(5, 7, &[holder(1, false, Some(7))]), []);
        assert_eq!(assign(5, 5, &[holder(1, false, Some(7))]), [(1, 5)], "not for ever");
        assert_eq!(assign(5, 7, &[holder(9, true, None)]), [(9, 5)]);
    }

    /// A small generator of numbers for thousands of cases that can be repeated.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        move |bound| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        }
    }

    #[test]
    fn g4_the_invariants_hold_for_whatever_there_is() {
        for seed in 0..20_000 {
            let mut below = numbers(seed);
            let base = below(20);
            let foreign_until = base + below(4);
            let holders: Vec<_> = (0..below(7) as u32)
                .map(|key| {
                    let nonce = (below(3) > 0).then(|| below(30));
                    in_tier(key, (below(3) == 0).then(|| below(3) as usize), nonce)
                })
                .collect();
            let changes = assign(base, foreign_until, &holders);
            let now = |holder: &Holder<u32>| {
                let changed = changes.iter().find(|(key, _)| *key == holder.key).map(|(_, nonce)| *nonce);
                changed.or(holder.nonce).unwrap()
            };
            let nonces: BTreeSet<_> = holders.iter().map(now).collect();
            assert_eq!(nonces.len(), holders.len(), "3: {seed}");
            let below_tier = |tier: usize| {
                let lower = holders.iter().filter(|other| other.tier.is_some_and(|other| other < tier));
                base + lower.count() as u64
            };
            let range = |tier: usize| below_tier(tier)..below_tier(tier.saturating_add(1));
            for holder in &holders {
                assert!(now(holder) >= base, "{seed}");
                match holder.tier {
                    Some(tier) => assert!(range(tier).contains(&now(holder)), "1: {seed}"),
                    None => assert!(now(holder) >= below_tier(usize::MAX), "1: {seed}"),
                }
            }
            let highest = nonces.last().copied().unwrap_or(base);
            for nonce in (base..highest).filter(|nonce| *nonce >= foreign_until) {
                assert!(nonces.contains(&nonce), "2: {seed} {nonce} {holders:?} {changes:?}");
            }
            for (holder, tier) in holders.iter().filter_map(|holder| Some((holder, holder.tier?))) {
                let kept = holder.nonce.filter(|nonce| range(tier).contains(nonce));
                let twin = holders.iter().filter(|other| other.nonce == holder.nonce).count() > 1;
                assert!(kept.is_none_or(|nonce| nonce == now(holder) || twin), "4: {seed}");
            }
        }
    }
}
