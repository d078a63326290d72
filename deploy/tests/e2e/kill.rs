//! kill -9 at named points: each disk write, each message, each broadcast, in the middle of
//! everything that a channel goes through. What was confirmed to a caller is there exactly once, both
//! sides agree, and all money comes out.
//!
//! `THUNDER_RUNS=200 cargo test -p thunder-deploy --test e2e kill::at_any` runs more lives of a channel,
//! `THUNDER_SEED` repeats one; `THUNDER_KILL=all` goes through every point with every way to close.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::process::Signal;
use serde_json::Value;
use thunder_protocol::{Address, Amount};

use super::harness::*;

/// Where it can die (`node/src/failpoint.rs`), and how often that may be passed before, at most.
const POINTS: [(&str, u64); 8] = [
    ("commit-before", 12),
    ("commit-after", 12),
    ("send-before", 8),
    ("send-after", 8),
    ("reply-before", 3),
    ("submit-before", 1),
    ("broadcast-before", 1),
    ("broadcast-after", 1),
];
const PAYMENTS: usize = 8;

/// thunderd that can be told where to die; only our own crate is compiled for it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = thunder_deploy::beside("thunderd").unwrap().parent().unwrap().to_path_buf();
        let mut command = Command::new(env!("CARGO"));
        // The whole workspace, so that the dependencies are those that are built already.
        command.args(["build", "--workspace", "--locked", "--example", "thunderd-failpoints"]);
        command.args(["--features", "thunder-node/failpoints"]);
        if target.file_name().unwrap() != "debug" {
            command.arg("--profile").arg(target.file_name().unwrap());
        }
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        target.join("examples").join(format!("thunderd-failpoints{}", std::env::consts::EXE_SUFFIX))
    })
}

/// Numbers that a seed decides (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The ways in which a channel ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Alone,
    Together,
    /// On a proposal that the other side has not answered.
    Proposal,
    /// On an old receipt, which is challenged.
    Cheat,
}

const ENDINGS: [Ending; 4] = [Ending::Alone, Ending::Together, Ending::Proposal, Ending::Cheat];

/// Two nodes that are killed. A lock is held to start and end a process, never while a command runs.
struct Pair {
    world: World,
    nodes: [Mutex<Node>; 2],
    deaths: AtomicUsize,
    /// The one point at which everybody dies, or none: wherever the dice say.
    only: Mutex<Option<&'static str>>,
    /// What goes on, and where each side was told to die in it.
    phase: Mutex<&'static str>,
    told: Mutex<[Option<&'static str>; 2]>,
    /// In what they have died, and where.
    hits: Mutex<BTreeSet<(&'static str, &'static str)>>,
}

impl Pair {
    fn new() -> Self {
        let world = World::new();
        let nodes = [1, 2].map(|index| {
            let mut node = world.user(index);
            node.kill();
            node.run_failing(program());
            node.start();
            node
        });
        nodes[0].connect(&nodes[1]);
        Self {
            world,
            nodes: nodes.map(Mutex::new),
            deaths: AtomicUsize::new(0),
            only: Mutex::default(),
            phase: Mutex::new("open"),
            told: Mutex::default(),
            hits: Mutex::default(),
        }
    }

    fn begins(&self, phase: &'static str) {
        *self.phase.lock().unwrap() = phase;
    }

    fn with<T>(&self, side: usize, act: impl FnOnce(&mut Node) -> T) -> T {
        act(&mut self.nodes[side].lock().unwrap())
    }

