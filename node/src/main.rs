//! thunderd.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use thunder_node::config::{Config, version_line};
use thunder_node::start::{self, End};
use tokio::task::LocalSet;
use tracing_subscriber::EnvFilter;

/// How long what is under way beside the node's thread is waited for at its end.
const LAST_WORK: Duration = Duration::from_secs(5);

pub(crate) fn main() -> ExitCode {
    let mut config = Config::parse();
    if config.version {
        let _ = writeln!(std::io::stdout(), "{}", version_line());
        return ExitCode::SUCCESS;
    }
    // What these say at their own discretion helps nobody; who asks for them by name gets them.
    let filter =
        match EnvFilter::try_new(format!("tarpc=off,libp2p_swarm=warn,libp2p_mdns=error,{}", config.log)) {
            Ok(filter) => filter,
            Err(error) => {
                return fail(
                    &format!("--log {}: {error}; try error, warn, info, debug or trace", config.log),
                    2,
                );
            }
        };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_target(false).with_ansi(colours).init();

    loop {
        // One thread runs everything: the fewer hops between threads, the faster a payment.
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&format!("can't start: {error}"), 1),
        };
        // All that a node holds is gone with these before it starts anew.
        let local = LocalSet::new();
        let end = local.block_on(&runtime, start::run(&mut config, stop_signal()));
        drop(local);
        // A backup to a disk that hangs keeps nobody waiting.
        runtime.shutdown_timeout(LAST_WORK);
        match end {
            Ok(End::Stopped) => return ExitCode::SUCCESS,
            Ok(End::Restored) => tracing::info!("starting anew with the restored backup"),
            Err(error) => return fail(&error.to_string(), 1),
        }
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(code)
}

/// Ctrl-C, or whatever else the system says to end a program.
#[cfg(unix)]
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
}

/// Ctrl-C, or the window is closed.
#[cfg(windows)]
async fn stop_signal() {
    use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_shutdown};
    let (Ok(mut interrupt), Ok(mut close), Ok(mut shutdown)) = (ctrl_c(), ctrl_close(), ctrl_shutdown())
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = close.recv() => {}
        _ = shutdown.recv() => {}
    }
    tracing::info!("stopping");
}
