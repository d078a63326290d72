//! `Node`: a thunderd process, its log, and the failpoints at which a test has it killed or held.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;
use thunder_deploy::beside;

#[cfg(unix)]
use super::set_mode;
use super::wait_for;

type Log = Arc<Mutex<String>>;

/// A thunderd, and the user who sits before it.
pub struct Node {
    pub port: u16,
    pub rpc: String,
    pub data: TempDir,
    home: PathBuf,
    /// `XDG_RUNTIME_DIR`.
    runtime: PathBuf,
    pub flags: Vec<String>,
    /// thunderd, or one that can be told where to die, and the file that tells it.
    failing: Option<(PathBuf, PathBuf)>,
    told: bool,
    /// Where standard error goes, if it is not read into `log`.
    stderr: Option<File>,
    process: Option<Child>,
    /// Reads standard error into `log`.
    reading: Option<JoinHandle<()>>,
    log: Log,
}

impl Node {
    /// Starts a node with a data directory of its own, on a free port.
    pub(super) fn start_new(rpc: String, home: &Path, flags: &[&str]) -> Self {
        let data = TempDir::new().unwrap();
        #[cfg(unix)]
        set_mode(data.path(), 0o700);
        let mut node = Self {
            port: 0,
            rpc,
            data,
            home: home.into(),
            runtime: home.into(),
            flags: flags.iter().map(ToString::to_string).collect(),
            failing: None,
            told: false,
            stderr: None,
            process: None,
            reading: None,
            log: Log::default(),
        };
        node.start_somewhere();
        node
    }

    /// Starts on a free port; another one if somebody was faster.
    fn start_somewhere(&mut self) {
        for _ in 0..10 {
            self.port = thunder_deploy::ports::free().unwrap();
            if self.try_start() {
                return;
            }
        }
        panic!("thunderd does not start:\n{}", self.log());
    }

    /// Starts again, on the same port and data directory.
    pub fn start(&mut self) {
        // The system may take a moment to give the port free.
        wait_for("thunderd starts", || self.try_start());
    }

    /// From its next start on it is the thunderd that can be told where to die.
    pub fn run_failing(&mut self, program: &Path) {
        self.failing = Some((program.into(), self.home.join(format!("kill-{}", self.port))));
    }

    /// Tells it to die at the `nth` passage of a point.
    pub fn die_at(&mut self, point: &str, nth: u32) {
        self.tell(point, &nth.to_string());
        self.told = true;
    }

    /// Tells it what to do at a point, or in a task, as `node/src/failpoint.rs` has it.
    pub fn tell(&self, point: &str, action: &str) {
        let new = self.order().with_extension("new");
        std::fs::write(&new, format!("{point}:{action}")).unwrap();
        std::fs::rename(new, self.order()).unwrap();
    }

    fn order(&self) -> &Path {
        &self.failing.as_ref().expect("run_failing").1
    }

    /// Tells it to wait at the next passage of a point, until [`Self::release`].
    pub fn hold_at(&self, point: &str) {
        self.tell(point, "1:hold");
    }

    /// Waits until it waits where [`Self::hold_at`] says.
    pub fn wait_held(&self) {
        wait_for("it is held", || self.order().with_extension("held").exists());
    }

    /// It goes on.
    pub fn release(&self) {
        std::fs::remove_file(self.order().with_extension("held")).unwrap();
    }

    /// Takes that back; what was told and is not there any more has been carried out. Reports whether
    /// it was.
    pub fn spare(&mut self) -> bool {
        let is_dying = std::fs::remove_file(self.order()).is_err();
        let has_died = std::mem::take(&mut self.told) && is_dying;
        if has_died {
            wait_for("it is dead", || !self.is_running());
        }
        has_died
    }

    /// Where this world keeps sockets and temporary files.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// From now on the runtime directory is that one.
    #[cfg(unix)]
    pub fn runtime_directory(&mut self, directory: &Path) {
        self.runtime = directory.into();
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// From its next start on, standard error goes there and not into `log`.
    #[cfg(target_os = "linux")]
    pub fn log_to(&mut self, stderr: File) {
        self.stderr = Some(stderr);
    }

    fn try_start(&mut self) -> bool {
        let mut command = self.thunderd();
        if let Some(stderr) = &self.stderr {
            command.stderr(stderr.try_clone().unwrap());
        }
        let mut process = command.spawn().unwrap();
        self.reading = process.stderr.take().map(|stderr| {
            let log = Arc::clone(&self.log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lock().unwrap().push_str(&format!("{line}\n"));
                }
            })
        });
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("Ready") {
            line.clear();
            if stdout.read_line(&mut line).unwrap() == 0 {
                process.wait().unwrap();
                return false;
            }
        }
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        self.process = Some(process);
        true
    }

    /// The command that starts it.
    pub fn thunderd(&self) -> Command {
        let mut command = self.program("thunderd");
        if let Some((program, order)) = &self.failing {
            command = self.prepared(program);
            command.env("THUNDER_KILL_FILE", order);
        }
        command.args(["--RPC", &self.rpc, "--port", &self.port.to_string()]);
        if !self.flags.iter().any(|flag| flag == "--data-dir") {
            command.arg("--data-dir").arg(self.data.path());
        }
        if !self.flags.iter().any(|flag| flag == "--listen") {
            command.args(["--listen", "127.0.0.1"]);
        }
        command.args(&self.flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(super) fn program(&self, name: &str) -> Command {
        self.prepared(&beside(name).unwrap())
    }

    /// A program of somebody else's, which finds thunder-cli, and with it the node.
    #[cfg(unix)]
    pub fn foreign_program(&self, name: &str) -> Command {
        let cli = beside("thunder-cli").unwrap();
        let mut path = cli.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = self.prepared(Path::new(name));
        command.env("PATH", path);
        command
    }

    fn prepared(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("THUNDER_") {
                command.env_remove(variable);
            }
        }
        command.env("XDG_RUNTIME_DIR", &self.runtime).env("TMPDIR", &self.home);
        command
    }

    /// SIGKILL: whatever it was about to do, it does not do.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        self.read_to_the_end();
    }

    /// Waits until all that the process has logged is in `log`.
    fn read_to_the_end(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
    }

    /// kill -9, and up again.
    pub fn crash(&mut self) {
        self.kill();
        self.start();
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = self.process.as_ref().expect("running");
        rustix::process::kill_process(rustix::process::Pid::from_child(process), signal).unwrap();
    }

    #[cfg(target_os = "linux")]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("running").id()
    }

    /// Waits until it ends by itself.
    pub fn wait_end(&mut self) -> std::process::ExitStatus {
        let status = self.process.take().expect("running").wait().unwrap();
        self.read_to_the_end();
        status
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    #[cfg(unix)]
    pub fn forget_log(&self) {
        self.log.lock().unwrap().clear();
    }

    pub fn has_logged(&self, text: &str) -> bool {
        self.log().contains(text)
    }

    /// Waits for a line of the log. A thread of its own writes it, so it may come after the reply that it is about.
    pub fn wait_logged(&self, text: &str) {
        wait_for(&format!("the log says {text:?}"), || self.has_logged(text));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- log of the node on port {}\n{}", self.port, self.log());
        }
    }
}
