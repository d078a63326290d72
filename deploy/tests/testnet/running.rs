//! `thunder-deploy testnet`: a real anvil, and nothing of it afterwards.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{TIMEOUT, command, fail, testnet, until};
use alloy_primitives::{Address, address};
use serde_json::Value;
use thunder_chain::contracts::{TESTNET_OWNER, local_testnet_contracts};
use thunder_chain::{Amount, ChainClient};
use thunder_deploy::process::Process;
use thunder_deploy::{Error, Testnet, TestnetError, TestnetOptions};

const ALICE: Address = address!("00000000000000000000000000000000000a11ce");

fn every(block_time: Duration) -> TestnetOptions {
    TestnetOptions { block_time: Some(block_time), ..TestnetOptions::default() }
}

async fn height(testnet: &Testnet) -> u64 {
    testnet.chain().head().await.unwrap().number
}

/// The command and the object that it prints. It is asked to end when a test fails.
fn start(arguments: &[&str]) -> (Process, Value) {
    let mut command = command(&[&["testnet", "--json"], arguments].concat());
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()), TIMEOUT).unwrap();
    let mut line = String::new();
    BufReader::new(process.child().stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let answer = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (process, answer)
}

fn chain_at(answer: &Value) -> ChainClient {
    ChainClient::new(&answer["rpc"].as_str().unwrap().parse().unwrap(), local_testnet_contracts()).unwrap()
}

#[tokio::test]
async fn accounts_are_those_of_the_seed_phrase() {
    let testnet = testnet().await;
    let theirs = testnet.rpc("eth_accounts", Vec::<u8>::new()).await.unwrap();
    let ours: Vec<_> = testnet.accounts().unwrap().iter().map(|account| account.address).collect();
    assert_eq!(serde_json::from_value::<Vec<Address>>(theirs).unwrap(), ours);
    assert_eq!(ours[0], TESTNET_OWNER);
}

#[tokio::test]
async fn without_a_block_time_there_is_a_block_for_each_transaction_and_no_other() {
    let testnet = testnet().await;
    assert_eq!(height(&testnet).await, 0);
    testnet.give_thd(ALICE, Amount::ONE_THD).await.unwrap();
    assert_eq!(height(&testnet).await, 3, "THD, the factory, the minting");
}

#[tokio::test]
async fn with_a_block_time_transactions_do_not_wait_for_the_next_block() {
    let testnet = Testnet::start(every(Duration::from_secs(86_400))).await.unwrap();
    testnet.give_thd(ALICE, Amount::ONE_THD).await.unwrap();
    assert_eq!(height(&testnet).await, 3);
}

#[tokio::test]
async fn with_a_block_time_blocks_come_without_transactions() {
    let testnet = Testnet::start(every(Duration::from_millis(250))).await.unwrap();
    let before = height(&testnet).await;
    until("three empty blocks come", async || height(&testnet).await >= before + 3).await;
    testnet.give_thd(ALICE, Amount::ONE_THD).await.unwrap();
    let after = height(&testnet).await;
    until("and more after transactions", async || height(&testnet).await >= after + 3).await;
}

#[tokio::test]
async fn a_state_file_keeps_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let state = Some(folder.path().join("state.json"));
    let options = TestnetOptions { state, ..TestnetOptions::default() };
    let mut testnet = Testnet::start(options.clone()).await.unwrap();
    testnet.give_thd(ALICE, Amount::ONE_THD).await.unwrap();
    testnet.mine(5).await.unwrap();
    let (identity, head) = (testnet.chain().chain_identity().await.unwrap(), height(&testnet).await);
    let port = testnet.port();

    testnet.restart().await.unwrap();
    assert_eq!(testnet.port(), port);
    assert_eq!((testnet.chain().chain_identity().await.unwrap(), height(&testnet).await), (identity, head));
    testnet.stop().await.unwrap();
    assert!(testnet.chain().head().await.is_err());

    let other = Testnet::start(options).await.unwrap();
    assert_eq!((other.chain().chain_identity().await.unwrap(), height(&other).await), (identity, head));
    let deployed = other.deploy().await.unwrap();
    assert!(!deployed.new_token && !deployed.new_factory);
    other.give_thd(ALICE, Amount::ONE_THD).await.unwrap();
    assert_eq!(other.chain().thd_balance(ALICE).await.unwrap(), 2 * Amount::ONE_THD.base_units());
}

