//! Every refusal that a user can run into, with message and exit code.

use super::harness::*;

#[test]
fn without_a_wallet() {
    let world = World::new();
    let (node, other) = (world.node(), world.user(2));
    for command in [
        &["balance"][..],
        &["connect", &other.address()],
        &["openchannel"],
        &["fund"],
        &["pay", "1"],
        &["closechannel"],
        &["challenge"],
        &["withdraw"],
        &["cancel"],
    ] {
        let refused = node.refused(command, 1, "no_wallet");
        assert!(refused["hint"].as_str().unwrap().contains("importwallet"), "{command:?}");
    }
    // The other side has none.
    let refused = other.refused(&["connect", &node.address()], 1, "peer_refused");
    assert!(refused["message"].as_str().unwrap().contains("no wallet"));
}

#[test]
fn without_a_daemon() {
    let world = World::bare();
    let mut node = world.node();
    node.kill();
    for command in [&["infos"][..], &["pay", "1"], &["balance"], &["watch"]] {
        let refused = node.refused(command, 3, "no_daemon");
        assert!(refused["hint"].as_str().unwrap().contains("thunderd --port"));
    }
}

#[test]
fn without_money() {
    let world = World::new();
    let (alice, bob) = world.pair();
    let refused = alice.refused(&["openchannel", "100.000000000000000001"], 1, "insufficient_thd");
    assert!(refused["hint"].as_str().unwrap().contains("thunder-deploy thd --to"));
    assert!(refused["hint"].as_str().unwrap().ends_with(" --amount 0.000000000000000001"), "{refused}");
    assert!(alice.infos()["channels"].as_array().unwrap().is_empty(), "nobody was asked");
    alice.refused(&["openchannel", "0"], 1, "zero_amount");
    alice.refused(&["openchannel", "5", "--deposit", "6"], 1, "amount_out_of_range");
    let channel = address(&alice.ok(&["openchannel", "10"])["channel"]);
    bob.wait_usable(channel);

    world.run(world.testnet.set_eth(bob.wallet(), 0)).unwrap();
    assert_eq!(bob.ok(&["balance"])["eth"], "0");
    for command in [&["openchannel", "10"][..], &["closechannel"]] {
        let refused = bob.refused(command, 1, "insufficient_eth");
        assert!(refused["hint"].as_str().unwrap().contains("ether"), "{command:?}");
    }
    assert_eq!(bob.channel(channel)["next"][0], "closechannel", "closing was not begun");
    alice.pay("1");
}

#[test]
fn amounts_that_are_none() {
    let world = World::new();
    let (alice, _bob, channel) = world.channel();
    alice.refused(&["pay", "0"], 1, "zero_amount");
    let negative = alice.refused(&["pay", "-1"], 2, "invalid_amount");
    assert!(negative["message"].as_str().unwrap().contains("negative"));
    let precise = alice.refused(&["pay", "0.0000000000000000001"], 2, "invalid_amount");
    assert!(precise["message"].as_str().unwrap().contains("18"));
    for text in ["abc", "1e3", "1,5", "", ".", "1."] {
        alice.refused(&["pay", text], 2, "invalid_amount");
    }
    let too_much = alice.refused(&["pay", "10.5"], 1, "insufficient_balance");
    assert!(too_much["message"].as_str().unwrap().contains("10 THD left"));
    assert_eq!(alice.channel(channel)["nonce"], 0);
}

