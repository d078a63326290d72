//! A channel's record on disk: a flat map for each state, as release 0.0.1 wrote it. It stays as it is,
//! byte for byte, whatever becomes of the types in memory.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Amount;
use crate::onchain::{ChainView, ClosePlan};
use crate::wire::Final;

use super::Channel;
use super::active::Active;
use super::books::Books;
use super::closed::Closed;
use super::closing::Closing;
use super::common::{Common, WaitList};
use super::finishing::Finishing;
use super::lost::Lost;
use super::opening::Opening;
use super::setup::Setup;

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
        books: Cow<'a, Books>,
        view: ChainView,
        deposit: Option<Amount>,
    },
    Finishing {
        setup: Cow<'a, Setup>,
        books: Cow<'a, Books>,
        view: ChainView,
        own: Cow<'a, Final>,
        theirs: Option<Cow<'a, Final>>,
        post_at: Option<u64>,
    },
    Lost {
        setup: Cow<'a, Setup>,
        books: Cow<'a, Books>,
        view: ChainView,
        own: Option<Cow<'a, Final>>,
        /// Records of earlier releases don't say; their receipt counts as the backup's, so that the user
        /// decides.
        #[serde(default)]
        is_newer: bool,
    },
    Closing {
        setup: Cow<'a, Setup>,
        books: Cow<'a, Books>,
        view: ChainView,
        plan: Option<ClosePlan>,
        lost: bool,
        recorded: bool,
    },
    Closed {
        setup: Cow<'a, Setup>,
        books: Option<Cow<'a, Books>>,
        view: ChainView,
        plan: Option<ClosePlan>,
        lost: bool,
        recorded: bool,
    },
}

impl<'a> From<&'a Channel> for Stored<'a> {
    fn from(channel: &'a Channel) -> Self {
        let Common { setup, books, view, lost, waiting: _ } = channel.common();
        let (setup, books, view, lost) = (Cow::Borrowed(setup), Cow::Borrowed(books), *view, *lost);
        match channel {
            Channel::Opening(state) => Self::Opening { setup, view, lost, deposit: state.deposit },
            Channel::Active(state) => Self::Active { setup, books, view, deposit: state.deposit },
            Channel::Finishing(state) => {
                let (own, theirs) = (Cow::Borrowed(&state.own), state.theirs.as_ref().map(Cow::Borrowed));
                Self::Finishing { setup, books, view, own, theirs, post_at: state.post_at }
            }
            Channel::Lost(state) => {
                let own = state.own.as_ref().map(Cow::Borrowed);
                Self::Lost { setup, books, view, own, is_newer: state.is_newer }
            }
            Channel::Closing(state) => {
                let Closing { plan, recorded, .. } = **state;
                Self::Closing { setup, books, view, plan, lost, recorded }
            }
            Channel::Closed(state) => {
                let Closed { plan, recorded, has_receipts, .. } = **state;
                Self::Closed { setup, books: has_receipts.then_some(books), view, plan, lost, recorded }
            }
        }
    }
}

impl From<Stored<'_>> for Channel {
    fn from(stored: Stored<'_>) -> Self {
        let common = |setup: Cow<'_, Setup>, books: Cow<'_, Books>, view, lost| {
            let (setup, books) = (setup.into_owned(), books.into_owned());
            Common { setup, books, view, lost, waiting: WaitList::default() }
        };
        match stored {
            Stored::Opening { setup, view, lost, deposit } => {
                let common = Common { view, lost, ..Common::new(setup.into_owned()) };
                Self::Opening(Box::new(Opening::new(common, deposit, false)))
            }
            Stored::Active { setup, books, view, deposit } => {
                Self::Active(Box::new(Active::new(common(setup, books, view, false), deposit)))
            }
            Stored::Finishing { setup, books, view, own, theirs, post_at } => {
                let (own, theirs) = (own.into_owned(), theirs.map(Cow::into_owned));
                let common = common(setup, books, view, false);
                Self::Finishing(Box::new(Finishing {
                    common,
                    own,
                    theirs,
                    post_at,
                    online: false,
                    repeat_at: None,
                }))
            }
            Stored::Lost { setup, books, view, own, is_newer } => {
                let mut lost = Lost::new(common(setup, books, view, true));
                (lost.own, lost.is_newer) = (own.map(Cow::into_owned), is_newer);
                Self::Lost(Box::new(lost))
            }
            Stored::Closing { setup, books, view, plan, lost, recorded } => {
                let mut closing = Closing::new(common(setup, books, view, lost), plan);
                closing.recorded = recorded;
                Self::Closing(Box::new(closing))
            }
            Stored::Closed { setup, books, view, plan, lost, recorded } => {
                let has_receipts = books.is_some();
                let common = match books {
                    Some(books) => common(setup, books, view, lost),
                    None => Common { view, lost, ..Common::new(setup.into_owned()) },
                };
                Self::Closed(Box::new(Closed { common, has_receipts, plan, recorded }))
            }
        }
    }
}
