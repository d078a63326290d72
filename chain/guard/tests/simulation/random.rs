//! Numbers that a seed gives, the same each time.

use std::panic::{RefUnwindSafe, catch_unwind, resume_unwind};

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn among<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = self.below(list.len() as u64) as usize;
        &list[index]
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs a test for so many seeds, or for that of `THUNDER_SEED`, or for `THUNDER_RUNS` of them. A seed
/// that fails prints the command that repeats it.
pub(crate) fn for_each_seed(test: &str, runs: u64, run: impl Fn(u64) + RefUnwindSafe) {
    let seeds = match number("THUNDER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("THUNDER_RUNS").unwrap_or(runs) + 1,
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(|| run(seed)) {
            println!("repeat with: THUNDER_SEED={seed} cargo test -p thunder-guard --test simulation {test}");
            resume_unwind(panic);
        }
    }
}