    /// A command that may fail in any way; its answer if it did not.
    fn try_to(&self, side: usize, arguments: &[&str]) -> Option<Value> {
        let mut command = self.with(side, |node| node.cli());
        let output = command.args(["--json", "--timeout", "5"]).args(arguments).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Has one node, or both, die somewhere in what comes.
    fn injure(&self, dice: &mut Dice) {
        if let Some(point) = *self.only.lock().unwrap() {
            (0..2).for_each(|side| self.tell(side, point, 1));
            return;
        }
        let who = dice.below(3);
        for side in 0..2 {
            let (point, most) = POINTS[dice.below(POINTS.len() as u64) as usize];
            let nth = 1 + dice.below(most) as u32;
            let from_outside = dice.below(8) == 0;
            if who != 2 && who != side as u64 {
                continue;
            }
            if from_outside {
                self.with(side, |node| node.kill());
            } else {
                self.tell(side, point, nth);
            }
        }
    }

    fn tell(&self, side: usize, point: &'static str, nth: u32) {
        self.told.lock().unwrap()[side] = Some(point);
        self.with(side, |node| node.die_at(point, nth));
    }

    /// Whether one has died.
    fn one_is_dead(&self) -> bool {
        (0..2).any(|side| self.with(side, |node| !node.is_running()))
    }

    /// Nobody dies any more, and who has died is started again.
    fn mend(&self) {
        for side in 0..2 {
            let told = self.told.lock().unwrap()[side].take();
            self.with(side, |node| {
                if let (true, Some(point)) = (node.spare(), told) {
                    self.hits.lock().unwrap().insert((*self.phase.lock().unwrap(), point));
                }
                if !node.is_running() {
                    self.deaths.fetch_add(1, Ordering::SeqCst);
                    node.kill();
                    node.start();
                }
            });
        }
        let (a, b) = (self.nodes[0].lock().unwrap(), self.nodes[1].lock().unwrap());
        a.wait_connected(&b);
    }

    /// Tries until it is so, the first times with somebody dying on the way.
    fn until(&self, dice: &mut Dice, what: &str, mut act: impl FnMut(), is_so: impl Fn() -> bool) {
        for _ in 0..2 {
            self.injure(dice);
            act();
            self.mend();
            if is_so() {
                return;
            }
        }
        wait_for(what, || {
            act();
            is_so()
        });
    }

    fn live_channel(&self, side: usize) -> Option<Address> {
        let infos = self.with(side, |node| node.infos());
        let live = infos["channels"].as_array().unwrap().iter().find(|info| info["state"] != "CLOSED");
        live.map(|info| address(&info["channel"]))
    }

    fn state(&self, side: usize, channel: Address) -> String {
        self.with(side, |node| node.channel(channel)["state"].as_str().unwrap_or_default().to_owned())
    }

    fn open(&self, dice: &mut Dice, opener: usize) -> Address {
        let act = || drop(self.try_to(opener, &["openchannel", "10"]));
        self.until(dice, "a channel", act, || self.live_channel(opener).is_some());
        let channel = self.live_channel(opener).unwrap();
        (0..2).for_each(|side| self.with(side, |node| node.wait_usable(channel)));
        channel
    }

    /// Both pay; whoever is not told that it is paid asks again with the same id.
    fn pay(&self, dice: &mut Dice, life: u64) -> Vec<(usize, String, Value)> {
        let going = AtomicUsize::new(2);
        let confirmed = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for side in 0..2 {
                let (going, confirmed) = (&going, &confirmed);
                scope.spawn(move || {
                    for number in 0..PAYMENTS {
                        let id = format!("{life}-{side}-{number}");
                        let mut answer = None;
                        wait_for("it is paid", || {
                            answer = self.try_to(side, &["pay", "0.01", "--id", &id]);
                            answer.is_some()
                        });
                        confirmed.lock().unwrap().push((side, id, answer.unwrap()["nonce"].clone()));
                    }
                    going.fetch_sub(1, Ordering::SeqCst);
                });
            }
            for _ in 0..3 {
                self.injure(dice);
                wait_for("a death", || self.one_is_dead() || going.load(Ordering::SeqCst) == 0);
                self.mend();
            }
        });
        confirmed.into_inner().unwrap()
    }

    /// What was confirmed is there exactly once, on both sides, and is answered the same again.
    fn check_payments(&self, channel: Address, opener: usize, confirmed: &[(usize, String, Value)]) {
        for side in 0..2 {
            self.with(side, |node| node.wait_usable(channel));
            let history = self.with(side, |node| node.history());
            let here = history.iter().filter(|payment| payment["channel"] == channel.to_string());
            assert_eq!(here.count(), confirmed.len());
            for (payer, id, nonce) in confirmed {
                let direction = if *payer == side { "out" } else { "in" };
                let is_it = |payment: &&Value| {
                    payment["channel"] == channel.to_string()
                        && payment["id"] == id.as_str()
                        && payment["direction"] == direction
                };
                let found: Vec<_> = history.iter().filter(is_it).collect();
                assert_eq!(found.len(), 1, "{id} on side {side}");
                assert_eq!((&found[0]["nonce"], &found[0]["status"]), (nonce, &"done".into()));
            }
        }
        let mine = |side: usize| self.with(side, |node| node.mine(channel));
        // As many were paid in each direction.
        assert_eq!((mine(opener), mine(1 - opener)), (thd("10"), Amount::ZERO));
        for (payer, id, nonce) in confirmed {
            let again = self.with(*payer, |node| node.ok(&["pay", "0.01", "--id", id]));
            assert_eq!(again["nonce"], *nonce, "{id} is answered as before");
        }
    }

