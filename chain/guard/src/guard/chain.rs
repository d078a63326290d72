//! Which chain it is, its blocks, and which endpoints are up to date (guard rules G3, G6, G7, G8).

use std::collections::BTreeMap;

use thunder_protocol::B256;

use super::{Ancestor, EndpointWork, Guard, IdentityCheck, QuestionPurpose, Report};
use crate::block::{Continuity, Head};
use crate::endpoint::{Endpoint, Millis};
use crate::error::AskError;
use crate::question::EndpointAnswer;
use thunder_protocol::{ChainIdentity, Stake};

/// How long other endpoints may take to say which chain they show, after the first.
const CHOOSE_WITHIN: Millis = 2_000;
/// The wait before a question is asked again that was not answered.
const RETRY: Millis = 100;
/// How often an endpoint is asked again which chain it shows.
const CHECK_IDENTITY_EVERY: Millis = 60_000;
/// How often, and for how long, an endpoint has to show another chain than the one that is known before that is
/// believed. Of a local testnet, which people start anew, twice is enough.
const OTHER_CHAIN: (u32, Millis) = (8, 10_000);
/// How often it is asked meanwhile.
const OTHER_CHAIN_EVERY: Millis = 500;
/// How often block 0 has to be refused before the chain that is known goes without it.
const REFUSALS: u32 = 8;
/// How far a reorganisation is taken to reach if none of the blocks that were shown is left.
const FURTHER: u64 = 64;
/// How many blocks an endpoint may be behind the others.
pub(super) const MAX_LAG: u64 = 3;
/// For how many blocks what was read is good enough to sign on: a third of a challenge period.
const FRESH_BLOCKS: u64 = 8;
/// The shortest and the longest such time.
const FRESH: (Millis, Millis) = (3_000, 120_000);
/// How long a new block is not reported because views of channels are still to be reported.
const VIEWS_WITHIN: Millis = 1_500;
/// How long the first block that one endpoint has read is not reported because others that answer have not read any: for
/// some blocks, and at least for this time.
const ALL_READ_WITHIN: Millis = 10_000;
/// The longest that each of these blocks counts.
const LONGEST_AWAITED: Millis = 12_000;
/// How often it is reported how fresh the node's knowledge is.
const TELL_EVERY: Millis = 250;

impl IdentityCheck {
    /// Whether a chain that is not the known one was shown often enough to be believed.
    fn is_shown_for_long(&mut self, chain: ChainIdentity, known: Option<ChainIdentity>, now: Millis) -> bool {
        let (times, since) = match self.other {
            Some((other, times, since)) if other == chain => (times.saturating_add(1), since),
            _ => (1, now),
        };
        self.other = Some((chain, times, since));
        let is_local = known.iter().chain([&chain]).all(ChainIdentity::is_local);
        let (often, long) = if is_local || known.is_none() { (2, 0) } else { OTHER_CHAIN };
        times >= often && now >= since.saturating_add(long)
    }

    /// Both parts are asked for again at this time.
    fn wait_until(&mut self, due_at: Millis) {
        self.chain_id_timer.wait_until(due_at);
        self.genesis_timer.wait_until(due_at);
    }
}

impl Guard {
    // ---- identity -----------------------------------------------------------------------------

