//! `thunder-deploy thd` and `mine` on a real testnet.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{command, fail, json, rpc, run, succeed, testnet};
use alloy_primitives::{Address, address};
use serde_json::json;
use thunder_chain::Amount;
use thunder_chain::contracts::{CREATE2_DEPLOYER, TESTNET_OWNER, local_testnet_contracts};
use thunder_deploy::process::Process;
use thunder_deploy::{DevelopmentAccount, Testnet, ports};

/// Somebody who has nothing.
const ALICE: Address = address!("00000000000000000000000000000000000a11ce");
const BOB: Address = address!("0000000000000000000000000000000000000b0b");

async fn thd(testnet: &Testnet, to: Address, amount: &str) -> serde_json::Value {
    json(testnet, &["thd", "--to", &to.to_string(), "--amount", amount]).await
}

#[tokio::test]
async fn thd_and_the_factory_are_where_every_node_looks_for_them() {
    let testnet = testnet().await;
    let contracts = local_testnet_contracts();
    let answer = json(&testnet, &["thd", "--to", &ALICE.to_string()]).await;
    assert_eq!(answer["token"], contracts.token.to_string());
    assert_eq!(answer["factory"], contracts.factory.to_string());
    assert_eq!((&answer["token_deployed"], &answer["factory_deployed"]), (&json!(true), &json!(true)));
    assert_eq!(answer["thd"], "100");

    let chain = testnet.chain();
    let template = contracts.template();
    for place in [contracts.token, contracts.factory, template] {
        assert!(!chain.code(place).await.unwrap().is_empty(), "{place}");
    }
    // owner()
    let call = json!([{ "to": contracts.token, "data": "0x8da5cb5b" }, "latest"]);
    let owner = testnet.rpc("eth_call", call).await.unwrap();
    assert_eq!(owner, TESTNET_OWNER.into_word().to_string());
}

#[tokio::test]
async fn the_library_deploys_the_same() {
    let testnet = testnet().await;
    let first = testnet.deploy().await.unwrap();
    assert_eq!(first.contracts, local_testnet_contracts());
    assert!(first.new_token && first.new_factory);
    let again = testnet.deploy().await.unwrap();
    assert!(!again.new_token && !again.new_factory);
    let answer = thd(&testnet, ALICE, "1").await;
    assert_eq!((&answer["token_deployed"], &answer["factory_deployed"]), (&json!(false), &json!(false)));
    testnet.give_thd(ALICE, "2.5".parse().unwrap()).await.unwrap();
    assert_eq!(testnet.chain().thd_balance(ALICE).await.unwrap(), 3_500_000_000_000_000_000);
}

#[tokio::test]
async fn amounts_are_exact_and_add_up() {
    let testnet = testnet().await;
    assert_eq!(thd(&testnet, ALICE, "100").await["thd"], "100");
    assert_eq!(thd(&testnet, ALICE, "0.000000000000000001").await["thd"], "100.000000000000000001");
    assert_eq!(thd(&testnet, ALICE, "0.1").await["thd"], "100.100000000000000001");
    let most = "309485009.821345068724781055";
    assert_eq!(thd(&testnet, BOB, most).await["thd"], most);
}

#[tokio::test]
async fn many_at_once_get_in_each_others_way_and_all_succeed() {
    // They all make the same transactions at the same moment, each of which must count.
    let testnet = testnet().await;
    let mut sum = 0;
    for round in 0..3 {
        let answers = futures_of((0..4).map(|_| thd(&testnet, ALICE, "25"))).await;
        let deployed = answers.iter().filter(|answer| answer["token_deployed"] == true).count();
        assert_eq!(deployed, usize::from(round == 0), "{answers:?}");
        sum += 4 * 25;
        let credited = testnet.chain().thd_balance(ALICE).await.unwrap();
        assert_eq!(credited, sum * Amount::ONE_THD.base_units(), "{answers:?}");
    }
}

