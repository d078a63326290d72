//! `watch`: events, as they come.

use std::pin::pin;
use std::time::Duration;

use tarpc::client::RpcError;
use thunder_api::ApiError;

use crate::client::{CallEffect, Node, within};
use crate::output::{Failure, Output, human};

/// The time limit of one call for events, after which the next one is made. The user's `--timeout` counts only if it is
/// longer.
const POLL: Duration = Duration::from_secs(120);

/// Prints events until Ctrl-C, or until nobody reads them.
pub(crate) async fn watch(node: &Node, output: &Output) -> Result<(), Failure> {
    output.note("watching; Ctrl-C ends it");
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let mut after = 0;
    loop {
        let context = within(node.timeout().max(POLL));
        let answer = tokio::select! {
            // Without a handler Ctrl-C ends the process as it always does.
            Ok(()) = &mut interrupt => return Ok(()),
            answer = node.calls.events(context, after) => answer,
        };
        let events = match answer {
            Ok(events) => events.map_err(Failure::Api)?,
            Err(RpcError::DeadlineExceeded) => continue,
            Err(error) => return Err(lost(node, &error).into()),
        };
        after = events.next;
        for event in &events.events {
            output
                .answer(event, human::event)
                .map_err(|cause| Failure::Write { cause, has_effect: false })?;
        }
    }
}

fn lost(node: &Node, error: &RpcError) -> ApiError {
    node.no_answer(error, CallEffect::Nothing)
}
