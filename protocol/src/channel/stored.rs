//! A channel's record on disk: a flat map for each state, as release 0.0.1 wrote it.
//!
//! Its names stay as they are, whatever becomes of the types in memory; what is new is optional.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Amount;
use crate::onchain::{ChainView, ClosePlan};
use crate::wire::Final;

use super::Channel;
use super::active::Active;
use super::closed::Closed;
use super::closing::Closing;
use super::common::{CallWaiters, Common};
use super::cooperative_closing::CooperativeClosing;
use super::data_loss::DataLoss;
use super::input::Millis;
use super::opening::Opening;
use super::receipts::Receipts;
use super::terms::Setup;

/// What of a channel survives a crash; sessions, queues and whoever waits don't. Names and order of the
/// variants' fields are those on disk.
#[derive(Serialize, Deserialize)]
pub(super) enum Stored<'a> {
    Opening {
        setup: Cow<'a, Setup>,
        view: ChainView,
        lost: bool,
        deposit: Option<Amount>,
    },
    Active {
        setup: Cow<'a, Setup>,
        #[serde(rename = "books")]
        receipts: Cow<'a, Receipts>,
        view: ChainView,
        deposit: Option<Amount>,
    },
    #[serde(rename = "Finishing")]
    CooperativeClosing {
        setup: Cow<'a, Setup>,
        #[serde(rename = "books")]
        receipts: Cow<'a, Receipts>,
        view: ChainView,
        own: Cow<'a, Final>,
        theirs: Option<Cow<'a, Final>>,
        post_at: Option<u64>,
    },
    #[serde(rename = "Lost")]
    DataLoss {
        setup: Cow<'a, Setup>,
        #[serde(rename = "books")]
        receipts: Cow<'a, Receipts>,
        view: ChainView,
        own: Option<Cow<'a, Final>>,
        /// Records of earlier releases don't say; their receipt counts as the backup's, so that the user
        /// decides.
        #[serde(default)]
        is_newer: bool,
    },
    Closing {
        setup: Cow<'a, Setup>,
        #[serde(rename = "books")]
        receipts: Cow<'a, Receipts>,
        view: ChainView,
        plan: Option<ClosePlan>,
        lost: bool,
        recorded: bool,
    },
    Closed {
        setup: Cow<'a, Setup>,
        #[serde(rename = "books")]
        receipts: Option<Cow<'a, Receipts>>,
        view: ChainView,
        plan: Option<ClosePlan>,
        lost: bool,
        recorded: bool,
        /// Records of 0.0.1 do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen_at: Option<Millis>,
    },
}

impl<'a> From<&'a Channel> for Stored<'a> {
    fn from(channel: &'a Channel) -> Self {
        let Common { setup, receipts, view, may_be_stale: lost, waiting: _ } = channel.common();
        let (setup, receipts, view, lost) = (Cow::Borrowed(setup), Cow::Borrowed(receipts), *view, *lost);
        match channel {
            Channel::Opening(state) => Self::Opening { setup, view, lost, deposit: state.deposit },
            Channel::Active(state) => Self::Active { setup, receipts, view, deposit: state.deposit },
            Channel::CooperativeClosing(state) => {
                let (own, theirs) = (Cow::Borrowed(&state.own), state.theirs.as_ref().map(Cow::Borrowed));
                Self::CooperativeClosing { setup, receipts, view, own, theirs, post_at: state.post_at }
            }
            Channel::DataLoss(state) => {
                let own = state.own.as_ref().map(Cow::Borrowed);
                Self::DataLoss { setup, receipts, view, own, is_newer: state.is_newer }
            }
            Channel::Closing(state) => {
                let Closing { plan, recorded, .. } = **state;
                Self::Closing { setup, receipts, view, plan, lost, recorded }
            }
            Channel::Closed(state) => {
                let Closed { plan, recorded, has_receipts, seen_at, .. } = **state;
                let receipts = has_receipts.then_some(receipts);
                Self::Closed { setup, receipts, view, plan, lost, recorded, seen_at }
            }
        }
    }
}

impl From<Stored<'_>> for Channel {
    fn from(stored: Stored<'_>) -> Self {
        let common = |setup: Cow<'_, Setup>, receipts: Cow<'_, Receipts>, view, lost| {
            let (setup, receipts) = (setup.into_owned(), receipts.into_owned());
            Common { setup, receipts, view, may_be_stale: lost, waiting: CallWaiters::default() }
        };
        match stored {
            Stored::Opening { setup, view, lost, deposit } => {
                let common = Common { view, may_be_stale: lost, ..Common::new(setup.into_owned()) };
                Self::Opening(Box::new(Opening::new(common, deposit, false)))
            }
            Stored::Active { setup, receipts, view, deposit } => {
                Self::Active(Box::new(Active::new(common(setup, receipts, view, false), deposit)))
            }
            Stored::CooperativeClosing { setup, receipts, view, own, theirs, post_at } => {
                let (own, theirs) = (own.into_owned(), theirs.map(Cow::into_owned));
                let common = common(setup, receipts, view, false);
                Self::CooperativeClosing(Box::new(CooperativeClosing {
                    common,
                    own,
                    theirs,
                    post_at,
                    online: false,
                    repeat_at: None,
                }))
            }
            Stored::DataLoss { setup, receipts, view, own, is_newer } => {
                let mut lost = DataLoss::new(common(setup, receipts, view, true));
                (lost.own, lost.is_newer) = (own.map(Cow::into_owned), is_newer);
                Self::DataLoss(Box::new(lost))
            }
            Stored::Closing { setup, receipts, view, plan, lost, recorded } => {
                let mut closing = Closing::new(common(setup, receipts, view, lost), plan);
                closing.recorded = recorded;
                Self::Closing(Box::new(closing))
            }
            Stored::Closed { setup, receipts, view, plan, lost, recorded, seen_at } => {
                let has_receipts = receipts.is_some();
                let common = match receipts {
                    Some(receipts) => common(setup, receipts, view, lost),
                    None => Common { view, may_be_stale: lost, ..Common::new(setup.into_owned()) },
                };
                Self::Closed(Box::new(Closed { common, has_receipts, plan, recorded, seen_at }))
            }
        }
    }
}
