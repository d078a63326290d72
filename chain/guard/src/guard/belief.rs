//! What is believed of each channel, and what is reported of it to the node.

use thunder_protocol::Address;
use thunder_protocol::onchain::{ChainClosing, ChainView, OnChain};

use super::chain::MAX_LAG;
use super::{Guard, Report};
use crate::endpoint::Millis;
use crate::reconcile::{Reading, Verdict, reconcile};
use crate::state::StorageState;
use crate::transactions::brings_about;
use crate::watch::WatchedChannel;

/// After how many blocks a contradiction is said to last.
const LASTS: u64 = 3;
/// Within how many blocks endpoints that are behind have to catch up before nothing more is signed.
const BEHIND_WITHIN: u64 = 2;
/// How long a view waits for the event that explains it, or for the hash of the own transaction.
/// A closing of the partner's does not wait.
const EXPLAIN_WITHIN: Millis = 5_000;

impl Guard {
    /// Decides what is believed of a channel, out of what the endpoints that are up to date show.
    pub(super) fn reconcile(&mut self, address: Address, now: Millis) {
        let is_alone = self.endpoints.len() == 1;
        let live: Vec<_> = self.work.iter().map(|work| work.is_live || is_alone).collect();
        let moving: Vec<_> =
            (0..self.endpoints.len()).map(|endpoint_index| self.is_moving(endpoint_index, now)).collect();
        let head = self.newest_head();
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return;
        };
        let shown = channel.readings.iter().zip(&live).filter(|(_, live)| **live);
        let mut readings: Vec<_> = shown.filter_map(|(reading, _)| *reading).collect();
        // Nobody shows a later state only because of being late.
        if let Some(latest) = readings.iter().map(|reading| reading.state.stage()).max() {
            let others = channel.readings.iter().zip(live.iter().zip(&moving));
            let others = others.filter(|(_, (is_live, is_moving))| !**is_live && **is_moving);
            let ahead = others.filter_map(|(reading, _)| *reading);
            readings.extend(ahead.filter(|reading| reading.state.stage() > latest));
        }
        let lasts = channel.contradicted.is_some_and(|since| head >= since.saturating_add(LASTS));
        // Those that are behind catch up within a block or two.
        let is_late =
            channel.differing_since.is_some_and(|since| head >= since.saturating_add(BEHIND_WITHIN));
        let verdict = reconcile(&readings, is_late, lasts);
        let is_differing = matches!(verdict, Verdict::Behind | Verdict::Contradiction { .. });
        if is_differing {
            self.differing.insert(address);
        } else {
            self.differing.remove(&address);
        }
        let since = *channel.differing_since.get_or_insert(head);
        channel.differing_since = is_differing.then_some(since);
        let is_contradiction = matches!(verdict, Verdict::Contradiction { .. });
        let was_contradiction = channel.contradicted.is_some();
        channel.contradicted = is_contradiction.then(|| channel.contradicted.unwrap_or(head));
        let believed = match verdict {
            Verdict::Agreed(reading) => Some(reading),
            Verdict::Contradiction { believed } => believed,
            Verdict::Unread | Verdict::Behind => None,
        };
        if is_contradiction != was_contradiction {
            let why = self.doubt(address);
            self.report(Report::Unreadable { channel: address, why });
        }
        if let Some(reading) = believed {
            self.believe(address, &reading, is_contradiction, now);
        }
        self.report_claims(address, now);
    }

    fn believe(&mut self, address: Address, reading: &Reading, is_contested: bool, now: Millis) {
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return;
        };
        channel.believe(reading);
        if let Some(transactions) = &mut self.transactions {
            transactions.on_state(address, &reading.state, reading.block, is_contested);
        }
        self.report_view(address, now);
    }

    /// Closings of the partner's that one endpoint shows are reported at once, whatever others show.
    fn report_claims(&mut self, address: Address, now: Millis) {
        let channel = self.channels.as_ref().and_then(|channels| channels.get(&address));
        let differing = self.differing.contains(&address) || self.endpoints.len() > 1;
        let claims = channel.filter(|_| differing).map(WatchedChannel::claims).unwrap_or_default();
        // An endpoint that was not asked for long, or stands still, claims nothing.
        let lowest = self.lowest_head();
        for (closing, shown_at) in claims {
            let head = self.lowest_head_with(address, &closing, now).map_or(lowest, |own| own.min(lowest));
            if closing.withdrawable_at() <= head {
                continue;
            }
            self.differing.insert(address);
            if let Some(transactions) = &mut self.transactions {
                transactions.on_claim(address, closing.block, shown_at.min(head.saturating_add(MAX_LAG)));
            }
            self.report(Report::Claim { channel: address, closing });
        }
    }

    /// The lowest of the newest blocks of the endpoints that show this closing and go on, up to date or not.
    fn lowest_head_with(&self, address: Address, closing: &ChainClosing, now: Millis) -> Option<u64> {
        let channel = self.channels.as_ref()?.get(&address)?;
        let shown = channel
            .readings
            .iter()
            .zip(0..)
            .filter_map(|(reading, endpoint_index)| Some((reading.as_ref()?, endpoint_index)));
        let showing = shown.filter(|(reading, endpoint_index)| {
            reading.state.is_shown_by(&OnChain::Closing(*closing)) && self.is_moving(*endpoint_index, now)
        });
        showing.filter_map(|(_, endpoint_index)| Some(self.endpoints.get(endpoint_index)?.head?.number)).min()
    }

    /// The lowest of the newest blocks that the endpoints show that are up to date, or else of those on the
    /// chain: no time is over because one of them says so.
    fn lowest_head(&self) -> u64 {
        let heads = |is_used: &dyn Fn(usize) -> bool| {
            let used = (0..self.endpoints.len())
                .filter(|endpoint_index| self.is_usable(*endpoint_index) && is_used(*endpoint_index));
            used.filter_map(|endpoint_index| self.endpoints.get(endpoint_index)?.head)
                .map(|head| head.number)
                .min()
        };
        let live = heads(&|endpoint_index| self.work.get(endpoint_index).is_some_and(|work| work.is_live));
        live.or_else(|| heads(&|_| true)).unwrap_or(0)
    }

    /// The highest block that an endpoint on the chain shows.
    fn newest_head(&self) -> u64 {
        let usable = (0..self.endpoints.len()).filter(|endpoint_index| self.is_usable(*endpoint_index));
        let heads = usable
            .filter_map(|endpoint_index| self.endpoints.get(endpoint_index)?.head)
            .map(|head| head.number);
        heads.max().unwrap_or(0)
    }

    /// Tells the node how the chain has a channel, if that is news.
    fn report_view(&mut self, address: Address, now: Millis) {
        if self.waits_for_verification(address, now) {
            return;
        }
        let Some(channel) = self.channels.as_ref().and_then(|channels| channels.get(&address)) else {
            return;
        };
        let (view, is_explained) = self.view_of(address, channel);
        let is_news = channel.reported != Some(view.status) || channel.reported_since != view.newest;
        let is_cheat = matches!(view.status, OnChain::Closing(closing) if closing.closer != channel.role);
        let wants_event = channel.wants_event();
        if wants_event {
            self.search(address);
        }
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return;
        };
        if !is_news {
            channel.unexplained_since = None;
            self.waiting.remove(&address);
            return;
        }
        let since = *channel.unexplained_since.get_or_insert(now);
        let is_waited_for = !is_explained && now < since.saturating_add(EXPLAIN_WITHIN);
        if is_waited_for && !is_cheat {
            self.waiting.insert(address);
            return;
        }
        (channel.reported, channel.reported_since) = (Some(view.status), view.newest);
        channel.unexplained_since = None;
        self.waiting.remove(&address);
        self.report(Report::View { channel: address, view });
    }

    /// The view of a channel, and whether there is nothing more to be learnt about it.
    fn view_of(&self, address: Address, channel: &WatchedChannel) -> (ChainView, bool) {
        let mut view = channel.view(self.lowest_head());
        let by_search = !channel.wants_event() || self.has_given_up_search(address, channel);
        let Some(newest) = view.newest.as_mut().filter(|newest| newest.tx.is_none()) else {
            return (view, by_search);
        };
        let own = self
            .transactions
            .as_ref()
            .and_then(|transactions| transactions.own_tx(address, brings_about(&view.status)));
        let is_own = match view.status {
            OnChain::Closing(closing) => closing.closer == channel.role,
            // Whoever ended it: only a receipt tells that it was this side.
            OnChain::Closed { .. } => own.is_some_and(|own| own.is_mined),
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } => true,
        };
        newest.tx = own.filter(|_| is_own).map(|own| own.hash);
        let is_certain = own.is_none_or(|own| own.is_certain || !is_own);
        (view, by_search && is_certain)
    }

    /// Views that have waited for something are reported in time, with what there is.
    pub(super) fn report_waiting(&mut self, now: Millis) {
        for address in self.waiting.iter().copied().collect::<Vec<_>>() {
            self.report_view(address, now);
        }
        for address in self.verifying.keys().copied().collect::<Vec<_>>() {
            self.report_view(address, now);
        }
    }

    /// More is known of a channel.
    pub(super) fn on_explanation(&mut self, address: Address, now: Millis) {
        self.report_view(address, now);
    }

    /// Channels that endpoints show differently are judged again with each block.
    pub(super) fn reconcile_divided(&mut self, now: Millis) {
        for address in self.differing.iter().copied().collect::<Vec<_>>() {
            self.reconcile(address, now);
        }
        self.count_contradictions();
    }

    /// Which endpoints are up to date has changed.
    pub(super) fn reconcile_all(&mut self, now: Millis) {
        let Some(channels) = &self.channels else { return };
        let mut all: Vec<_> = channels.keys().copied().collect();
        all.sort_unstable();
        for address in all {
            self.reconcile(address, now);
        }
        self.count_contradictions();
    }

    /// How many channels each endpoint shows otherwise than most of them do. Where there is no majority, all do.
    fn count_contradictions(&mut self) {
        let mut counts = vec![0; self.endpoints.len()];
        for address in &self.differing {
            let channel = self.channels.as_ref().and_then(|channels| channels.get(address));
            let Some(channel) = channel.filter(|channel| channel.contradicted.is_some()) else { continue };
            let shown: Vec<_> = channel.readings.iter().map(|reading| reading.map(|it| it.state)).collect();
            let votes = |state: &StorageState| shown.iter().flatten().filter(|other| *other == state).count();
            let voters = shown.iter().flatten().count();
            for (count, state) in counts.iter_mut().zip(&shown) {
                *count += usize::from(state.is_some_and(|state| 2 * votes(&state) <= voters));
            }
        }
        for (endpoint, count) in self.endpoints.iter_mut().zip(counts) {
            endpoint.contradicts = count;
        }
    }
}