/// Runs all of them at the same time.
async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut running {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        let is_done = running.iter().all(|(_, output)| output.is_some());
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn ether_for_gas_goes_only_to_whoever_has_none() {
    let testnet = testnet().await;
    let answer = thd(&testnet, ALICE, "1").await;
    assert_eq!((&answer["eth"], &answer["eth_given"]), (&json!("10"), &json!("10")));
    let again = thd(&testnet, ALICE, "1").await;
    assert_eq!((&again["eth"], &again["eth_given"]), (&json!("10"), &json!(null)));
    testnet.set_eth(BOB, 1).await.unwrap();
    let little = thd(&testnet, BOB, "1").await;
    assert_eq!((&little["eth"], &little["eth_given"]), (&json!("0.000000000000000001"), &json!(null)));
}

#[tokio::test]
async fn an_owner_without_ether_is_given_some() {
    let testnet = testnet().await;
    testnet.set_eth(TESTNET_OWNER, 0).await.unwrap();
    assert_eq!(thd(&testnet, ALICE, "1").await["thd"], "1");
}

#[tokio::test]
async fn a_testnet_without_the_create2_deployer_gets_it() {
    let testnet = testnet().await;
    testnet.rpc("anvil_setCode", json!([CREATE2_DEPLOYER, "0x"])).await.unwrap();
    testnet.rpc("anvil_setNonce", json!([CREATE2_DEPLOYER, "0x0"])).await.unwrap();
    assert!(testnet.chain().code(CREATE2_DEPLOYER).await.unwrap().is_empty());
    assert_eq!(thd(&testnet, ALICE, "1").await["token"], local_testnet_contracts().token.to_string());
    assert_eq!(testnet.chain().code(CREATE2_DEPLOYER).await.unwrap().len(), 69);
}

/// anvil with the opcodes of an upgrade, and where it listens.
async fn anvil_with(upgrade: &str) -> (Process, String) {
    let mut command = Command::new(thunder_deploy::tools::anvil().await.unwrap());
    command.args(["--port", "0", "--hardfork", upgrade]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::spawn(command.stdout(Stdio::piped()), Duration::ZERO).unwrap();
    let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.strip_prefix("Listening on ")?.to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    (process, address.unwrap())
}

#[tokio::test]
async fn a_chain_without_the_opcodes_of_the_contracts_is_said_so() {
    for (hardfork, opcode) in
        [("london", "PUSH0 (EIP-3855)"), ("paris", "PUSH0 (EIP-3855)"), ("shanghai", "MCOPY (EIP-5656)")]
    {
        let (_anvil, rpc) = anvil_with(hardfork).await;
        let alice = ALICE.to_string();
        let thd = &["thd", "--to", &alice, "--RPC", &rpc][..];
        let said = fail(command(thd), 4).await;
        assert!(said.contains(opcode) && said.contains("Cancun"), "{hardfork}: {said}");
        let answer = run(command(&[thd, &["--json"]].concat())).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(answer["error"]["code"], "chain_too_old", "{hardfork}: {answer}");
    }
    let (_anvil, rpc) = anvil_with("cancun").await;
    succeed(command(&["thd", "--json", "--to", &ALICE.to_string(), "--RPC", &rpc])).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_wrong_usage() {
    let alice = ALICE.to_string();
    let mistyped = "0x70997970C51812dc3A010C7d01b50e0d17Dc79C8";
    for arguments in [
        &["thd"][..],
        &["thd", "--to", "0x12"],
        &["thd", "--to", "alice"],
        &["thd", "--to", mistyped],
        &["thd", "--to", &alice, "--amount", "ten"],
        &["thd", "--to", &alice, "--amount", "-1"],
        &["thd", "--to", &alice, "--amount", "0"],
        &["thd", "--to", &alice, "--amount", "0.0000000000000000001"],
        &["thd", "--to", &alice, "--amount", "309485009.821345068724781056"],
        &["thd", "--to", &alice, "--key", "12"],
        &["mine"],
        &["mine", "0"],
        &["mine", "-3"],
        &["frobnicate"],
    ] {
        let said = fail(command(arguments), 2).await;
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
    let output = run(command(&["thd", "--to", "0x12", "--json"])).await;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["error"]["code"], "invalid_address");
}

#[tokio::test]
async fn a_key_on_the_command_line_is_not_repeated() {
    let said = fail(command(&["thd", "--to", &ALICE.to_string(), "--key", "c0ffee"]), 2).await;
    assert!(!said.contains("c0ffee"), "{said}");
}

#[tokio::test]
async fn a_chain_out_of_reach_is_said_so() {
    let nobody = format!("127.0.0.1:{}", ports::free().unwrap());
    for arguments in [&["thd", "--to", &ALICE.to_string()][..], &["mine", "1"]] {
        let said = fail(command(&[arguments, &["--RPC", &nobody]].concat()), 4).await;
        assert!(said.contains("thunder-deploy testnet"), "{said}");
    }
    let mut with_variable = command(&["mine", "1", "--json"]);
    with_variable.env("THUNDER_RPC", &nobody);
    let output = run(with_variable).await;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["error"]["code"], "chain_unreachable");
}

#[tokio::test]
async fn a_system_without_certificate_authorities_will_do_for_http() {
    let testnet = testnet().await;
    let nothing = tempfile::tempdir().unwrap();
    let mut mine = command(&["mine", "1", "--json", "--RPC", &rpc(&testnet)]);
    mine.env("SSL_CERT_FILE", nothing.path().join("none")).env("SSL_CERT_DIR", nothing.path());
    let output = run(mine).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn blocks_are_mined_to_order() {
    let testnet = testnet().await;
    let before = testnet.chain().head().await.unwrap().number;
    let answer = json(&testnet, &["mine", "24"]).await;
    assert_eq!(answer, json!({ "mined": 24, "block": before + 24 }));
    testnet.mine(1_500).await.unwrap();
    assert_eq!(testnet.chain().head().await.unwrap().number, before + 1_524);
}

#[tokio::test]
async fn on_another_chain_the_owner_is_who_has_the_key() {
    let testnet = testnet().await;
    testnet.rpc("anvil_setChainId", json!([4242])).await.unwrap();
    let rpc = rpc(&testnet);
    let alice = ALICE.to_string();
    let words = ["thd", "--to", &alice, "--RPC", &rpc];

    let said = fail(command(&words), 2).await;
    assert!(said.contains("--keyfile") && said.contains("THUNDER_DEPLOY_KEY"), "{said}");
    fail(command(&["mine", "1", "--RPC", &rpc]), 1).await;

    let owner = DevelopmentAccount::new(3).unwrap();
    let key = alloy_primitives::hex::encode(owner.key.expose().as_slice());
    let mut with_variable = command(&words);
    with_variable.env("THUNDER_DEPLOY_KEY", &key);
    let said = String::from_utf8(run(with_variable).await.stdout).unwrap();
    assert!(
        said.contains("100 THD") && said.contains("--token 0x") && said.contains("--factory 0x"),
        "{said}"
    );

    let by_flag = succeed(command(&[&words[..], &["--json", "--key", &key]].concat())).await;
    assert_ne!(by_flag["token"], local_testnet_contracts().token.to_string());
    assert_eq!((&by_flag["thd"], &by_flag["eth"]), (&json!("200"), &json!("0")), "no ether from nowhere");
    assert!(said.contains(by_flag["token"].as_str().unwrap()), "the same THD");

    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "correct horse\n").unwrap();
    let keyfile = folder.path().join("key.json");
    std::fs::write(&keyfile, include_str!("../data/keyfile.json")).unwrap();
    let keyfile = ["--json", "--keyfile", keyfile.to_str().unwrap()];
    let with_file = ["--password-file", password.to_str().unwrap()];
    let by_file = succeed(command(&[&words[..], &keyfile, &with_file].concat())).await;
    assert_eq!((&by_file["thd"], &by_file["token"]), (&json!("300"), &by_flag["token"]));

    fail(command(&[&words[..], &keyfile].concat()), 2).await;
    std::fs::write(&password, "wrong").unwrap();
    fail(command(&[&words[..], &keyfile, &with_file].concat()), 1).await;
}
