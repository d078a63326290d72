//! `Process`: a child process that ends when its owner is dropped; and the signals that end this one.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// A running child process. When dropped it gets SIGTERM, and SIGKILL if it has not ended after `grace`. Its id can't
/// belong to another process meanwhile, because the child has not been waited for.
#[derive(Debug)]
pub struct Process {
    child: Child,
    grace: Duration,
}

impl Process {
    /// Starts a program. With a grace of zero it is killed without SIGTERM.
    pub fn spawn(command: &mut Command, grace: Duration) -> io::Result<Self> {
        Ok(Self { child: command.spawn()?, grace })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, to take its pipes from.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the exit status if the process has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until the process ends by itself.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends SIGTERM, waits for the end, and sends SIGKILL if that takes longer than the grace.
    pub async fn stop(&mut self) -> io::Result<ExitStatus> {
        self.ask_to_end();
        if !self.grace.is_zero()
            && let Ok(status) = tokio::time::timeout(self.grace, self.wait()).await
        {
            return status;
        }
        self.kill()
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    #[cfg(unix)]
    fn ask_to_end(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};

        if self.grace.is_zero() || !matches!(self.ended(), Ok(None)) {
            return;
        }
        // This fails if the process has just ended by itself, which is as good.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Windows has no way to ask a program without a window.
    #[cfg(not(unix))]
    fn ask_to_end(&mut self) {
        self.grace = Duration::ZERO;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
        let patience_ends = Instant::now() + self.grace;
        while matches!(self.ended(), Ok(None)) && Instant::now() < patience_ends {
            std::thread::sleep(POLL);
        }
        // There is nobody left to tell that it failed.
        let _ = self.kill();
    }
}

#[cfg(unix)]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(grace: Duration, script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]), grace).unwrap()
    }

    fn is_running(id: u32) -> bool {
        let id = rustix::process::Pid::from_raw(id.cast_signed()).unwrap();
        rustix::process::test_kill_process(id).is_ok()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        for grace in [Duration::ZERO, Duration::from_secs(60)] {
            let process = sleeper(grace, "exec sleep 600");
            let id = process.id();
            assert!(is_running(id));
            drop(process);
            assert!(!is_running(id));
        }
    }

    #[tokio::test]
    async fn it_is_asked_before_it_is_made_to() {
        use std::io::Read;
        use std::os::unix::process::ExitStatusExt;
        use std::process::Stdio;

        let mut polite = sleeper(Duration::from_secs(60), "exec sleep 600");
        assert_eq!(polite.stop().await.unwrap().signal(), Some(15));
        let mut script = Command::new("sh");
        script.args(["-c", "trap '' TERM; echo deaf; while :; do sleep 0.01; done"]).stdout(Stdio::piped());
        let mut deaf = Process::spawn(&mut script, Duration::from_millis(50)).unwrap();
        let mut line = [0; 5];
        deaf.child().stdout.take().unwrap().read_exact(&mut line).unwrap();
        assert_eq!(deaf.stop().await.unwrap().signal(), Some(9));
    }
}
