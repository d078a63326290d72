//! A testnet, nodes on it, and users who type commands.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use thunder_deploy::beside;
use thunder_deploy::{Testnet, TestnetOptions};
use thunder_protocol::{Address, Amount};
use tokio::runtime::Runtime;

/// What local testnets know the rich accounts by.
pub const PHRASE: &str = "test test test test test test test test test test test junk";

/// How long a condition may take to come true. It is never waited for longer than needed.
const TIMEOUT: Duration = Duration::from_secs(60);

pub fn thd(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A testnet with THD and the factory.
pub struct World {
    runtime: Runtime,
    pub testnet: Testnet,
    /// Where sockets and temporary files of this world's processes go.
    home: TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self::bare();
        world.run(world.testnet.deploy()).unwrap();
        world
    }

    /// Without THD and the factory.
    pub fn bare() -> Self {
        Self::with(TestnetOptions::default())
    }

    pub fn with(options: TestnetOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let testnet = runtime.block_on(Testnet::start(options)).unwrap();
        Self { runtime, testnet, home: short_tempdir() }
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn mine(&self, blocks: u64) {
        self.run(self.testnet.mine(blocks)).unwrap();
    }

    pub fn rpc(&self, method: &str, params: Value) -> Value {
        self.run(self.testnet.rpc(method, params)).unwrap()
    }

    pub fn stop_chain(&mut self) {
        self.runtime.block_on(self.testnet.stop()).unwrap();
    }

    pub fn restart_chain(&mut self) {
        self.runtime.block_on(self.testnet.restart()).unwrap();
    }

    pub fn head(&self) -> u64 {
        self.run(self.testnet.chain().head()).unwrap().number
    }

    pub fn give_thd(&self, to: Address, amount: &str) {
        self.run(self.testnet.give_thd(to, thd(amount))).unwrap();
    }

    pub fn thd_of(&self, account: Address) -> Amount {
        Amount::from_base_units(self.run(self.testnet.chain().thd_balance(account)).unwrap()).unwrap()
    }

    /// A node that runs and has nothing: no wallet, no THD.
    pub fn node(&self) -> Node {
        self.node_with(&[])
    }

    pub fn node_with(&self, flags: &[&str]) -> Node {
        let data = TempDir::new().unwrap();
        #[cfg(unix)]
        set_mode(data.path(), 0o700);
        let mut node = Node {
            port: 0,
            rpc: self.testnet.rpc_url(),
            data,
            home: self.home.path().into(),
            runtime: self.home.path().into(),
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

    /// A user with the development account of this number, and 100 THD.
    pub fn user(&self, index: u32) -> Node {
        self.user_with(index, &[])
    }

    pub fn user_with(&self, index: u32, flags: &[&str]) -> Node {
        let node = self.node_with(flags);
        node.ok(&["importwallet", PHRASE, "--index", &index.to_string()]);
        self.give_thd(node.wallet(), "100");
        node
    }

    /// Two users who are connected: the first has connected with the second.
    pub fn pair(&self) -> (Node, Node) {
        let (a, b) = (self.user(1), self.user(2));
        a.connect(&b);
        (a, b)
    }

    /// Two users with an ACTIVE channel of 10 THD, paid in by the first.
    pub fn channel(&self) -> (Node, Node, Address) {
        let (a, b) = self.pair();
        let opened = a.ok(&["openchannel", "10"]);
        assert_eq!(opened["state"], "ACTIVE");
        let channel = address(&opened["channel"]);
        b.wait_state(channel, "ACTIVE");
        (a, b, channel)
    }
}

/// Waits for a node that has started anew with a restored backup.
pub fn wait_for_the_node(node: &Node, peer_id: &str) {
    wait_for("it starts anew as the node it was", || {
        let output = node.output(&["--json", "infos"]);
        output.status.success() && text(&output.stdout).contains(peer_id)
    });
}

/// Socket paths are limited to about a hundred bytes.
pub fn short_tempdir() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("thd");
    if cfg!(unix) { builder.tempdir_in("/tmp").unwrap() } else { builder.tempdir().unwrap() }
}

/// A user of the machine who may do nothing.
#[cfg(unix)]
pub const NOBODY: u32 = 65534;

#[cfg(unix)]
pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn address(value: &Value) -> Address {
    value.as_str().expect("an address").parse().unwrap()
}

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

    fn program(&self, name: &str) -> Command {
        self.prepared(&beside(name).unwrap())
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

    // ---- commands -----------------------------------------------------------------------------

    /// thunder-cli, told nothing but the port.
    pub fn cli(&self) -> Command {
        let mut command = self.program("thunder-cli");
        command.args(["--port", &self.port.to_string()]).stdin(Stdio::null());
        command
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.cli().args(arguments).output().unwrap()
    }

    /// What a person sees on the screen; the command must succeed.
    pub fn screen(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }

    /// The JSON object of a command that must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Value {
        let output = self.output(&[&["--json"], arguments].concat());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?} failed:\n{stdout}{stderr}\nlog:\n{}", self.log());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
    }

    /// The error of a command that must fail with this exit code and this error code.
    pub fn refused(&self, arguments: &[&str], exit: i32, code: &str) -> Value {
        let output = self.output(&[&["--json"], arguments].concat());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{arguments:?}:\n{stdout}{stderr}\nlog:\n{}",
            self.log()
        );
        let error = &serde_json::from_str::<Value>(&stdout).unwrap()["error"];
        assert_eq!(error["code"], code, "{arguments:?}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && stderr.contains(message), "{arguments:?}: the person sees {stderr:?}");
        error.clone()
    }

    pub fn infos(&self) -> Value {
        self.ok(&["infos"])
    }

    pub fn wallet(&self) -> Address {
        address(&self.infos()["wallet"])
    }

    pub fn peer_id(&self) -> String {
        self.infos()["peer_id"].as_str().unwrap().to_owned()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn connect(&self, other: &Self) {
        let peer = self.ok(&["connect", &other.address()]);
        assert_eq!(address(&peer["wallet"]), other.wallet());
    }

    pub fn is_connected_with(&self, other: &Self) -> bool {
        let wallet = serde_json::to_value(other.wallet().to_string()).unwrap();
        self.infos()["peers"].as_array().unwrap().iter().any(|peer| peer["wallet"] == wallet)
    }

    pub fn wait_connected(&self, other: &Self) {
        wait_for("the nodes are connected", || {
            self.is_connected_with(other) && other.is_connected_with(self)
        });
    }

    /// What `infos` says of a channel.
    pub fn channel(&self, channel: Address) -> Value {
        let infos = self.infos();
        let channels = infos["channels"].as_array().unwrap();
        let named = channels.iter().find(|info| info["channel"] == channel.to_string());
        named.cloned().unwrap_or(Value::Null)
    }

    pub fn wait_state(&self, channel: Address, state: &str) {
        wait_for(&format!("the channel is {state}"), || self.channel(channel)["state"] == state);
    }

    /// Waits until a channel is ACTIVE and in sync with the other side.
    pub fn wait_usable(&self, channel: Address) {
        wait_for("the channel can be used", || self.channel(channel)["next"] == "pay, closechannel");
    }

    pub fn pay(&self, amount: &str) -> Value {
        self.ok(&["pay", amount])
    }

    /// The own share of a channel.
    pub fn mine(&self, channel: Address) -> Amount {
        thd(self.channel(channel)["mine"].as_str().unwrap())
    }

    /// All payments, newest first.
    pub fn history(&self) -> Vec<Value> {
        self.ok(&["history", "--limit", "10000"])["payments"].as_array().unwrap().clone()
    }

    /// THD in the wallet.
    pub fn purse(&self) -> Amount {
        thd(self.ok(&["balance"])["wallet"].as_str().unwrap())
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

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file for a test, gone with the directory.
pub fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
