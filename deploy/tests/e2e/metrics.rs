//! `--metrics`: what is served is what is documented, true, and names nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use super::harness::*;

const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

fn ask(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub fn get(port: u16, path: &str) -> (u16, String) {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// A page in the Prometheus text format, read strictly.
#[derive(Default)]
struct Page {
    /// Type and meaning of each metric.
    metrics: BTreeMap<String, (String, String)>,
    /// Each sample, with its labels.
    samples: BTreeMap<String, f64>,
}

impl Page {
    fn of(port: u16) -> Self {
        let (status, text) = get(port, "/metrics");
        assert_eq!(status, 200, "{text}");
        let (mut page, mut meanings) = (Self::default(), BTreeMap::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, meaning) = help.split_once(' ').unwrap();
                meanings.insert(name.to_owned(), meaning.to_owned());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                let meaning = meanings.remove(name).unwrap_or_else(|| panic!("{name} has no HELP"));
                page.metrics.insert(name.to_owned(), (kind.to_owned(), meaning));
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let name = sample.split('{').next().unwrap();
                let base = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
                let (kind, _) = page
                    .metrics
                    .get(name)
                    .or_else(|| page.metrics.get(base))
                    .unwrap_or_else(|| panic!("{line} has no TYPE"));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                assert!(page.samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{line}");
            }
        }
        assert!(meanings.is_empty(), "HELP without TYPE: {meanings:?}");
        page
    }

    fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.samples.keys()))
    }
}

/// One sample of what a node serves now.
#[cfg(target_os = "linux")]
pub fn value(port: u16, sample: &str) -> f64 {
    Page::of(port).value(sample)
}

fn with_metrics(world: &World, index: u32) -> (Node, u16) {
    let port = thunder_deploy::ports::free().unwrap();
    (world.user_with(index, &["--metrics", &format!("127.0.0.1:{port}")]), port)
}

#[test]
fn what_is_measured_is_true_and_names_nobody() {
    let world = World::new();
    let ((alice, port), bob) = (with_metrics(&world, 1), world.user(2));
    alice.connect(&bob);
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);
    for _ in 0..3 {
        alice.pay("1");
    }
    bob.pay("0.5");
    alice.refused(&["pay", "50"], 1, "insufficient_balance");
    wait_for("all is measured", || Page::of(port).value("thunder_payments_total{direction=\"in\"}") == 1.0);
    // Not sooner than a second after the last time.
    wait_for("the gauges are new", || Page::of(port).value("thunder_own_thd") == 7.5);
    let page = Page::of(port);
    for (sample, value) in [
        ("thunder_payments_total{direction=\"out\"}", 3.0),
        ("thunder_payments_failed_total", 1.0),
        ("thunder_pay_seconds_count", 3.0),
        ("thunder_partners_thd", 2.5),
        ("thunder_channels{state=\"active\"}", 1.0),
        ("thunder_channels{state=\"closed\"}", 0.0),
        ("thunder_channels_frozen", 0.0),
        ("thunder_peers_connected", 1.0),
        ("thunder_ready", 1.0),
        ("thunder_chain_height", world.head() as f64),
    ] {
        assert_eq!(page.value(sample), value, "{sample}");
    }
    for sample in ["thunder_exchange_seconds_count", "thunder_disk_commit_seconds_count"] {
        assert!(page.value(sample) >= 3.0, "{sample}");
    }
    assert!(page.value("thunder_database_bytes") >= 4096.0);
    // It is looked at from time to time; gas has cost next to nothing.
    wait_for("it knows its ether", || {
        (9_999.0..=10_000.0).contains(&Page::of(port).value("thunder_wallet_ether"))
    });
    // Nothing that names anybody, and no label that grows.
    let (_, text) = get(port, "/metrics");
    let text = text.to_lowercase();
    for secret in [
        alice.wallet().to_string(),
        bob.wallet().to_string(),
        channel.to_string(),
        alice.peer_id(),
        bob.peer_id(),
    ] {
        let secret = secret.to_lowercase();
        assert!(!text.contains(secret.trim_start_matches("0x")), "{secret}");
    }
    let labels: BTreeSet<&str> =
        page.samples.keys().filter_map(|sample| sample.split_once('{')?.1.split('=').next()).collect();
    assert_eq!(labels, BTreeSet::from(["direction", "le", "state"]));
    assert_eq!(documented(), page.metrics);
}

