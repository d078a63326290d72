//! One call of thunderd: how long to wait for it, and what it means if no answer comes.

use std::future::Future;
use std::io::IsTerminal;
use std::pin::pin;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tarpc::client::RpcError;
use tarpc::context::{self, Context};
use thunder_api::{ApiError, Code, ExitCode, ThunderClient, local};
use thunder_protocol::PaymentId;

use crate::args::Global;

/// A call that takes less than this shows no spinner.
const SHORT_CALL: Duration = Duration::from_millis(150);
/// How often the spinner turns.
const SPINNER_STEP: Duration = Duration::from_millis(100);

/// What a call may have done if its answer is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallEffect<'a> {
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
        effect: CallEffect<'_>,
        call: impl Future<Output = Result<Result<T, ApiError>, RpcError>>,
    ) -> Result<T, ApiError> {
        let answer = tokio::select! {
            // Ctrl-C is listened for before anything is sent.
            biased;
            // A call that only reads ends with the process: nothing has to be said about its outcome.
            Ok(()) = tokio::signal::ctrl_c(), if !matches!(effect, CallEffect::Nothing) => None,
            answer = show_progress(doing, self.shows_progress, call) => Some(answer),
        };
        let answer = match answer {
            Some(answer) => return self.outcome(answer, effect),
            None => ApiError::new(
                Code::Timeout,
                "interrupted; thunderd goes on, and the outcome is unknown",
                "look at `thunder-cli infos` before you repeat it",
            ),
        };
        Err(name_payment(answer, effect))
    }

    /// Waits for a call's answer, and leaves Ctrl-C and what is shown to the caller.
    pub(crate) async fn ask_quietly<T>(
        &self,
        effect: CallEffect<'_>,
        call: impl Future<Output = Result<Result<T, ApiError>, RpcError>>,
    ) -> Result<T, ApiError> {
        self.outcome(call.await, effect)
    }

    fn outcome<T>(
        &self,
        answer: Result<Result<T, ApiError>, RpcError>,
        effect: CallEffect<'_>,
    ) -> Result<T, ApiError> {
        let answer = answer.unwrap_or_else(|error| Err(self.no_answer(&error, effect)));
        answer.map_err(|error| name_payment(error, effect))
    }

    /// What a missing answer means.
    pub(crate) fn no_answer(&self, error: &RpcError, effect: CallEffect<'_>) -> ApiError {
        let changes = !matches!(effect, CallEffect::Nothing);
        let unknown = if changes { "; the outcome is unknown" } else { "" };
        match error {
            RpcError::DeadlineExceeded => ApiError::new(
                Code::Timeout,
                format!("no answer within {} s{unknown}", self.timeout.as_secs_f64()),
                match effect {
                    CallEffect::Nothing => "try again, or wait longer with --timeout",
                    CallEffect::State => "look at `thunder-cli infos` before you repeat it",
                    CallEffect::Payment(_) => "look at `thunder-cli infos` and `thunder-cli history`",
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
fn name_payment(mut error: ApiError, effect: CallEffect<'_>) -> ApiError {
    let CallEffect::Payment(id) = effect else { return error };
    if error.code.exit_code() == ExitCode::Unknown && !error.hint.contains(id.as_str()) {
        let before = std::mem::take(&mut error.hint);
        error.hint = format!("repeat the payment with the same id, which pays once: --id {id}");
        if !before.is_empty() {
            error.hint.push_str(&format!("; or {before}"));
        }
    }
    error
}

/// Waits, and shows `doing` on a terminal's standard error if that takes a while.
async fn show_progress<T>(doing: &str, wanted: bool, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if !wanted || !std::io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(result) = tokio::time::timeout(SHORT_CALL, work.as_mut()).await {
        return result;
    }
    // Cleared when dropped, too.
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(ProgressStyle::default_spinner())
        .with_finish(indicatif::ProgressFinish::AndClear)
        .with_message(format!("{doing} …"));
    spinner.enable_steady_tick(SPINNER_STEP);
    let result = work.await;
    spinner.finish_and_clear();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_named_once_and_only_if_the_outcome_is_unknown() {
        let id = PaymentId::new("order-1").unwrap();
        let named = |code, hint| name_payment(ApiError::new(code, "", hint), CallEffect::Payment(&id)).hint;
        let repeat = "repeat the payment with the same id, which pays once: --id order-1";
        assert_eq!(named(Code::Timeout, ""), repeat);
        assert_eq!(named(Code::PaymentUndecided, "wait"), format!("{repeat}; or wait"));
        assert_eq!(named(Code::Timeout, "use --id order-1"), "use --id order-1");
        assert_eq!(named(Code::InsufficientBalance, "pay less"), "pay less");
    }
}