    pub(super) fn on_identity(
        &mut self,
        endpoint_index: usize,
        purpose: &QuestionPurpose,
        result: &Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let (Some(work), Some(endpoint)) =
            (self.work.get_mut(endpoint_index), self.endpoints.get_mut(endpoint_index))
        else {
            return;
        };
        let identity = &mut work.identity;
        let timer = if *purpose == QuestionPurpose::ChainId {
            &mut identity.chain_id_timer
        } else {
            &mut identity.genesis_timer
        };
        let retry = if work.is_identified { CHECK_IDENTITY_EVERY } else { RETRY };
        timer.answered(now.saturating_add(retry));
        match result {
            Ok(EndpointAnswer::Number(number)) => {
                identity.chain_id = u64::try_from(*number).ok().filter(|chain_id| *chain_id > 0);
            }
            Ok(EndpointAnswer::Block(Some(block))) => {
                (identity.genesis, identity.refusals) = (Some(block.hash), 0)
            }
            Ok(EndpointAnswer::Block(None)) | Err(AskError::Refused(_))
                if *purpose == QuestionPurpose::Genesis =>
            {
                identity.refusals = identity.refusals.saturating_add(1);
            }
            _ => {}
        }
        // Nodes that keep no old blocks may have lost block 0, too. The chain that is known is known by its id then.
        let known = endpoint.chain.or(self.settings.chain);
        if let Some(known) = known.filter(|known| identity.refusals >= REFUSALS && !known.is_local())
            && identity.chain_id == Some(known.chain_id)
        {
            identity.genesis.get_or_insert(known.genesis);
        }
        if !work.is_identified || result.is_ok() {
            endpoint.count_odd_answer(result);
        }
        let (Some(chain_id), Some(genesis)) = (identity.chain_id, identity.genesis) else { return };
        (identity.chain_id, identity.genesis) = (None, None);
        let chain = ChainIdentity { chain_id, genesis };
        let is_expected = [known, self.settings.chain, self.earlier].contains(&Some(chain));
        let is_believed = is_expected || identity.is_shown_for_long(chain, known, now);
        identity.wait_until(now.saturating_add(match (is_believed, known) {
            (true, _) => CHECK_IDENTITY_EVERY,
            (false, None) => 0,
            (false, Some(_)) => OTHER_CHAIN_EVERY,
        }));
        if is_expected {
            identity.other = None;
        }
        if is_believed && !(work.is_identified && endpoint.chain == Some(chain)) {
            self.on_identified(endpoint_index, chain, now);
        }
    }

    /// The endpoint shows this chain.
    fn on_identified(&mut self, endpoint_index: usize, chain: ChainIdentity, now: Millis) {
        let (Some(work), Some(endpoint)) =
            (self.work.get_mut(endpoint_index), self.endpoints.get_mut(endpoint_index))
        else {
            return;
        };
        let is_same = endpoint.chain == Some(chain);
        work.epoch += u64::from(!is_same);
        (work.is_identified, work.identity.other) = (true, None);
        let replaced = work.replaced.take().filter(|_| is_same);
        endpoint.set_chain(chain);
        endpoint.polls.hurry(now);
        self.identified_at.get_or_insert(now);
        if let Some(first) = replaced {
            self.on_reorganisation(endpoint_index, first);
        }
    }

    /// Blocks from this height on were taken back at this endpoint: what was seen there is seen anew.
    fn on_reorganisation(&mut self, endpoint_index: usize, first: u64) {
        self.report(Report::Reorganisation { first });
        if let Some(transactions) = &mut self.transactions {
            transactions.on_reorganisation(first);
        }
        if let Some(channels) = &mut self.channels {
            for channel in channels.values_mut() {
                channel.on_reorganisation(endpoint_index, first);
            }
        }
    }

