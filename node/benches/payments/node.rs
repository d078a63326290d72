//! A real thunderd, as a user starts it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thunder_api::{
    ApiResult, ChannelInfo, HistoryRequest, PaymentInfo, Secret, Selector, ThunderClient, WalletSource, local,
};
use thunder_deploy::{DEVELOPMENT_PHRASE, ports};
use thunder_protocol::Address;

use crate::Result;

/// How long anything may take that is not measured.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// The development accounts of a payer and a payee.
pub(crate) const ALICE: u32 = 1;
pub(crate) const BOB: u32 = 2;

/// The data directory, in a temporary one; thunderd makes it.
const DATA: &str = "data";

/// A context whose call may last this long.
pub(crate) fn long_call() -> tarpc::context::Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + TIMEOUT;
    context
}

/// A thunderd.
pub(crate) struct Node {
    pub(crate) port: u16,
    rpc: String,
    data: TempDir,
    process: Child,
    pub(crate) client: ThunderClient,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Node {
    pub(crate) async fn start(rpc: &str, disk: &Path) -> Result<Self> {
        let (port, data) = (ports::free()?, TempDir::new_in(disk)?);
        let process = launch(rpc, port, &data.path().join(DATA))?;
        let client = local::connect(port).await.map_err(|error| error.to_string())?;
        Ok(Self { port, rpc: rpc.to_owned(), data, process, client })
    }

    /// The newest payments of a channel, page by page.
    pub(crate) async fn history(&self, channel: &Selector, count: usize) -> Result<Vec<PaymentInfo>> {
        let mut payments = Vec::new();
        let mut before = None;
        while payments.len() < count {
            let limit = u32::try_from(count - payments.len())?;
            let request =
                HistoryRequest { channel: channel.clone(), before, limit, ..HistoryRequest::default() };
            let page = checked(self.client.history(long_call(), request).await)?;
            payments.extend(page.payments);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        Ok(payments)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Up again from the disk. Returns how long it took until it said that it was ready.
    pub(crate) async fn reopen(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.process = launch(&self.rpc, self.port, &self.data.path().join(DATA))?;
        let took = begun.elapsed();
        self.client = local::connect(self.port).await.map_err(|error| error.to_string())?;
        Ok(took)
    }

    /// Takes the development account with this number.
    pub(crate) async fn import_wallet(&self, index: u32) -> Result<Address> {
        let source = WalletSource::Phrase {
            phrase: Secret::new(DEVELOPMENT_PHRASE.to_owned()),
            passphrase: None,
            path: format!("m/44'/60'/0'/0/{index}"),
        };
        Ok(checked(self.client.import_wallet(long_call(), source, true).await)?.address.0)
    }

    /// A channel, as `infos` has it: this one, or the newest.
    pub(crate) async fn channel(&self, channel: &Selector) -> Result<ChannelInfo> {
        let infos = checked(self.client.infos(long_call(), false).await)?;
        let wanted = |info: &ChannelInfo| {
            channel.channel.as_ref().is_none_or(|wanted| info.channel.to_string() == *wanted)
        };
        infos.channels.into_iter().find(wanted).ok_or_else(|| "there is no such channel".into())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data.path().join(DATA).join("thunder.db")
    }

    /// Memory that it has in use, in bytes, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// Processor time that its threads have used so far, where the system tells.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()?;
        let nanoseconds = threads.flatten().filter_map(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<f64>().ok()
        });
        Some(nanoseconds.sum::<f64>() / 1e9)
    }

    /// What the data directory takes on the disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.data.path().join(DATA)).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

/// Without what the user's environment may tell thunderd.
pub(crate) fn with_defaults(mut command: Command) -> Command {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("THUNDER_") {
            command.env_remove(variable);
        }
    }
    command
}

/// Starts thunderd and waits until it says that it is ready.
fn launch(rpc: &str, port: u16, data: &Path) -> Result<Child> {
    let mut command = with_defaults(Command::new(env!("CARGO_BIN_EXE_thunderd")));
    command.args(["--RPC", rpc, "--port", &port.to_string(), "--data-dir"]).arg(data);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = BufReader::new(process.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    while !line.starts_with("Ready") {
        line.clear();
        if stdout.read_line(&mut line)? == 0 {
            let status = process.wait()?;
            return Err(format!("thunderd does not start: {status}").into());
        }
    }
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    Ok(process)
}

/// The answer of a call that has to succeed.
pub(crate) fn checked<T>(answer: std::result::Result<ApiResult<T>, tarpc::client::RpcError>) -> Result<T> {
    Ok(answer?.map_err(|error| error.to_string())?)
}
