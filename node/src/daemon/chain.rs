//! `impl Daemon`: reports of the chain task, turned into events of the engine, lines of the log and measurements.

use thunder_api::EndpointInfo;
use thunder_chain::{CallOutcome, ChainError, EndpointStatus, GasFunds, Report};
use thunder_engine::{ChainEvent, Event, Notice};
use thunder_protocol::Address;

use super::Daemon;

/// What the chain task reports that concerns no channel's state.
#[derive(Default)]
pub(super) struct ChainStatus {
    /// How many calls are not mined.
    pub(super) unmined: usize,
    /// Calls that the endpoints don't take, and why.
    pub(super) refused: Vec<(Address, String)>,
    /// What the wallet has for gas, as far as is known.
    pub(super) funds: Option<GasFunds>,
}

impl Daemon {
    pub(super) fn on_report(&mut self, report: Report) {
        let event = match report {
            Report::Chain(chain) => ChainEvent::ChainSelected(chain),
            Report::Contracts(found) => {
                match &found {
                    Ok(()) => tracing::info!("THD and the channel factory are there"),
                    Err(error) => tracing::warn!(error, "THD or the channel factory can't be used"),
                }
                ChainEvent::Contracts(found)
            }
            Report::View { channel, view } => ChainEvent::View { channel, view },
            Report::Invalid { channel, why } => ChainEvent::Invalid { channel, why: why.to_string() },
            Report::Claim { channel, closing } => ChainEvent::Claim { channel, closing },
            Report::Unreadable { channel, why } => ChainEvent::Unreadable { channel, why },
            Report::Read { head } => ChainEvent::BlockRead { head },
            Report::Fresh { age, lasts, block_time } => ChainEvent::ReadTimes { age, lasts, block_time },
            Report::Reorganisation { first } => ChainEvent::Reorganisation { first },
            Report::Endpoints(endpoints) => {
                let endpoints: Vec<_> = endpoints.into_iter().map(endpoint_info).collect();
                self.log_endpoints(&endpoints);
                ChainEvent::Endpoints(endpoints)
            }
            Report::Outcome(outcome) => on_outcome(outcome),
            // The engine needs none of the others, but hears that the guard is alive.
            Report::ChainConfirmed(_) => ChainEvent::Heartbeat,
            Report::Taken { channel, kind, tx } => {
                tracing::info!(%channel, ?kind, %tx, "a transaction is on its way");
                ChainEvent::Heartbeat
            }
            Report::Late { channel, blocks, tried } => {
                tracing::error!(%channel, blocks, "MONEY AT RISK: the challenge is not mined; tried so far: {tried}");
                let message =
                    format!("the challenge is not mined after {blocks} blocks; tried so far: {tried}");
                self.engine.notice(Notice::Warning { message, channel: Some(channel) });
                ChainEvent::Heartbeat
            }
            Report::Note { channel, what } => {
                tracing::warn!(%channel, "a transaction of a channel: {what}");
                ChainEvent::Heartbeat
            }
            Report::Calls { unmined, refused } => {
                self.on_calls(unmined, refused);
                ChainEvent::Heartbeat
            }
            Report::Funds(funds) => {
                self.on_funds(funds);
                ChainEvent::Heartbeat
            }
        };
        self.handle(Event::Chain(event));
    }

    fn on_calls(&mut self, unmined: usize, refused: Vec<(Address, String)>) {
        for (channel, reason) in &refused {
            if !self.chain.refused.iter().any(|(other, _)| other == channel) {
                tracing::warn!(%channel, "the RPC endpoint does not take a transaction: {reason}");
            }
        }
        (self.chain.unmined, self.chain.refused) = (unmined, refused);
    }

    fn log_endpoints(&self, endpoints: &[EndpointInfo]) {
        for endpoint in endpoints {
            let mut known = self.engine.chain().endpoints.iter();
            let before = known.find(|before| before.rpc == endpoint.rpc);
            let (was_connected, old) =
                before.map_or((false, None), |before| (before.connected, before.trouble.as_ref()));
            let rpc = &endpoint.rpc;
            match &endpoint.trouble {
                Some(trouble) if old.is_none() => tracing::warn!(%rpc, "the RPC endpoint {trouble}"),
                _ if endpoint.connected && !was_connected => tracing::info!(%rpc, "the chain is reachable"),
                None if old.is_some() => tracing::info!(%rpc, "the RPC endpoint is well again"),
                _ => {}
            }
        }
    }
}

fn endpoint_info(status: EndpointStatus) -> EndpointInfo {
    let EndpointStatus { label, is_connected, block, trouble } = status;
    EndpointInfo { rpc: label, connected: is_connected, block, trouble }
}

fn on_outcome(outcome: CallOutcome) -> ChainEvent {
    match outcome {
        CallOutcome::Failed { channel, kind, error, is_retried } => {
            let error = ChainError::from(error);
            let why = format!("{error}{}", if is_retried { "; it is tried again" } else { "" });
            tracing::warn!(%channel, ?kind, "a transaction failed: {why}");
            ChainEvent::CallFailed { channel, kind, reason: error.into() }
        }
        CallOutcome::Mined { channel, kind, tx, block } => {
            tracing::info!(%channel, ?kind, %tx, block, "a transaction was mined");
            ChainEvent::Heartbeat
        }
    }
}
