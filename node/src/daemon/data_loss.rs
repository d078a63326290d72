//! What users are told of channels that have lost data (protocol rule 9).

use thunder_protocol::Channel;
use thunder_protocol::channel::DataLossStep;

/// What `infos` warns of.
pub(super) fn warning(channel: &Channel) -> Option<&'static str> {
    match channel {
        Channel::DataLoss(lost) if lost.step() == DataLossStep::User && lost.is_synced() => Some(
            "this node has lost data, and the other side shows nothing newer: you have to decide; see what to \
             do below",
        ),
        Channel::DataLoss(_) => Some("this node has lost data; see what to do below"),
        Channel::Closing(closing) if closing.may_be_outdated() => Some(
            "the other side closes a channel of which this node has lost data; if you have a newer receipt, \
             import it in time",
        ),
        Channel::Opening(_)
        | Channel::Active(_)
        | Channel::CooperativeClosing(_)
        | Channel::Closing(_)
        | Channel::Closed(_) => None,
    }
}
