//! One call of thunderd: how long to wait for it, and what it means if no answer comes.

use std::future::Future;
use std::time::{Duration, Instant};

use tarpc::client::RpcError;
use tarpc::context::{self, Context};
use thunder_api::{ApiError, Code, ExitCode, ThunderClient, local};
use thunder_protocol::PaymentId;

use crate::args::Global;
use crate::progress;

/// What a call may have done if its answer is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stake<'a> {
    /// It only reads.
    Nothing,
    /// It changes something that `infos` shows.
    State,
    /// It pays.
    Payment(&'a PaymentId),
}

/// A connection to thunderd.
pub(crate) struct Node {
    /// The calls; each wants a [`Node::context`].
    pub(crate) calls: ThunderClient,
    port: u16,
    timeout: Duration,
    shows_progress: bool,
}

impl Node {
    /// Connects to the node on the port that the user named.
    pub(crate) async fn connect(global: &Global) -> Result<Self, ApiError> {
        let calls = local::connect(global.port).await?;
        Ok(Self { calls, port: global.port, timeout: global.timeout, shows_progress: !global.json })
    }

    /// How long the user is willing to wait.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The context of a call that starts now. tarpc's own deadline would be ten seconds.
    pub(crate) fn context(&self) -> Context {
        within(self.timeout)
    }

    /// Waits for a call's answer, and shows `doing` if that takes a while.
    pub(crate) async fn ask<T>(
        &self,
        doing: &str,
        stake: Stake<'_>,
        call: impl Future<Output = Result<Result<T, ApiError>, RpcError>>,
    ) -> Result<T, ApiError> {
        let answer = tokio::select! {
            // Ctrl-C is listened for before anything is sent.
            biased;
            // A call that only reads ends with the process: nothing has to be said about its outcome.
            Ok(()) = tokio::signal::ctrl_c(), if !matches!(stake, Stake::Nothing) => None,
            answer = progress::show(doing, self.shows_progress, call) => Some(answer),
        };
        let answer = match answer {
            Some(answer) => return self.outcome(answer, stake),
            None => ApiError::new(
                Code::Timeout,
                "interrupted; thunderd goes on, and the outcome is unknown",
                "look at `thunder-cli infos` before you repeat it",
            ),
        };
        Err(name_payment(answer, stake))
    }

    /// Waits for a call's answer, and leaves Ctrl-C and what is shown to the caller.
    pub(crate) async fn ask_quietly<T>(
        &self,
        stake: Stake<'_>,
        call: impl Future<Output = Result<Result<T, ApiError>, RpcError>>,
    ) -> Result<T, ApiError> {
        self.outcome(call.await, stake)
    }

    fn outcome<T>(
        &self,
        answer: Result<Result<T, ApiError>, RpcError>,
        stake: Stake<'_>,
    ) -> Result<T, ApiError> {
        let answer = answer.unwrap_or_else(|error| Err(self.no_answer(&error, stake)));
        answer.map_err(|error| name_payment(error, stake))
    }

    /// What a missing answer means.
    pub(crate) fn no_answer(&self, error: &RpcError, stake: Stake<'_>) -> ApiError {
        let changes = !matches!(stake, Stake::Nothing);
        let unknown = if changes { "; the outcome is unknown" } else { "" };
        match error {
            RpcError::DeadlineExceeded => ApiError::new(
                Code::Timeout,
                format!("no answer within {} s{unknown}", self.timeout.as_secs_f64()),
                match stake {
                    Stake::Nothing => "try again, or wait longer with --timeout",
                    Stake::State => "look at `thunder-cli infos` before you repeat it",
                    Stake::Payment(_) => "look at `thunder-cli infos` and `thunder-cli history`",
                },
            ),
            RpcError::Shutdown | RpcError::Channel(_) => ApiError::new(
                if changes { Code::Timeout } else { Code::NoDaemon },
                format!("the connection to thunderd on port {} was lost{unknown}", self.port),
                if changes {
                    "when thunderd is running again, look at `thunder-cli infos` before you repeat it"
                } else {
                    "see what thunderd printed last, and start it again"
                },
            ),
            RpcError::Send(cause) => ApiError::new(
                Code::Internal,
                format!("the request could not be sent: {cause}"),
                "nothing was done; try again",
            ),
            RpcError::Server(cause) => ApiError::new(
                if changes { Code::Timeout } else { Code::Internal },
                format!("thunderd failed at it: {}{unknown}", cause.detail),
                if changes {
                    "see thunderd's log, and look at `thunder-cli infos` before you repeat it"
                } else {
                    "see thunderd's log"
                },
            ),
        }
    }
}

/// The context of a call that may last so long from now.
pub(crate) fn within(duration: Duration) -> Context {
    let mut context = context::current();
    context.deadline = Instant::now() + duration;
    context
}

/// Where a payment's outcome is unknown, the id that makes repeating it safe has to be named.
fn name_payment(mut error: ApiError, stake: Stake<'_>) -> ApiError {
    let Stake::Payment(id) = stake else { return error };
    if error.code.exit_code() == ExitCode::Unknown && !error.hint.contains(id.as_str()) {
        let before = std::mem::take(&mut error.hint);
        error.hint = format!("repeat the payment with the same id, which pays once: --id {id}");
        if !before.is_empty() {
            error.hint.push_str(&format!("; or {before}"));
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_named_once_and_only_if_the_outcome_is_unknown() {
        let id = PaymentId::new("order-1").unwrap();
        let named = |code, hint| name_payment(ApiError::new(code, "", hint), Stake::Payment(&id)).hint;
        let repeat = "repeat the payment with the same id, which pays once: --id order-1";
        assert_eq!(named(Code::Timeout, ""), repeat);
        assert_eq!(named(Code::PaymentUndecided, "wait"), format!("{repeat}; or wait"));
        assert_eq!(named(Code::Timeout, "use --id order-1"), "use --id order-1");
        assert_eq!(named(Code::InsufficientBalance, "pay less"), "pay less");
    }
}