/// Counts that don't depend on the machine; what a payment costs the core is in protocol/tests/costs.rs.
#[test]
fn a_payment_costs_one_exchange_and_three_commits() {
    const MANY: u32 = 20;
    let world = World::new();
    let ((alice, payer), (bob, payee)) = (with_metrics(&world, 1), with_metrics(&world, 2));
    alice.connect(&bob);
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    alice.wait_usable(channel);
    bob.wait_usable(channel);
    let counts = || {
        [payer, payee].map(|port| {
            let page = Page::of(port);
            let names = ["thunder_exchange_seconds_count", "thunder_disk_commit_seconds_count"];
            names.map(|name| page.value(name) as u32)
        })
    };
    alice.pay("0.01");
    // The opening's last commits come with the blocks.
    let mut before = counts();
    wait_for("nothing goes on any more", || std::mem::replace(&mut before, counts()) == before);
    for _ in 0..MANY {
        alice.pay("0.01");
    }
    let after = counts();
    let cost = |side: usize, what: usize| after[side][what] - before[side][what];
    assert_eq!((cost(0, 0), cost(1, 0)), (MANY, 0), "each goes out, and its answer is the receipt");
    assert!(cost(0, 1) <= 2 * MANY && cost(1, 1) <= MANY, "commits: {before:?}, then {after:?}");
}

/// The table of docs/reference/metrics.md: type and meaning.
fn documented() -> BTreeMap<String, (String, String)> {
    let page = std::fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `thunder_")?.strip_suffix(" |"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [name, kind, _, meaning] = cells[..] else { panic!("{row}") };
        (format!("thunder_{}", name.trim_end_matches('`')), (kind.to_owned(), meaning.to_owned()))
    })
    .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All names that begin with `thunder_` in a text.
fn names(text: &str) -> BTreeSet<String> {
    let parts = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    parts.filter(|part| part.starts_with("thunder_")).map(str::to_owned).collect()
}

#[test]
fn dashboard_and_alerts_use_metrics_that_there_are() {
    let documented = documented();
    for (file, is_whole) in [("deploy/grafana/thunder.json", true), ("deploy/prometheus/alerts.yml", false)] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let mut used = BTreeSet::new();
        for name in names(&text) {
            let base = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(documented.contains_key(base), "{file}: there is no {name}");
            assert_eq!(documented[base].0 == "histogram", name.ends_with("_bucket"), "{file}: {name}");
            used.insert(base.to_owned());
        }
        assert!(!is_whole || used.iter().eq(documented.keys()), "{file} leaves out a metric");
    }
    let dashboard = std::fs::read(root().join("deploy/grafana/thunder.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_slice(&dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{panel}");
    }
}

#[test]
fn a_node_is_ready_only_while_it_can_do_its_work() {
    let mut world = World::new();
    let port = thunder_deploy::ports::free().unwrap();
    let node = world.node_with(&["--metrics", &format!("127.0.0.1:{port}")]);
    assert_eq!(get(port, "/health"), (200, "ok\n".into()));
    wait_for("only the wallet is missing", || get(port, "/ready") == (503, "no wallet is loaded\n".into()));
    node.ok(&["importwallet", PHRASE]);
    wait_for("it is ready", || get(port, "/ready") == (200, "ok\n".into()));
    world.stop_chain();
    wait_for("it is not", || get(port, "/ready") == (503, "the chain is not reachable\n".into()));
    assert_eq!(Page::of(port).value("thunder_ready"), 0.0);
    assert_eq!(get(port, "/health").0, 200, "the node itself is well");
    // Bad questions are refused, and silence keeps nobody out.
    assert_eq!(get(port, "/").0, 404);
    assert_eq!(ask(port, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").0, 405);
    let _silent: Vec<_> = (0..10).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    assert_eq!(get(port, "/health").0, 200);
}

#[test]
fn a_web_page_can_not_read_it_by_a_name_of_its_own() {
    let world = World::bare();
    let port = thunder_deploy::ports::free().unwrap();
    let _node = world.node_with(&["--metrics", &format!("127.0.0.1:{port}")]);
    let by = |host: &str, path: &str| {
        ask(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    for path in ["/metrics", "/health", "/ready"] {
        let (status, body) = by(&format!("evil.example:{port}"), path);
        assert_eq!((status, body.lines().count()), (421, 1), "{path}: {body}");
        assert!(body.contains("IP address") && !body.contains("thunder_"), "{path}: {body}");
    }
    for host in ["127.0.0.1", &format!("localhost:{port}"), &format!("[::1]:{port}")] {
        assert_eq!(by(host, "/metrics").0, 200, "{host}");
    }
    assert_eq!(ask(port, "GET /health HTTP/1.0\r\n\r\n").0, 200, "without a host");
}

#[test]
fn a_restored_node_serves_its_metrics_again() {
    let world = World::new();
    let source = world.user(1);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup").to_str().unwrap().to_owned();
    source.ok(&["backup", &file]);
    let port = thunder_deploy::ports::free().unwrap();
    let node = world.node_with(&["--metrics", &format!("127.0.0.1:{port}")]);
    node.ok(&["restore", &file]);
    wait_for_the_node(&node, &source.peer_id());
    assert_eq!(get(port, "/health").0, 200);
}
