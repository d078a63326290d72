//! What a model starts from and how much may happen in it.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::fault::Fault;
use crate::trace;
use crate::verdict::{self, Broken};
use crate::world::{Happening, World};

/// "What it is paid out on chain is at least its balance in the newest agreed receipt, less what it
/// has itself proposed and the other side has not answered. It is never punished."
pub const NO_LOSS: &str = "No loss";
/// "Payments and balances always add up to what was paid in; each payment is applied at most once."
pub const NO_MINTING: &str = "No minting";
/// "It can always get its money out, alone, in a bounded number of blocks. Both directions of a
/// saturated channel get their share."
pub const PROGRESS: &str = "Progress";
/// "Two honest sides that are connected long enough have the same newest receipt and history."
pub const AGREEMENT: &str = "Agreement";

/// What may still happen. Each figure is a bound of the search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Payments that each user asks for.
    pub pays: [u8; 2],
    /// Crashes, wherever they strike.
    pub crashes: u8,
    /// Sessions that end although nobody crashed.
    pub connects: u8,
    /// Messages that arrive once more.
    pub repeats: u8,
    /// Users that close alone.
    pub closes: u8,
    /// Users that ask for a cooperative close.
    pub coops: u8,
    /// Times that eight blocks pass.
    pub blocks: u8,
    /// Events that the chain takes back.
    pub reorgs: u8,
    /// Copies of a data directory.
    pub backups: u8,
    /// Times that the user of a restored node orders FINAL.
    pub orders: u8,
    /// Times that the user of a restored node gives it the newest receipt.
    pub imports: u8,
    /// Messages of the adversary; `u8::MAX` for as many as it likes.
    pub said: u8,
    /// Contract calls of the adversary.
    pub posts: u8,
}

/// A model: where it starts, and its bounds.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name in the output.
    pub name: &'static str,
    /// Which sides are honest; the adversary plays the other.
    pub honest: [bool; 2],
    /// What each side has paid in, in THD.
    pub paid_in: [u64; 2],
    /// It starts before the second side has paid in.
    pub opening: bool,
    /// The adversary has a receipt of a channel that was there before the chain was reset.
    pub reset: bool,
    /// How deep the honest want an opening.
    pub confirmations: u64,
    /// The highest nonce that the adversary proposes.
    pub max_nonce: u64,
    /// How much may happen.
    pub left: Left,
    /// The seeded fault.
    pub fault: Option<Fault>,
}

impl Scenario {
    /// Both sides are honest.
    pub fn honest(name: &'static str, left: Left) -> Self {
        Self {
            name,
            honest: [true, true],
            paid_in: [4, 4],
            opening: false,
            reset: false,
            confirmations: 1,
            max_nonce: 0,
            left,
            fault: None,
        }
    }

    /// One side is honest.
    pub fn hostile(name: &'static str, honest: thunder_protocol::Role, max_nonce: u64, left: Left) -> Self {
        let left = Left { said: if left.said == 0 { u8::MAX } else { left.said }, ..left };
        let mut scenario = Self::honest(name, left);
        scenario.honest = [false, false];
        scenario.honest[honest as usize] = true;
        scenario.max_nonce = max_nonce;
        scenario
    }

    /// The same with a fault in it.
    pub fn with(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }
}

/// The model that the checker explores.
struct Explored {
    scenario: Scenario,
    /// What was found to be sound already, whatever is under way and may still happen.
    sound: Mutex<HashSet<u64>>,
}

impl Model for Explored {
    type State = World;
    type Action = Happening;