    /// Closes, and says what the opener is to get.
    fn close(&self, dice: &mut Dice, opener: usize, channel: Address, ending: Ending) -> Amount {
        let is_closing = || (0..2).all(|side| ["CLOSING", "CLOSED"].contains(&&*self.state(side, channel)));
        let closer = dice.below(2) as usize;
        match ending {
            Ending::Alone => {
                self.begins("closing alone");
                let act = || drop(self.try_to(closer, &["closechannel"]));
                self.until(dice, "closing alone", act, is_closing);
                thd("10")
            }
            Ending::Together => {
                self.begins("closing together");
                let act = || drop(self.try_to(closer, &["closechannel", "--cooperative", "--fallback"]));
                self.until(dice, "closing together", act, is_closing);
                thd("10")
            }
            Ending::Proposal => {
                self.begins("closing on a proposal");
                // An id is used once, over whatever channel.
                let last = format!("last-{channel}");
                self.with(1 - opener, |node| node.signal(Signal::STOP));
                let paid =
                    self.with(opener, |node| node.output(&["--timeout", "1", "pay", "2", "--id", &last]));
                assert_eq!(paid.status.code(), Some(6), "{}", text(&paid.stderr));
                self.injure(dice);
                self.try_to(opener, &["closechannel"]);
                // It may have died from outside.
                self.with(1 - opener, |node| node.is_running().then(|| node.signal(Signal::CONT)));
                self.mend();
                let act = || drop(self.try_to(opener, &["closechannel"]));
                self.until(dice, "closing on a proposal", act, is_closing);
                thd("8")
            }
            Ending::Cheat => {
                self.begins("cheating and challenge");
                let old = self.with(opener, |node| {
                    let old = write(node.data.path(), "old.json", &node.ok(&["receipts"]).to_string());
                    node.pay("5");
                    old
                });
                let act = || drop(self.try_to(opener, &["closechannel", "--receipt", &old, "--yes"]));
                self.until(dice, "cheating", act, is_closing);
                (0..2).for_each(|side| self.with(side, |node| node.wait_state(channel, "CLOSED")));
                Amount::ZERO
            }
        }
    }

    fn withdraw(&self, dice: &mut Dice, channel: Address) {
        let is_over = || (0..2).all(|side| self.state(side, channel) == "CLOSED");
        if is_over() {
            return;
        }
        self.begins("withdrawal");
        self.world.mine(24);
        let side = dice.below(2) as usize;
        let act = || drop(self.try_to(side, &["withdraw"]));
        self.until(dice, "withdrawn", act, is_over);
    }

