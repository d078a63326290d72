//! Randomness that a seed repeats, and the loop over the seeds.

use std::panic::RefUnwindSafe;

use thunder_protocol::Role;

/// A small generator (xorshift64) so that a seed means the same run everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn role(&mut self) -> Role {
        if self.one_in(2) { Role::A } else { Role::B }
    }

    /// Takes out one of the list.
    pub(crate) fn take<T>(&mut self, list: &mut Vec<T>) -> Option<T> {
        let at = self.below(list.len().max(1) as u64) as usize;
        (at < list.len()).then(|| list.remove(at))
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs the seeds that the environment asks for; one that fails says how to repeat it.
pub(crate) fn for_each_seed(test: &str, runs: u64, run: impl Fn(u64) + RefUnwindSafe) {
    let seeds = match number("THUNDER_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("THUNDER_RUNS").unwrap_or(runs),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("repeat with: THUNDER_SEED={seed} cargo test -p thunder-protocol --test world {test}");
            std::panic::resume_unwind(panic);
        }
    }
}
