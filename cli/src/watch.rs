//! `watch`: events, as they come.

use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tarpc::client::RpcError;
use thunder_api::{ApiError, Events};

use crate::client::{CallEffect, Node, within};
use crate::output::{Failure, Output, human};

/// The time limit of one call for events, after which the next one is made. The user's `--timeout` counts only if it is
/// longer.
const POLL: Duration = Duration::from_secs(120);

/// The first line for a program.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Start {
    /// The events after this number come.
    Ready {
        /// The number.
        seq: u64,
    },
}

/// Prints events until Ctrl-C, or until nobody reads them: those after the number `after`, or those that come.
pub(crate) async fn watch(node: &Node, output: &Output, after: Option<u64>) -> Result<(), Failure> {
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    // The newest number is asked for first, so that nothing is missed that comes meanwhile.
    let mut next = None;
    loop {
        let context = within(node.timeout().max(POLL));
        let answer = tokio::select! {
            // Without a handler Ctrl-C ends the process as it always does.
            Ok(()) = &mut interrupt => return Ok(()),
            answer = node.calls.events(context, next) => answer,
        };
        let Events { next: newest, events } = match answer {
            Ok(events) => events.map_err(Failure::Api)?,
            Err(RpcError::DeadlineExceeded) => continue,
            Err(error) => return Err(lost(node, &error).into()),
        };
        if next.is_none() {
            output.note("watching; Ctrl-C ends it");
            let seq = after.unwrap_or(newest);
            output.answer(&Start::Ready { seq }, |_| String::new()).map_err(unwritten)?;
            next = Some(seq);
            continue;
        }
        next = Some(newest);
        for event in &events {
            output.answer(event, human::event).map_err(unwritten)?;
        }
    }
}

const fn unwritten(cause: std::io::Error) -> Failure {
    Failure::Write { cause, has_effect: false }
}

fn lost(node: &Node, error: &RpcError) -> ApiError {
    node.no_answer(error, CallEffect::Nothing)
}