    /// Decides which chain it is. It stays what it is as long as one endpoint shows it.
    pub(super) fn choose_chain(&mut self, now: Millis) {
        let shown: Vec<_> = self
            .endpoints
            .iter()
            .zip(&self.work)
            .filter(|(_, work)| work.is_identified)
            .filter_map(|(endpoint, _)| endpoint.chain)
            .collect();
        // One that was used before and does not answer now may come back, or be another by then. Of a local
        // testnet that was started anew nothing comes back.
        let is_local = shown.iter().chain(&self.chain).all(ChainIdentity::is_local);
        let is_missing = |(endpoint, work): (&Endpoint, &EndpointWork)| {
            !(work.is_identified || is_local && endpoint.is_silent(now))
        };
        let lacks = self.endpoints.iter().zip(&self.work).any(is_missing);
        if let Some(chain) = self.earlier.filter(|earlier| shown.contains(earlier)) {
            return self.use_chain(chain, None);
        }
        if self.earlier.is_some() && !lacks {
            self.earlier = None;
            self.confirm_chain();
        }
        let mut votes: BTreeMap<(u64, B256), usize> = BTreeMap::new();
        for chain in &shown {
            *votes.entry((chain.chain_id, chain.genesis)).or_default() += 1;
        }
        let is_waiting = shown.len() < self.endpoints.len()
            && self.identified_at.is_none_or(|at| now < at.saturating_add(CHOOSE_WITHIN));
        if shown.is_empty() || self.chain.is_some_and(|chain| shown.contains(&chain)) {
            return self.compare_chains();
        }
        if is_waiting || self.chain.is_some() && lacks {
            return self.compare_chains();
        }
        let before = self.settings.chain.filter(|chain| shown.contains(chain));
        let most = votes.values().max().copied();
        let common = shown.iter().find(|chain| votes.get(&(chain.chain_id, chain.genesis)).copied() == most);
        if let Some(chain) = before.or(common.copied()) {
            // Whoever has not answered yet may show the one that was used last.
            let earlier = self.settings.chain.filter(|earlier| *earlier != chain && lacks);
            self.use_chain(chain, earlier);
        }
    }

    fn use_chain(&mut self, chain: ChainIdentity, earlier: Option<ChainIdentity>) {
        (self.settings.chain, self.earlier) = (Some(chain), earlier);
        self.start_chain(chain);
        self.confirm_chain();
    }

    /// Has the chain in use noted on disk, once no endpoint can show the one that was used before.
    fn confirm_chain(&mut self) {
        if let Some(chain) = self.chain.filter(|_| self.earlier.is_none()) {
            self.report(Report::ChainConfirmed(chain));
        }
    }

    fn compare_chains(&mut self) {
        let Some(chain) = self.chain else { return };
        for (endpoint, work) in
            self.endpoints.iter_mut().zip(&self.work).filter(|(_, work)| work.is_identified)
        {
            let other = endpoint.chain.filter(|other| *other != chain);
            endpoint.other_chain = other.map(|other| other.chain_id).filter(|_| work.is_identified);
        }
    }

    fn start_chain(&mut self, chain: ChainIdentity) {
        self.chain = Some(chain);
        self.channels = None;
        self.transactions = None;
        (self.read_head, self.is_released, self.reported) = (None, false, super::LastReported::default());
        for set in [&mut self.urgent, &mut self.differing, &mut self.waiting] {
            set.clear();
        }
        self.searches.clear();
        self.verifying.clear();
        self.unreadable.clear();
        self.contracts = super::verify::ContractsCheck::default();
        for work in &mut self.work {
            work.epoch += 1;
            work.schedule.restart(Vec::new(), Vec::new(), 0);
            (work.read_head, work.closing_events, work.is_live) = (None, Default::default(), false);
        }
        self.compare_chains();
        self.report(Report::Chain(chain));
    }

