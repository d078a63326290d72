//! thunderd.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use thunder_node::args::{Config, version_line};
use thunder_node::console::{Console, Seconds};
use thunder_node::start::{self, NodeEnd};
use tokio::task::LocalSet;
use tracing_subscriber::EnvFilter;

/// How long the end of the process waits for work on other threads.
const LAST_WORK: Duration = Duration::from_secs(5);

pub(crate) fn main() -> ExitCode {
    let config = Config::parse();
    if config.version {
        let _ = writeln!(std::io::stdout(), "{}", version_line());
        return ExitCode::SUCCESS;
    }
    let console = Console::start();
    match run(config, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, code)) => {
            console.release_log();
            let _ = writeln!(console.err(), "error: {message}");
            ExitCode::from(code)
        }
    }
}

/// Runs the node until it is stopped, or says why it ended, with the exit code.
fn run(mut config: Config, console: &Console) -> Result<(), (String, u8)> {
    log_to(console, &config.log).map_err(|message| (message, 2))?;
    loop {
        // One thread runs everything: the fewer hops between threads, the faster a payment.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| (format!("can't start: {error}"), 1))?;
        // Dropping these frees the lock, the sockets and the database before the next start.
        let local = LocalSet::new();
        let end = local.block_on(&runtime, start::run(&mut config, console, stop_signal()));
        drop(local);
        // The wait is bounded: a backup to a disk that hangs must not hold up the end.
        runtime.shutdown_timeout(LAST_WORK);
        match end {
            Ok(NodeEnd::Stopped) => return Ok(()),
            Ok(NodeEnd::Restored) => tracing::info!("starting anew with the restored backup"),
            Err(error) => return Err((error.to_string(), 1)),
        }
    }
}

fn log_to(console: &Console, filter: &str) -> Result<(), String> {
    // These libraries log what does not help a user. A filter that names them overrides this.
    let filters = format!("tarpc=off,libp2p_swarm=warn,libp2p_mdns=error,{filter}");
    let filters = EnvFilter::try_new(filters)
        .map_err(|error| format!("--log {filter}: {error}; try error, warn, info, debug or trace"))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let err = console.err();
    let log = tracing_subscriber::fmt().with_env_filter(filters).with_writer(move || err.clone());
    log.with_timer(Seconds).with_target(false).with_ansi(colours).init();
    Ok(())
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
