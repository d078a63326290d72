//! Waits for Ctrl-C, SIGTERM or SIGHUP (on Windows, their counterparts).

use std::io;

/// Waits until the user presses Ctrl-C or the system asks the program to end. From the first call
/// on neither ends the program by itself.
#[cfg(unix)]
pub(crate) async fn interrupted() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Waits until the user presses Ctrl-C or the system asks the program to end. From the first call
/// on neither ends the program by itself.
#[cfg(windows)]
pub(crate) async fn interrupted() -> io::Result<()> {
    use tokio::signal::windows;

    let mut ctrl_c = windows::ctrl_c()?;
    let mut ctrl_break = windows::ctrl_break()?;
    let mut close = windows::ctrl_close()?;
    let mut shutdown = windows::ctrl_shutdown()?;
    tokio::select! {
        _ = ctrl_c.recv() => {}
        _ = ctrl_break.recv() => {}
        _ = close.recv() => {}
        _ = shutdown.recv() => {}
    }
    Ok(())
}
