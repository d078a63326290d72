//! A batch of one input, applied to a channel as the engine does it: payments are proposed at the batch's end.

use thunder_protocol::channel::ChannelCommand;
use thunder_protocol::{Channel, Context, Effects, Input, Transition};

/// Applies an input, and after a payment the end of the batch.
pub fn apply(channel: Channel, input: Input, context: &Context<'_>) -> Transition {
    let pays = matches!(input, Input::Command(_, ChannelCommand::Pay { .. }));
    let Transition { channel, mut effects } = channel.apply(input, context);
    if !pays {
        return Transition { channel, effects };
    }
    let Transition { channel, effects: flushed } = channel.apply(Input::Flush, context);
    append(&mut effects, flushed);
    Transition { channel, effects }
}

/// Adds the effects of a later input to those of an earlier one, as one batch has both.
pub fn append(effects: &mut Effects, later: Effects) {
    let Effects { persist, submit, send, reply, notify, misbehaviour } = later;
    if let Some(writes) = persist {
        effects.persist.get_or_insert_default().extend(writes);
    }
    effects.submit.extend(submit);
    effects.send.extend(send);
    effects.reply.extend(reply);
    effects.notify.extend(notify);
    effects.misbehaviour = effects.misbehaviour.or(misbehaviour);
}
