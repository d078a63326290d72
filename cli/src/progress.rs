//! A spinner that says what is being waited for.

use std::future::Future;
use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A call that takes less than this shows no spinner.
const BLINK: Duration = Duration::from_millis(150);
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Waits, and shows `doing` on a terminal's standard error if that takes a while.
pub(crate) async fn show<T>(doing: &str, wanted: bool, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if !wanted || !std::io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(result) = tokio::time::timeout(BLINK, work.as_mut()).await {
        return result;
    }
    // Cleared when dropped, too.
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(ProgressStyle::default_spinner())
        .with_finish(indicatif::ProgressFinish::AndClear)
        .with_message(format!("{doing} …"));
    spinner.enable_steady_tick(TURN);
    let result = work.await;
    spinner.finish_and_clear();
    result
}