/// anvil makes a block 0 at each start and keeps it beside the one that was; which of them it takes the
/// next time is luck, unless they are alike. A node takes another block 0 for another chain.
#[tokio::test]
async fn a_state_file_never_has_two_beginnings() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let options = TestnetOptions { state: Some(state.clone()), ..TestnetOptions::default() };
    let mut testnet = Testnet::start(options).await.unwrap();
    testnet.mine(1).await.unwrap();
    let identity = testnet.chain().chain_identity().await.unwrap();
    for _ in 0..2 {
        testnet.stop().await.unwrap();
        let stopped = now();
        until("a second has passed", async || now() >= stopped + 2).await;
        testnet.restart().await.unwrap();
        let started = now();
        testnet.mine(1).await.unwrap();
        assert_eq!(testnet.chain().chain_identity().await.unwrap(), identity);
        let newest = testnet.rpc("eth_getBlockByNumber", ("latest", false)).await.unwrap();
        assert!(number(&newest["timestamp"]) + 1 >= started, "its clock is right: {newest}");
    }
    testnet.stop().await.unwrap();
    let kept: Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    let headers = kept["blocks"].as_array().unwrap().iter().map(|block| &block["header"]);
    let beginnings = headers.filter(|header| number(&header["number"]) == 0);
    let times: BTreeSet<_> = beginnings.map(|header| number(&header["timestamp"])).collect();
    assert_eq!(times.len(), 1, "{times:?}");
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn number(hex: &Value) -> u64 {
    u64::from_str_radix(hex.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test]
async fn a_dropped_testnet_keeps_its_state_too() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        TestnetOptions { state: Some(folder.path().join("state.json")), ..TestnetOptions::default() };
    let testnet = Testnet::start(options.clone()).await.unwrap();
    testnet.mine(7).await.unwrap();
    drop(testnet);
    assert_eq!(height(&Testnet::start(options).await.unwrap()).await, 7);
}

#[tokio::test]
async fn without_a_state_file_a_restart_is_another_chain() {
    let mut testnet = testnet().await;
    testnet.deploy().await.unwrap();
    // At once: it is another one also if it is started again in the same second.
    let mut identity = testnet.chain().chain_identity().await.unwrap();
    for _ in 0..3 {
        testnet.restart().await.unwrap();
        let another = testnet.chain().chain_identity().await.unwrap();
        assert_ne!(std::mem::replace(&mut identity, another), another);
    }
    assert_eq!(height(&testnet).await, 0);
    assert!(testnet.deploy().await.unwrap().new_token);
}

#[tokio::test]
async fn a_state_file_that_is_none_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    std::fs::write(&state, "not a state").unwrap();
    let options = TestnetOptions { state: Some(state), ..TestnetOptions::default() };
    match Testnet::start(options).await {
        Err(Error::Testnet(TestnetError::Ended { output })) => assert!(!output.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_port_in_use_is_said_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = fail(command(&["testnet", "--port", &port]), 1).await;
    assert!(said.contains(&format!("port {port} is in use")) && said.contains("--port"), "{said}");
}

#[tokio::test]
async fn a_wrong_anvil_is_said_so() {
    let mut command = command(&["testnet", "--port", "0"]);
    command.env("THUNDER_ANVIL", "no/such/anvil");
    let said = fail(command, 1).await;
    assert!(said.contains("no/such/anvil") && said.contains("THUNDER_ANVIL"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn asked_to_end_it_leaves_no_anvil_behind() {
    use rustix::process::{Pid, Signal, kill_process};

    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (mut process, answer) = start(&["--port", "0"]);
        assert_eq!(answer["token"], local_testnet_contracts().token.to_string());
        assert_eq!(answer["accounts"][0]["address"], TESTNET_OWNER.to_string());
        let chain = chain_at(&answer);
        chain.require_contracts().await.unwrap();
        kill_process(Pid::from_child(process.child()), signal).unwrap();
        let status = tokio::time::timeout(TIMEOUT, process.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{signal:?}: {status}");
        // anvil holds the port as long as it lives.
        let port = u16::try_from(answer["port"].as_u64().unwrap()).unwrap();
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn g7_output_that_is_closed_or_not_read_neither_ends_nor_blocks_it() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::Write;

    for is_closed in [true, false] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        // As much as a pipe holds on Linux.
        writer.write_all(&[b' '; 1 << 16]).unwrap();
        let reader = Some(reader).filter(|_| !is_closed);
        let port = thunder_deploy::ports::free().unwrap();
        let mut command = command(&["testnet", "--port", &port.to_string()]);
        let mut process = Process::spawn(command.stdout(writer).stderr(Stdio::null()), TIMEOUT).unwrap();
        let rpc = format!("127.0.0.1:{port}").parse().unwrap();
        let chain = ChainClient::new(&rpc, local_testnet_contracts()).unwrap();
        until("both contracts are there", async || chain.require_contracts().await.is_ok()).await;
        kill_process(Pid::from_child(process.child()), Signal::TERM).unwrap();
        let status = tokio::time::timeout(TIMEOUT, process.wait()).await.unwrap().unwrap();
        assert!(status.success(), "closed {is_closed}: {status}");
        drop(reader);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn asked_to_end_it_writes_its_state() {
    use rustix::process::{Pid, Signal, kill_process};

    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let arguments = ["--port", "0", "--block-time", "0", "--state", state.to_str().unwrap()];
    let mut blocks = Vec::new();
    for _ in 0..2 {
        let (mut process, answer) = start(&arguments);
        blocks.push(chain_at(&answer).head().await.unwrap().number);
        kill_process(Pid::from_child(process.child()), Signal::TERM).unwrap();
        tokio::time::timeout(TIMEOUT, process.wait()).await.unwrap().unwrap();
    }
    assert_eq!(blocks, [2, 2], "deployed once");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_anvil_that_dies_is_said_so() {
    use rustix::process::{Pid, Signal, kill_process};

    let (mut process, _) = start(&["--port", "0"]);
    let id = process.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let anvil = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    kill_process(anvil, Signal::KILL).unwrap();
    let status = tokio::time::timeout(TIMEOUT, process.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
}
