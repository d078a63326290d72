//! The long-running tasks of a node: when one of them ends, the node ends (G7).

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::task::{Id, JoinSet};

/// A part of the node that ended while the node was to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} ended by itself{}; start thunderd again, and please report it", how(.panic.as_deref()))]
pub struct PartEnded {
    /// What the part does, as the beginning of a sentence.
    pub part: &'static str,
    /// The message of its panic, if it panicked.
    pub panic: Option<String>,
}

fn how(panic: Option<&str>) -> String {
    panic.map(|message| format!(", by a panic ({message})")).unwrap_or_default()
}

/// Tasks that run as long as the node does. Dropped, it ends them.
#[derive(Default)]
pub(crate) struct Tasks {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts a task on this thread. `name` says what it does, as the beginning of a sentence.
    pub(crate) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let handle = self.tasks.spawn_local(async move { failpoint_task!(name, task) });
        self.names.insert(handle.id(), name);
    }

    /// Waits until a task ends, which none does in a node that is well.
    pub(crate) async fn ended(&mut self) -> PartEnded {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => PartEnded { part: self.name(id), panic: None },
            Some(Err(error)) => {
                let part = self.name(error.id());
                PartEnded { part, panic: error.try_into_panic().ok().map(|panic| message(&*panic)) }
            }
            None => std::future::pending().await,
        }
    }

    fn name(&self, id: Id) -> &'static str {
        self.names.get(&id).copied().unwrap_or("a task")
    }
}

/// Returns what `work` does, or the message of its panic.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| message(&*panic))
}

/// The message of a panic, in one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, work)
    }

    #[test]
    fn g7_a_task_that_returns_or_panics_is_named() {
        let ended = |task: fn()| {
            run(async {
                let mut tasks = Tasks::default();
                tasks.spawn("the one that goes on", std::future::pending());
                tasks.spawn("the one that ends", async move { task() });
                tasks.ended().await
            })
        };
        let returned = ended(|| {});
        assert_eq!(returned, PartEnded { part: "the one that ends", panic: None });
        let panicked = ended(|| panic!("for {} reason", "no"));
        assert_eq!(panicked.panic.as_deref(), Some("for no reason"));
        assert!(
            panicked
                .to_string()
                .starts_with("the one that ends ended by itself, by a panic (for no reason);")
        );
    }

    #[test]
    fn a_panic_is_caught_with_its_message() {
        assert_eq!(run(caught(async { 1 })), Ok(1));
        assert_eq!(run(caught(async { panic!("why\n  not") as u8 })), Err("why, not".into()));
    }
}