    fn init_states(&self) -> Vec<World> {
        vec![World::start(&self.scenario)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Happening>) {
        if world.broken.is_none() {
            actions.extend(world.happenings(&self.scenario));
        }
    }

    fn next_state(&self, world: &World, happening: Happening) -> Option<World> {
        let mut next = world.act(&happening)?;
        let key = verdict::key(&next);
        let known = self.sound.lock().is_ok_and(|sound| sound.contains(&key));
        if next.broken.is_none() && !known {
            next.broken = verdict::of(&next, &self.scenario);
            if next.broken.is_none()
                && let Ok(mut sound) = self.sound.lock()
            {
                sound.insert(key);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // One for each way in which a world can be broken; `Broken` says what it means.
        vec![
            Property::always(NO_LOSS, |_, world: &World| {
                !matches!(world.broken, Some(Broken::Loss | Broken::Punished))
            }),
            Property::always(NO_MINTING, |_, world: &World| {
                !matches!(world.broken, Some(Broken::Minted | Broken::AppliedTwice | Broken::ToldWrong))
            }),
            Property::always(PROGRESS, |_, world: &World| {
                !matches!(
                    world.broken,
                    Some(Broken::Stuck | Broken::Frozen | Broken::Starved | Broken::NoWayOut)
                )
            }),
            Property::always(AGREEMENT, |_, world: &World| {
                !matches!(world.broken, Some(Broken::Disagreement | Broken::HonestAccused))
            }),
        ]
    }
}

/// What a search has found.
#[derive(Debug)]
pub struct Found {
    /// How many different states were visited.
    pub states: usize,
    /// How long it took.
    pub took: Duration,
    /// Whether everything within the bounds was visited.
    pub complete: bool,
    /// What is broken, and how it came to that.
    pub broken: Option<(Broken, String)>,
}

impl Scenario {
    /// Searches everything within the bounds, or as much as the time allows; until any property is
    /// broken, or until the `wanted` one is.
    pub fn search(&self, limit: Duration, wanted: Option<&'static str>) -> Found {
        let start = Instant::now();
        let model = Explored { scenario: self.clone(), sound: Mutex::default() };
        // One thread finds a shortest trace.
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if wanted.is_some() { 1 } else { all };
        let until =
            wanted.map_or(HasDiscoveries::AnyFailures, |property| HasDiscoveries::AllOf([property].into()));
        let builder = model.checker().threads(threads).finish_when(until).timeout(limit);
        // Breadth first, a trace is a shortest one; depth first, only what is still to be looked at
        // from here is in memory as a whole, and that is little.
        let (discoveries, done, states) = if wanted.is_some() {
            let checker = builder.spawn_bfs().join();
            (checker.discoveries(), checker.is_done(), checker.unique_state_count())
        } else {
            let checker = builder.spawn_dfs().join();
            (checker.discoveries(), checker.is_done(), checker.unique_state_count())
        };
        let broken = discoveries.into_iter().find(|found| wanted.is_none_or(|wanted| wanted == found.0));
        let broken = broken.map(|(property, path)| {
            let last = path.last_state().broken.unwrap_or(Broken::Stuck);
            (last, trace::of(self, property, last, path.into_actions()))
        });
        let took = start.elapsed();
        let complete = broken.is_none() && done && took < limit;
        let found = Found { states, took, complete, broken };
        println!(
            "{}: {} states in {:.1} s{}",
            self.name,
            found.states,
            took.as_secs_f32(),
            if found.complete { ", all within the bounds" } else { "" }
        );
        found
    }

    /// Everything holds, in at least so many states. The smaller bounds are searched to the end, the
    /// larger ones for as long as `THUNDER_MODEL_SECONDS` allows.
    pub fn holds(&self, at_least: usize) {
        let seconds = std::env::var("THUNDER_MODEL_SECONDS").ok().and_then(|text| text.parse().ok());
        let limit = seconds.unwrap_or(if is_full() { 25 } else { 600 });
        let found = self.search(Duration::from_secs(limit), None);
        if let Some((broken, trace)) = found.broken {
            panic!("{}: {broken:?}\n{trace}", self.name);
        }
        let enough = found.complete || is_full() || seconds.is_some();
        assert!(enough, "{}: the time was too short for the smaller bounds", self.name);
        assert!(found.states >= at_least, "{}: only {} states, expected {at_least}", self.name, found.states);
    }
}

/// Whether the larger bounds are asked for (`THUNDER_MODEL=full`).
pub fn is_full() -> bool {
    std::env::var("THUNDER_MODEL").is_ok_and(|value| value == "full")
}