    fn life(&self, seed: u64, ending: Option<Ending>) {
        let mut dice = Dice(seed);
        self.begins("opening");
        let opener = dice.below(2) as usize;
        let wallets = [0, 1].map(|side| self.with(side, |node| node.wallet()));
        self.world.give_thd(wallets[opener], "10");
        let purse = |side: usize| self.world.thd_of(wallets[side]);
        let before = [purse(0), purse(1)];
        let channel = self.open(&mut dice, opener);
        self.begins("payments");
        let confirmed = self.pay(&mut dice, seed);
        self.check_payments(channel, opener, &confirmed);
        let ending = ending.unwrap_or(ENDINGS[dice.below(4) as usize]);
        let share = self.close(&mut dice, opener, channel, ending);
        self.withdraw(&mut dice, channel);
        let gain = thd("10").checked_sub(share).unwrap();
        assert_eq!(purse(opener), before[opener].checked_sub(gain).unwrap());
        assert_eq!(purse(1 - opener), before[1 - opener].checked_add(gain).unwrap());
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn at_any_point_nothing_is_lost_and_nothing_happens_twice() {
    let (first, runs) = match number("THUNDER_SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("THUNDER_RUNS").unwrap_or(2)),
    };
    let pair = Pair::new();
    for seed in first..first + runs {
        eprintln!("THUNDER_SEED={seed} cargo test -p thunder-deploy --test e2e kill:: -- --nocapture");
        pair.life(seed, None);
    }
    let deaths = pair.deaths.load(Ordering::SeqCst);
    eprintln!("{runs} lives, {deaths} deaths");
    assert!(deaths > 0, "nobody was ever killed");
}

/// Both die where they first pass the point, again and again, in everything that a channel goes through.
#[test]
fn at_each_point_nothing_is_lost_and_nothing_happens_twice() {
    let pair = Pair::new();
    let is_all = std::env::var("THUNDER_KILL").is_ok_and(|what| what == "all");
    let mut life = 1000;
    for (number, (point, _)) in POINTS.into_iter().enumerate() {
        *pair.only.lock().unwrap() = Some(point);
        for (index, ending) in ENDINGS.into_iter().enumerate() {
            if is_all || number % ENDINGS.len() == index {
                eprintln!("life {life}: {point}, {ending:?}");
                pair.life(life, Some(ending));
                life += 1;
            }
        }
    }
    let hits = pair.hits.lock().unwrap();
    eprintln!("{} deaths: {hits:#?}", pair.deaths.load(Ordering::SeqCst));
    let sends = |point: &str| point.starts_with("send");
    let submits = |point: &str| point.starts_with("submit") || point.starts_with("broadcast");
    for (point, _) in POINTS {
        assert!(hits.contains(&("opening", point)), "nobody died at {point} in an opening");
        assert!(submits(point) || hits.contains(&("payments", point)), "nobody died at {point} in a payment");
        if !is_all {
            continue;
        }
        assert!(sends(point) || hits.contains(&("closing alone", point)), "{point} in a closing");
        assert!(hits.contains(&("closing together", point)), "{point} in a closing together");
        assert!(sends(point) || hits.contains(&("closing on a proposal", point)), "{point} on a proposal");
        assert!(sends(point) || hits.contains(&("cheating and challenge", point)), "{point} in a challenge");
        assert!(sends(point) || hits.contains(&("withdrawal", point)), "{point} in a withdrawal");
    }
}

#[test]
fn the_thunderd_that_ships_can_not_be_told_to_die() {
    let world = World::bare();
    let mut node = world.node();
    node.kill();
    node.run_failing(&thunder_deploy::beside("thunderd").unwrap());
    node.die_at("commit-before", 1);
    node.start();
    node.ok(&["importwallet", PHRASE]);
    world.mine(1);
    let head = world.head();
    wait_for("it has written a block", || node.infos()["chain"]["block"].as_u64() >= Some(head));
    assert!(node.is_running());
}

#[test]
fn an_old_copy_of_the_database_is_noticed_and_never_closed_on() {
    let world = World::new();
    let (mut alice, bob, channel) = world.channel();
    alice.pay("1");
    alice.kill();
    let files = ["thunder.db", "thunder.db-wal", "thunder.db-shm"];
    let old: Vec<_> = files.iter().map(|name| std::fs::read(alice.data.path().join(name)).ok()).collect();
    alice.start();
    alice.wait_connected(&bob);
    alice.wait_usable(channel);
    alice.pay("5");
    alice.kill();
    for (name, content) in files.iter().zip(old) {
        let path = alice.data.path().join(name);
        drop(std::fs::remove_file(&path));
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
    }
    // The chain stands still, so that what comes between can be looked at.
    world.rpc("evm_setAutomine", serde_json::json!([false]));
    alice.start();
    alice.wait_connected(&bob);
    wait_for("alice cries", || alice.has_logged("MONEY AT RISK: data was lost"));
    // In backup.rs the other side is away at first, and the node does nothing at all. Here it has helped
    // already: what is closed on is the FINAL, which can't be old, and nothing is paid any more.
    assert!(!alice.output(&["pay", "1"]).status.success());
    // The other side has shown the newest receipt and posts the FINAL on it: nobody has to do anything.
    world.rpc("evm_setAutomine", serde_json::json!([true]));
    world.mine(1);
    alice.wait_state(channel, "CLOSED");
    bob.wait_state(channel, "CLOSED");
    assert_eq!((alice.purse(), bob.purse()), (thd("94"), thd("106")), "the newest receipt counts");
}