#[test]
fn without_a_channel() {
    let world = World::new();
    let (alice, bob) = world.pair();
    for command in [
        &["pay", "1"][..],
        &["closechannel"],
        &["withdraw"],
        &["challenge"],
        &["cancel"],
        &["fund"],
        &["receipts"],
    ] {
        alice.refused(command, 1, "no_channel");
    }
    assert!(alice.history().is_empty());
    alice.ok(&["openchannel", "10"]);
    alice.refused(&["pay", "1", "--channel", "0xdead"], 1, "no_channel");
    alice.refused(&["pay", "1", "--peer", &alice.wallet().to_string()], 1, "no_channel");
    alice.refused(&["openchannel", "--peer", "nobody"], 5, "peer_not_connected");
    // A node where a channel is expected, and the reverse.
    let (channel, wallet) = (alice.infos()["channels"][0]["channel"].clone(), bob.wallet().to_string());
    let channel = channel.as_str().unwrap();
    let refused = alice.refused(&["pay", "1", "--channel", &wallet], 1, "no_channel");
    assert!(refused["message"].as_str().unwrap().contains("a node and not a channel"), "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains(&format!("--peer {wallet}")), "{refused}");
    let refused = alice.refused(&["pay", "1", "--peer", channel], 1, "no_channel");
    assert!(refused["message"].as_str().unwrap().contains("a channel and not a node"), "{refused}");
    let refused = alice.refused(&["openchannel", "--peer", channel], 5, "peer_not_connected");
    assert!(refused["message"].as_str().unwrap().contains("a channel and not a node"), "{refused}");
}

#[test]
fn peers_that_are_not_there() {
    let world = World::new();
    let alice = world.user(1);
    alice.refused(&["openchannel"], 5, "peer_not_connected");
    let nobody = format!("127.0.0.1:{}", thunder_deploy::ports::free().unwrap());
    let refused = alice.refused(&["connect", &nobody], 5, "peer_unreachable");
    assert!(refused["message"].as_str().unwrap().contains("refused"), "{refused}");
    alice.refused(&["connect", "no.such.host.invalid:2001"], 5, "peer_unreachable");
    alice.refused(&["connect", "nonsense"], 2, "invalid_address");
    let refused = alice.refused(&["connect", "::1:2002"], 2, "invalid_address");
    assert!(refused["hint"].as_str().unwrap().contains(" connect [::1]:2002"), "{refused}");
    let own = alice.refused(&["connect", &alice.address()], 5, "peer_unreachable");
    assert!(own["message"].as_str().unwrap().contains("this node itself"), "{own}");
    let bob = world.user(2);
    let other_id = alice.peer_id();
    let wrong = format!("/ip4/127.0.0.1/tcp/{}/p2p/{other_id}", bob.port);
    assert_eq!(bob.refused(&["connect", &wrong], 5, "peer_unreachable")["code"], "peer_unreachable");
}

#[test]
fn addresses_in_every_form_connect() {
    let world = World::new();
    let (alice, bob) = (world.user(1), world.user(2));
    let (port, id) = (bob.port, bob.peer_id());
    let forms = [
        format!("localhost:{port}"),
        format!("/ip4/127.0.0.1/tcp/{port}"),
        format!("/ip4/127.0.0.1/tcp/{port}/p2p/{id}"),
        format!("/ip4/127.0.0.1/udp/{port}/quic-v1"),
        format!("/dns4/localhost/tcp/{port}"),
    ];
    for form in forms {
        assert_eq!(alice.ok(&["connect", &form])["peer_id"], id, "{form}");
    }
}

#[test]
fn without_a_chain() {
    let mut world = World::new();
    let (alice, _bob, channel) = world.channel();
    world.stop_chain();
    wait_for("the node notices", || alice.infos()["chain"]["connected"] == false);
    for command in [["openchannel"], ["closechannel"]] {
        let refused = alice.refused(&command, 4, "chain_unreachable");
        assert!(refused["hint"].as_str().unwrap().contains("RPC"), "{command:?}: {refused}");
    }
    let balance = alice.ok(&["balance"]);
    assert_eq!(balance["channel"], "10", "the shares are known");
    for unknown in ["total", "wallet", "eth"] {
        assert!(balance[unknown].is_null(), "{balance}");
    }
    let warnings = balance["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning.as_str().unwrap().contains("not known")), "{balance}");
    assert!(
        alice.infos()["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|warning| warning.as_str().unwrap().contains("can't be reached"))
    );
    assert_eq!(alice.channel(channel)["state"], "ACTIVE", "closing was not begun");
    // Payments need no chain for a while.
    alice.pay("1");
}

#[test]
fn a_node_starts_and_stays_up_without_a_chain() {
    let mut world = World::new();
    world.stop_chain();
    let node = world.node();
    assert_eq!(node.infos()["chain"]["connected"], false);
    node.ok(&["importwallet", PHRASE, "--index", "1"]);
    node.refused(&["balance"], 4, "chain_unreachable");
    node.refused(&["connect", "127.0.0.1:1"], 4, "chain_unreachable");
    world.restart_chain();
    wait_for("the node finds the chain", || node.infos()["chain"]["connected"] == true);
}

#[test]
fn without_contracts() {
    let world = World::bare();
    let (alice, bob) = (world.node(), world.node());
    alice.ok(&["importwallet", PHRASE, "--index", "1"]);
    bob.ok(&["importwallet", PHRASE, "--index", "2"]);
    let refused = alice.refused(&["balance"], 4, "contracts_missing");
    assert!(refused["hint"].as_str().unwrap().contains("thunder-deploy thd"));
    world.run(world.testnet.deploy()).unwrap();
    world.give_thd(alice.wallet(), "100");
    wait_for("the contracts are found", || alice.output(&["balance"]).status.success());
    wait_for("and used", || alice.output(&["connect", &bob.address()]).status.success());
    wait_for("by both", || alice.output(&["openchannel"]).status.success());
}

#[test]
fn a_token_with_other_decimals_is_refused_with_the_reason() {
    let world = World::new();
    let token = "0x00000000000000000000000000000000000006dE";
    // It answers 6 to every question.
    world.rpc("anvil_setCode", serde_json::json!([token, "0x600660005260206000f3"]));
    let alice = world.node_with(&["--token", token]);
    alice.ok(&["importwallet", PHRASE, "--index", "1"]);
    let refused = alice.refused(&["openchannel"], 4, "contracts_missing");
    assert!(refused["message"].as_str().unwrap().contains("has 6 decimals"), "{refused}");
    alice.wait_logged("has 6 decimals");
}

#[test]
fn another_factory_or_token_is_no_partner() {
    let world = World::new();
    let alice = world.user(1);
    let elsewhere = "0x00000000000000000000000000000000000000aa";
    let bob = world.node_with(&["--factory", elsewhere]);
    bob.ok(&["importwallet", PHRASE, "--index", "2"]);
    bob.refused(&["openchannel"], 4, "contracts_missing");
    alice.connect(&bob);
    let refused = alice.refused(&["openchannel"], 1, "peer_refused");
    assert!(!refused["message"].as_str().unwrap().is_empty());
    assert_eq!(alice.purse(), thd("100"));
}

#[test]
fn a_second_daemon_is_refused_with_a_reason() {
    let world = World::bare();
    let node = world.node();
    let fails = |command: &mut std::process::Command, expected: &str| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = text(&output.stderr);
        assert!(message.contains(expected), "{message}");
    };
    fails(&mut node.thunderd(), "port");
    let mut elsewhere = world.node();
    elsewhere.kill();
    // The same data directory, another port.
    let mut command = elsewhere.thunderd();
    command.args(["--data-dir"]).arg(node.data.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "given twice: {}", text(&output.stderr));
    let mut same_data = world.node();
    same_data.kill();
    std::mem::swap(&mut same_data.data, &mut elsewhere.data);
    let held = std::fs::File::create(same_data.data.path().join("thunderd.lock")).unwrap();
    fs4::FileExt::lock(&held).unwrap();
    fails(&mut same_data.thunderd(), "another thunderd is using the data directory");
}
