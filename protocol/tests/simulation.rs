//! Seeded random runs of both cores over a wire that drops, repeats and reorders, with crashes
//! before and after every kind of write, and a model of the contract at the end. A failing run
//! names its seed; `THUNDER_SEED=<seed>` repeats it alone, `THUNDER_RUNS=<n>` asks for more runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::chain::Chain;
use common::*;
use thunder_protocol::channel::{CloseMode, Command, Direction};
use thunder_protocol::onchain::CHALLENGE_PERIOD;
use thunder_protocol::{Amount, Input, Role};

/// A small generator (xorshift) so that a seed means the same run everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn role(&mut self) -> Role {
        if self.below(2) == 0 { Role::A } else { Role::B }
    }
}

const PAID_IN: u64 = 50;

struct Run {
    pair: Pair,
    random: Random,
    connected: bool,
    payments: u32,
}

impl Run {
    fn new(seed: u64) -> Self {
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { pair: Pair::active(balances(PAID_IN, PAID_IN)), random, connected: true, payments: 0 }
    }

    fn step(&mut self) {
        let role = self.random.role();
        match self.random.below(20) {
            0..=5 => self.pay(role),
            6..=12 => {
                self.pair.deliver(role);
            }
            13 => {
                // The oldest message arrives last.
                let oldest = self.pair.party(role).outbox.pop_front();
                self.pair.party(role).outbox.extend(oldest);
            }
            14 => {
                let repeated = self.pair.party(role).outbox.front().cloned();
                self.pair.party(role).outbox.extend(repeated);
            }
            15 => {
                self.pair.party(role).now += 10_000;
                if !self.pair.party(role).is_dead() {
                    self.pair.party(role).apply(Input::Tick);
                }
            }
            16 => self.pair.party(role).writes_left = Some(self.random.below(2) as usize),
            17 => self.reconnect(),
            18 => self.pair.party(role).fresh = self.random.below(3) > 0,
            _ => {
                let (disconnect, connected) = (self.random.below(4) == 0, self.connected);
                if disconnect && connected {
                    self.disconnect();
                }
            }
        }
        self.revive();
    }

    fn revive(&mut self) {
        for role in [Role::A, Role::B] {
            if self.pair.party(role).is_dead() {
                self.disconnect();
                self.pair.party(role).restart();
            }
        }
    }

    fn pay(&mut self, role: Role) {
        let amount = 1 + self.random.below(9);
        // Now and then an id is repeated, as a client would that did not hear the outcome.
        let fresh = self.payments == 0 || self.random.below(8) > 0;
        if fresh {
            self.payments += 1;
        }
        let (id, amount) = (format!("{role}{}", self.payments), if fresh { amount } else { 1 });
        if !self.pair.party(role).is_dead() {
            self.pair.party(role).pay(&id, amount);
        }
    }

    fn disconnect(&mut self) {
        self.pair.disconnect();
        self.connected = false;
    }

    fn reconnect(&mut self) {
        self.disconnect();
        self.revive();
        self.pair.connect();
        self.connected = true;
    }

    /// Everything honest and well: connected, in sync, nothing on the way.
    fn heal(&mut self) {
        for role in [Role::A, Role::B] {
            let party = self.pair.party(role);
            (party.fresh, party.writes_left) = (true, None);
        }
        self.reconnect();
        self.pair.run();
        for _ in 0..4 {
            self.pair.tick();
        }
    }

    fn assert_honest(&self) {
        for party in [&self.pair.a, &self.pair.b] {
            assert_eq!(party.misbehaviour, None, "an honest side was taken for a cheat by {}", party.role);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn for_each_seed(run: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let seeds = match number("THUNDER_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("THUNDER_RUNS").unwrap_or(400),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("repeat with: THUNDER_SEED={seed} cargo test -p thunder-protocol --test simulation");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn agreement_and_no_minting_whatever_the_network_and_the_crashes() {
    for_each_seed(|seed| {
        let mut run = Run::new(seed);
        for _ in 0..150 {
            run.step();
        }
        run.assert_honest();
        run.heal();
        run.assert_honest();
        run.pair.assert_agreement(balances(PAID_IN, PAID_IN));
        assert_eq!(run.pair.a.channel().pending(), Amount::ZERO, "progress");
        assert_eq!(run.pair.b.channel().pending(), Amount::ZERO, "progress");
    });
}

#[test]
fn every_honest_close_pays_out_what_the_payments_say() {
    for_each_seed(|seed| {
        let paid_in = balances(PAID_IN, PAID_IN);
        let mut run = Run::new(seed);
        let mut chain = Chain::active(paid_in, 11);
        let closes_at = 20 + run.random.below(80);
        for step in 0..120 {
            run.step();
            if step == closes_at {
                let role = run.random.role();
                let mode = if run.random.below(3) == 0 { CloseMode::Cooperative } else { CloseMode::Alone };
                run.pair.party(role).command(Command::Close(mode));
            }
            if run.random.below(10) == 0 {
                chain.run(&mut run.pair);
                chain.show(&mut run.pair);
            }
            run.revive();
        }
        run.heal();
        for _ in 0..3 {
            chain.run(&mut run.pair);
            chain.block += 8;
            chain.show(&mut run.pair);
            for role in [Role::A, Role::B] {
                run.pair.party(role).apply(Input::Chain(thunder_protocol::channel::ChainInput::Block));
            }
        }
        // What nobody has closed so far, somebody closes alone.
        if chain.paid_out().is_none() && chain.closing().is_none() {
            run.pair.a.close();
            chain.run(&mut run.pair);
            chain.show(&mut run.pair);
        }
        run.pair.reconnect();
        if let Some(closing) = chain.closing() {
            chain.block = closing.block + CHALLENGE_PERIOD;
            chain.show(&mut run.pair);
            run.pair.b.command(Command::Withdraw);
            chain.run(&mut run.pair);
            chain.show(&mut run.pair);
        }
        run.assert_honest();
        let paid_out = chain.paid_out().expect("progress: the money is out");
        assert_eq!(paid_out.sum(), paid_in.sum());
        // Both histories say exactly what the chain paid: nobody was punished, nothing was minted.
        for party in [&run.pair.a, &run.pair.b] {
            let sum = |direction| {
                Amount::checked_sum(party.applied(direction).into_iter().map(|row| row.1)).unwrap()
            };
            let expected = paid_in.of(party.role).checked_add(sum(Direction::In)).unwrap();
            let expected = expected.checked_sub(sum(Direction::Out)).unwrap();
            assert_eq!(
                paid_out.of(party.role),
                expected,
                "{} was paid otherwise than its history says",
                party.role
            );
        }
    });
}