    /// The endpoint may show another chain than before: nothing of it is used until that is known.
    fn identify_again(&mut self, endpoint_index: usize) {
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.epoch += 1;
            (work.is_identified, work.identity, work.ancestor) = (false, IdentityCheck::default(), None);
        }
    }

    // ---- blocks -------------------------------------------------------------------------------

    pub(super) fn on_newest(
        &mut self,
        endpoint_index: usize,
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(endpoint_index) else { return };
        let every = endpoint.poll_every();
        endpoint.count_odd_answer(&result);
        let Ok(EndpointAnswer::Block(Some(head))) = result else {
            endpoint.polls.answered(now.saturating_add(RETRY.min(every)));
            return;
        };
        endpoint.polls.answered(now.saturating_add(every));
        if self.work.get(endpoint_index).is_some_and(|work| !work.is_identified) {
            return;
        }
        if endpoint.is_far(&head, now) {
            endpoint.polls.hurry(now);
            return;
        }
        let is_new = endpoint.head.map(|head| head.hash) != Some(head.hash);
        match endpoint.take_head(head, now) {
            Continuity::Stale => {}
            Continuity::Follows if is_new => self.on_head(endpoint_index, &head, now),
            Continuity::Follows => self.on_same_head(endpoint_index, &head, now),
            Continuity::Unknown { newest } => {
                if let Some(work) = self.work.get_mut(endpoint_index) {
                    work.ancestor = Some(Ancestor::new(newest));
                }
                self.on_head(endpoint_index, &head, now);
            }
            Continuity::Replaced { first } => self.on_replaced(endpoint_index, first),
        }
    }

    /// A block that was shown before is compared with what the endpoint shows now.
    pub(super) fn on_ancestor(
        &mut self,
        endpoint_index: usize,
        number: u64,
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let (Some(work), Some(endpoint)) =
            (self.work.get_mut(endpoint_index), self.endpoints.get_mut(endpoint_index))
        else {
            return;
        };
        let Some(ancestor) = work.ancestor.as_mut().filter(|ancestor| ancestor.number == number) else {
            return;
        };
        ancestor.timer.answered(now.saturating_add(if result.is_ok() { 0 } else { RETRY }));
        let Ok(EndpointAnswer::Block(shown)) = result else { return };
        let shown = shown.map(|head| head.hash);
        let expected = endpoint.shown.at(number);
        if expected.is_none() || shown == expected {
            work.ancestor = None;
            return;
        }
        if ancestor.other.replace(shown) != Some(shown) {
            return;
        }
        let below = endpoint.shown.replace(number);
        self.on_replaced(
            endpoint_index,
            if below.is_some() { number } else { number.saturating_sub(FURTHER) },
        );
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.ancestor = below.map(Ancestor::new);
        }
    }

    /// Blocks were taken back, or it is another chain.
    fn on_replaced(&mut self, endpoint_index: usize, first: u64) {
        self.identify_again(endpoint_index);
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.replaced = Some(work.replaced.map_or(first, |before| before.min(first)));
            work.read_head = None;
        }
        self.restart_schedule(endpoint_index);
    }

    /// The endpoint has a new block, and it is known that it goes on from those before.
    fn on_head(&mut self, endpoint_index: usize, head: &Head, now: Millis) {
        self.fill_schedule(endpoint_index, head.number, now);
        if !self.is_usable(endpoint_index) {
            return;
        }
        let around = self.conditions(now);
        if let Some(transactions) = &mut self.transactions {
            transactions.on_head(endpoint_index, &around);
        }
        if let Some(work) = self.work.get_mut(endpoint_index) {
            work.balance.hurry(now);
        }
        self.reconcile_divided(now);
    }

    fn on_same_head(&mut self, endpoint_index: usize, head: &Head, now: Millis) {
        let filled =
            self.work.get(endpoint_index).is_some_and(|work| work.schedule.is_filled_for(head.number));
        if !filled {
            return self.on_head(endpoint_index, head, now);
        }
        let stands_still = self
            .endpoints
            .get(endpoint_index)
            .is_some_and(|endpoint| now > endpoint.advanced_at.saturating_add(2 * endpoint.block_time()));
        self.confirm_round(endpoint_index, head.number, stands_still, now);
    }

    pub(super) fn on_older_block(
        &mut self,
        endpoint_index: usize,
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let (Some(work), Some(endpoint)) =
            (self.work.get_mut(endpoint_index), self.endpoints.get_mut(endpoint_index))
        else {
            return;
        };
        work.older.answered(now.saturating_add(60_000));
        if let Ok(EndpointAnswer::Block(Some(block))) = result {
            endpoint.pace.observe(block.number, block.timestamp);
        }
    }

    // ---- health -------------------------------------------------------------------------------

    /// For how long what was read is good enough to sign on (rule G8).
    pub(super) fn fresh_for(&self) -> Millis {
        self.fresh_with(self.block_time())
    }

    /// The same where blocks come so far apart.
    fn fresh_with(&self, block_time: Millis) -> Millis {
        match self.chain {
            Some(chain) if chain.is_local() => FRESH.1,
            _ => block_time.saturating_mul(FRESH_BLOCKS).clamp(FRESH.0, FRESH.1),
        }
    }

    /// Which endpoints are up to date: those on the right chain that have read everything lately and are
    /// not behind the others.
    pub(super) fn judge_liveness(&mut self, now: Millis) {
        let fresh_for = self.fresh_for();
        let heads: Vec<_> =
            (0..self.endpoints.len()).map(|endpoint_index| self.head_of(endpoint_index)).collect();
        let mut numbers: Vec<_> = heads.iter().flatten().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        // Of three or more the one in the middle: one alone does not make the others late.
        let highest = numbers.get(numbers.len() / 2).copied().unwrap_or(0);
        let mut changed = false;
        for endpoint_index in 0..self.endpoints.len() {
            let is_usable = self.is_usable(endpoint_index);
            if let Some(transactions) = &mut self.transactions {
                transactions.set_usable(endpoint_index, is_usable);
            }
            let pace = self.endpoints.get(endpoint_index).map_or(0, |endpoint| endpoint.block_time());
            let stands_still = pace.saturating_mul(MAX_LAG).max(2_000);
            // By the time between its own blocks, too: one that says that they come faster makes no other late.
            let reads_within = fresh_for.max(self.fresh_with(pace));
            let is_late = heads.get(endpoint_index).copied().flatten().is_none_or(|(number, advanced)| {
                number.saturating_add(MAX_LAG) < highest && now > advanced.saturating_add(stands_still)
            });
            let reads_late = self.endpoints.len() > 1 && self.reads_late(endpoint_index);
            let Some(work) = self.work.get_mut(endpoint_index) else { continue };
            let is_read = work.schedule.read_at().is_some_and(|at| now <= at.saturating_add(reads_within));
            let is_live = is_usable && is_read && !is_late;
            changed |= work.is_live != is_live;
            work.is_live = is_live;
            if let Some(endpoint) = self.endpoints.get_mut(endpoint_index) {
                endpoint.is_late = is_usable && (is_late || reads_late) && endpoint.head.is_some();
            }
        }
        if changed && self.endpoints.len() > 1 {
            self.reconcile_all(now);
        }
        self.tell_read_head(now);
    }

    /// Whether an endpoint had a new block lately, by the time between its own.
    pub(super) fn is_moving(&self, endpoint_index: usize, now: Millis) -> bool {
        let pace = self.endpoints.get(endpoint_index).map_or(0, |endpoint| endpoint.block_time());
        let lasts = self.fresh_with(pace);
        self.head_of(endpoint_index).is_some_and(|(_, advanced)| now <= advanced.saturating_add(lasts))
    }

    fn head_of(&self, endpoint_index: usize) -> Option<(u64, Millis)> {
        let endpoint = self.endpoints.get(endpoint_index).filter(|_| self.is_usable(endpoint_index))?;
        Some((endpoint.head?.number, endpoint.advanced_at))
    }

    /// Whether what is due at an endpoint's blocks is read there some blocks later only, or never: it may keep a question
    /// hanging for that.
    fn reads_late(&self, endpoint_index: usize) -> bool {
        let head = self.endpoints.get(endpoint_index).and_then(|endpoint| endpoint.head);
        let read = self.work.get(endpoint_index).and_then(|work| work.read_head);
        head.zip(read).is_some_and(|(head, read)| read.saturating_add(MAX_LAG) < head.number)
    }

    /// The block that everything is read at: of the endpoints that are up to date the lowest. Views that
    /// wait for something have some time to be reported first. One at which reading does not get to its own blocks keeps
    /// the others from nothing.
    fn tell_read_head(&mut self, now: Millis) {
        let is_alone = self.endpoints.len() == 1;
        let lowest = |reads_in_time: bool| {
            let live = self.work.iter().zip(0..).filter(|(work, _)| work.is_live || is_alone);
            let counted =
                live.filter(|(_, endpoint_index)| !(reads_in_time && self.reads_late(*endpoint_index)));
            counted.filter_map(|(work, _)| work.read_head).min()
        };
        let Some(head) = lowest(true).or_else(|| lowest(false)) else { return };
        if self.channels.is_none() || self.read_head == Some(head) {
            return;
        }
        let is_reported = self.waiting.is_empty() && self.verifying.is_empty();
        let since = *self.read_since.get_or_insert(now);
        if self.read_head.is_none()
            && (0..self.work.len()).any(|endpoint_index| self.is_awaited(endpoint_index, since, now))
        {
            return;
        }
        if is_reported || now >= since.saturating_add(VIEWS_WITHIN) {
            (self.read_head, self.read_since) = (Some(head), None);
            self.report(Report::Read { head });
        }
    }

    /// Whether an endpoint may still read everything for the first time, and contradict those that have. An end is
    /// not read before the next block.
    fn is_awaited(&self, endpoint_index: usize, since: Millis, now: Millis) -> bool {
        let (Some(endpoint), Some(work)) =
            (self.endpoints.get(endpoint_index), self.work.get(endpoint_index))
        else {
            return false;
        };
        let is_elsewhere = work.is_identified && endpoint.chain != self.chain;
        // Not by the time that one endpoint alone says: a challenge may depend on it.
        let pace = self.block_time().min(LONGEST_AWAITED);
        let within = pace.saturating_mul(MAX_LAG).max(ALL_READ_WITHIN);
        let has_time = now < since.saturating_add(within);
        work.read_head.is_none() && has_time && !is_elsewhere && endpoint.is_of_use(now)
    }

    /// Tells the node how fresh its knowledge is, and how the endpoints are, when that changes.
    pub(super) fn report_health(&mut self, now: Millis) {
        let newest = self.work.iter().zip(0..).filter(|(_, endpoint_index)| self.is_usable(*endpoint_index));
        let age =
            newest.filter_map(|(work, _)| work.schedule.read_at()).max().map(|at| now.saturating_sub(at));
        let lasts = self.fresh_for();
        let stale = age.is_none_or(|age| age > lasts);
        let was_stale = self.reported.fresh.is_none_or(|(age, lasts, _)| age.is_none_or(|age| age > lasts));
        let is_due = now >= self.reported.fresh_at.saturating_add(TELL_EVERY);
        if self.channels.is_some() && (is_due || stale != was_stale) {
            let fresh = (age, lasts, self.measured_block_time());
            (self.reported.fresh, self.reported.fresh_at) = (Some(fresh), now);
            self.report(Report::Fresh { age, lasts, block_time: fresh.2 });
        }
        let statuses =
            self.endpoints.iter().zip(0..).map(|(endpoint, endpoint_index)| super::EndpointStatus {
                label: endpoint.label.clone(),
                is_connected: self.is_usable(endpoint_index) && !endpoint.is_silent(now),
                block: endpoint.head.map(|head| head.number),
                trouble: endpoint.trouble(now),
            });
        let statuses: Vec<_> = statuses.collect();
        if statuses != self.reported.endpoints {
            self.reported.endpoints.clone_from(&statuses);
            self.report(Report::Endpoints(statuses));
        }
    }

    /// How much of a rotation a channel of this stake belongs into.
    pub(super) fn is_in_rotation(&self, channel: &thunder_protocol::Address, stake: Stake) -> bool {
        let channels = self.channels.as_ref();
        channels.and_then(|channels| channels.get(channel)).is_some_and(|channel| channel.stake == stake)
    }
}
