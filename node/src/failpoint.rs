//! Points at which a test can have the process killed, held or panic, and tasks that it can have end.
//!
//! Without the feature `failpoints`, which nothing that ships has, there is nothing here and nothing where the points
//! are.

/// Passes a point, here and if the condition holds.
#[cfg(feature = "failpoints")]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::pass($name)
    };
    ($name:literal, $condition:expr) => {
        if $condition {
            $crate::failpoint::pass($name)
        }
    };
}

/// Expands to nothing: neither the name nor the condition is in the program.
#[cfg(not(feature = "failpoints"))]
macro_rules! failpoint {
    ($($anything:tt)*) => {};
}

/// Runs a task of the node, which a test can have end.
#[cfg(feature = "failpoints")]
macro_rules! failpoint_task {
    ($name:expr, $task:expr) => {
        $crate::failpoint::task($name, $task).await
    };
}

/// Runs a task of the node.
#[cfg(not(feature = "failpoints"))]
macro_rules! failpoint_task {
    ($name:expr, $task:expr) => {
        $task.await
    };
}

/// Dies, panics or waits if the file that `THUNDER_KILL_FILE` names says so: `<point>:<nth>`,
/// `<point>:panic` or `<point>:<nth>:hold`, the number counted down at each passage. A file and no
/// variable, so that a node that runs can be told.
///
/// There is no clean-up at a death: what is not on disk or on its way is gone, as by kill -9. The file
/// goes first, so that the test knows why the process died.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(point: &str) {
    let Some(path) = std::env::var_os("THUNDER_KILL_FILE").map(std::path::PathBuf::from) else { return };
    let Ok(order) = std::fs::read_to_string(&path) else { return };
    let Some((name, rest)) = order.split_once(':') else { return };
    if name != point {
        return;
    }
    let (nth, hold) = rest.strip_suffix(":hold").map_or((rest, ""), |nth| (nth, ":hold"));
    match nth.parse::<u32>() {
        Ok(nth @ 2..) => count_down(&path, &format!("{name}:{}{hold}", nth - 1)),
        Ok(_) | Err(_) if !hold.is_empty() => wait(&path),
        Ok(_) | Err(_) => {
            // Whoever removes it decides: here, or the test that spares it.
            if std::fs::remove_file(&path).is_ok() {
                if rest == "panic" {
                    panic!("a test had it panic at {point}");
                }
                std::process::abort();
            }
        }
    }
}

/// Waits until the test removes the file, which is renamed first, so that the test knows.
#[cfg(feature = "failpoints")]
fn wait(path: &std::path::Path) {
    let held = path.with_extension("held");
    if std::fs::rename(path, &held).is_ok() {
        while held.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Never makes the file anew: it may have been taken back.
#[cfg(feature = "failpoints")]
fn count_down(path: &std::path::Path, order: &str) {
    if let Ok(mut file) = std::fs::File::options().write(true).truncate(true).open(path) {
        drop(std::io::Write::write_all(&mut file, order.as_bytes()));
    }
}

/// Runs a task until it ends, or the file that `THUNDER_KILL_FILE` names says `<name>:return` or `<name>:panic`.
#[cfg(feature = "failpoints")]
pub(crate) async fn task(name: &str, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        () = told_to_end(name) => {}
    }
}

#[cfg(feature = "failpoints")]
async fn told_to_end(name: &str) {
    let Some(path) = std::env::var_os("THUNDER_KILL_FILE") else { return std::future::pending().await };
    loop {
        if let Ok(order) = std::fs::read_to_string(&path)
            && let Some(action) = order.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'))
        {
            drop(std::fs::remove_file(&path));
            if action == "panic" {
                panic!("a test had it panic in {name}");
            }
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
