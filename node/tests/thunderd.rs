//! thunderd's own command line: the real program, without a chain.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// thunderd, with nothing of the environment that could change what it does.
fn thunderd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thunderd"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("THUNDER_") {
            command.env_remove(variable);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    thunderd().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A node that runs, and where its files are. Nobody answers at its RPC endpoint.
struct Running {
    process: Child,
    home: TempDir,
    said: String,
}

impl Running {
    fn start(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let home = tempfile::Builder::new().prefix("thd").tempdir_in(std::env::temp_dir()).unwrap();
        let rpc = format!("127.0.0.1:{}", free_port());
        let mut command = thunderd();
        command.args(["--RPC", &rpc, "--listen", "127.0.0.1", "--data-dir"]).arg(home.path().join("data"));
        command.args(flags).envs(variables.iter().copied());
        command.env("XDG_RUNTIME_DIR", home.path()).env("TMPDIR", home.path());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
            said.push_str(&line);
            said.push('\n');
            if line.starts_with("Ready") {
                break;
            }
        }
        Self { process, home, said }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_help_menu_is_the_customers() {
    for flag in ["--help", "-h"] {
        let output = run(&[flag]);
        assert!(output.status.success());
        let help = text(&output.stdout);
        assert!(help.starts_with("Thunder version v0.0.1\n"), "{help}");
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in [
            "Usage: thunderd [options] Start Thunder",
            "Print this help message and exit",
            "--RPC <IP:Port>",
            "Specify the RPC endpoint at which a compatible blockchain is available. Otherwise, default is localhost:8545",
            "--port <port>",
            "Specify the port at which this node is available. Default is 2001",
            "--data-dir",
            "--token",
            "--factory",
            "--listen",
            "--mdns",
            "--confirmations",
            "--password-file",
            "--no-auto-challenge",
            "--metrics",
            "--log",
            "--version",
        ] {
            assert!(words.contains(expected), "{expected} is not in:\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn the_version_is_shown() {
    assert_eq!(text(&run(&["--version"]).stdout), "Thunder version v0.0.1\n");
}

#[test]
fn wrong_usage_is_refused_with_a_reason() {
    for (arguments, expected) in [
        (&["--port", "70000"][..], "70000"),
        (&["--RPC", "ftp://x"], "http(s)://"),
        (&["--token", "0x12"], "--token"),
        (&["--listen", "nonsense"], "--listen"),
        (&["--log", "[["], "try error, warn, info, debug or trace"),
        (&["--nonsense"], "--nonsense"),
        (&["start"], "start"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn it_says_what_it_is_and_stays_up_without_a_chain() {
    let mut node = Running::start(&["--port", "0"], &[]);
    for expected in [
        "Thunder version v0.0.1",
        "port ",
        "peer id     12D3KooW",
        "/ip4/127.0.0.1/tcp/",
        "quic-v1",
        "is not reachable",
        "wallet      none yet",
        "channels    0",
    ] {
        assert!(node.said.contains(expected), "{expected} is not in:\n{}", node.said);
    }
    assert!(node.process.try_wait().unwrap().is_none(), "it stays up");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            |path: &str| std::fs::metadata(node.home.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("data"), mode("data/node.key"), mode("thunder")), (0o700, 0o600, 0o700));
        assert_eq!((mode("data/thunder.db"), mode("data/thunder.db-wal")), (0o600, 0o600));
    }
}

#[test]
fn every_flag_has_an_environment_variable() {
    let port = free_port().to_string();
    let node = Running::start(
        &[],
        &[("THUNDER_PORT", &port), ("THUNDER_TOKEN", "0x00000000000000000000000000000000000000aA")],
    );
    assert!(node.said.contains(&format!("port        {port} ")), "{}", node.said);
    let said = node.said.to_lowercase();
    assert!(said.contains("thd         0x00000000000000000000000000000000000000aa"), "{}", node.said);
    // The others are read too: what is no value is refused.
    for (name, bad) in [
        ("RPC", "ftp://x"),
        ("FACTORY", "0x1"),
        ("LISTEN", "x"),
        ("CONFIRMATIONS", "0"),
        ("METRICS", "x"),
        ("LOG", "[["),
    ] {
        let output = thunderd().env(format!("THUNDER_{name}"), bad).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output.stderr));
    }
}

#[test]
fn a_node_keeps_its_name() {
    let first = Running::start(&["--port", "0"], &[]);
    let peer_id = |said: &str| said.lines().find(|line| line.contains("peer id")).unwrap().to_owned();
    let name = peer_id(&first.said);
    let data = first.home.path().join("data");
    let mut node = first;
    node.process.kill().unwrap();
    node.process.wait().unwrap();
    let again = Running::start_in(&data, node.home.path());
    assert_eq!(peer_id(&again), name);
}

impl Running {
    /// What a node says that is started in an existing data directory.
    fn start_in(data: &std::path::Path, home: &std::path::Path) -> String {
        let mut command = thunderd();
        command
            .args(["--port", "0", "--RPC", "127.0.0.1:1", "--listen", "127.0.0.1", "--data-dir"])
            .arg(data);
        command.env("XDG_RUNTIME_DIR", home).env("TMPDIR", home);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        for line in lines {
            said.push_str(&line);
            said.push('\n');
            if line.starts_with("Ready") {
                break;
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        said
    }
}

#[test]
fn a_damaged_or_newer_database_is_refused_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("thunder.db");
    for content in [&b"this is no database, but somebody's precious file"[..], &[0; 4096]] {
        std::fs::write(&path, content).unwrap();
        let output = thunderd()
            .args(["--port", "0", "--RPC", "127.0.0.1:1", "--listen", "127.0.0.1", "--data-dir"])
            .arg(home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .env("TMPDIR", home.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("database"), "{}", text(&output.stderr));
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn metrics_are_served() {
    let port = free_port();
    let node = Running::start(&["--port", "0", "--metrics", &format!("127.0.0.1:{port}")], &[]);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}\n{}", node.said);
}
