//! Randomness that a seed repeats.

use std::panic::RefUnwindSafe;

/// A small generator (xorshift64), so that a seed means the same run everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `bound` - 1.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// An index of a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// One of a list.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// True once in `times`.
    pub const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs as many seeds as the environment asks for (`THUNDER_RUNS`), or only one (`THUNDER_SEED`). A seed that fails
/// prints the command that repeats it: `test` is what stands after `cargo test -p`.
pub fn for_each_seed(test: &str, runs: u64, run: impl Fn(u64) + RefUnwindSafe) {
    let seeds = match number("THUNDER_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("THUNDER_RUNS").unwrap_or(runs),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("repeat with: THUNDER_SEED={seed} cargo test -p {test}");
            std::panic::resume_unwind(panic);
        }
    }
}
