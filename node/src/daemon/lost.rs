//! What users are told of channels that have lost data (protocol rule 9).

use thunder_engine::shares;
use thunder_protocol::Channel;
use thunder_protocol::channel::{Closing, Lost, LostStep};

/// What can be done next with a channel that has lost data.
pub(super) fn next_step(lost: &Lost) -> String {
    let newest = shares(lost, &lost.newest());
    match lost.step() {
        LostStep::User if lost.is_synced() => format!(
            "data was lost, and the other side shows nothing newer than {newest}; receipts --import <file> takes \
             a newer one, closechannel --yes accepts these shares for good"
        ),
        LostStep::User => format!(
            "data was lost, and the newest known is {newest}: connect with the other side, which helps to close \
             on the newest; receipts --import <file> takes one that you have"
        ),
        LostStep::Sync => {
            format!("data was lost: connect with the other side, to close together on {newest}")
        }
        LostStep::Chain => format!("waiting for the chain, to close together on {newest}"),
        LostStep::Partner => {
            let signed = shares(lost, &lost.signed().unwrap_or_else(|| lost.newest()));
            format!("closing together on {signed}; waiting for the other side")
        }
        LostStep::Answer => {
            "data was lost, and a payment of yours was not answered: connect with the other side, \
                             which can answer or close; receipts --import <file> takes a newer receipt"
                .into()
        }
    }
}

/// Whether the partner closes on what this side, having lost data, can't know to be the newest.
pub(super) fn may_be_outdated(closing: &Closing) -> bool {
    let by_partner = closing.seen().is_some_and(|seen| seen.closer != closing.setup.role());
    closing.lost && by_partner && closing.challenge_evidence().is_none()
}

/// What `infos` warns of.
pub(super) fn warning(channel: &Channel) -> Option<&'static str> {
    match channel {
        Channel::Lost(lost) if lost.step() == LostStep::User && lost.is_synced() => Some(
            "this node has lost data, and the other side shows nothing newer: you have to decide; see what to \
             do below",
        ),
        Channel::Lost(_) => Some("this node has lost data; see what to do below"),
        Channel::Closing(closing) if may_be_outdated(closing) => Some(
            "the other side closes a channel of which this node has lost data; if you have a newer receipt, \
             import it in time",
        ),
        Channel::Opening(_)
        | Channel::Active(_)
        | Channel::Finishing(_)
        | Channel::Closing(_)
        | Channel::Closed(_) => None,
    }
}
