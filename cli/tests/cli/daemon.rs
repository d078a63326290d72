//! What `thunder-cli` asks of thunderd, and what it makes of the answers.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};
use thunder_api::Code;

use crate::common::{Ran, run, run_with_input};
use crate::scripted::{CHANNEL, LONG, Mood, Scripted, all, exported, payment, peer};

const REPEAT: &str = "repeat the payment with the same id, which pays once: --id ";

fn call(mood: Mood, arguments: &[&str]) -> (Ran, Vec<Value>) {
    let node = Scripted::start(mood);
    let ran = run(&mut node.cli(arguments));
    (ran, node.asked())
}

/// The call of `history` with these filters.
fn listed(filters: Value) -> Value {
    let mut request = json!({"channel": {"channel": null, "peer": null}});
    for field in ["after", "before", "since", "until", "id", "direction", "limit"] {
        request[field] = filters[field].clone();
    }
    json!(["history", request])
}

#[test]
fn each_command_makes_its_call() {
    let nobody = json!({"channel": null, "peer": null});
    let both = json!({"channel": "0xcc", "peer": "12D3"});
    let which = ["--channel", "0xcc", "--peer", "12D3"];
    let node = Scripted::start(Mood::Willing);
    for (arguments, asked) in [
        (vec!["balance"], json!(["balance", null])),
        (vec!["connect", "host:2002"], json!(["connect", "host:2002"])),
        (
            vec!["openchannel"],
            json!(["open_channel", {"amount": "10", "deposit": null, "peer": null, "accept_short_period": false}]),
        ),
        (
            vec!["openchannel", "2.50", "--deposit", "1", "--peer", "12D3"],
            json!(["open_channel", {"amount": "2.5", "deposit": "1", "peer": "12D3", "accept_short_period": false}]),
        ),
        (vec!["fund"], json!(["fund", {"channel": nobody, "amount": null}])),
        ([&["fund", "0"], &which[..]].concat(), json!(["fund", {"channel": both, "amount": "0"}])),
        (
            vec!["closechannel"],
            json!(["close_channel", {"channel": nobody, "mode": "Alone", "confirmed": false}]),
        ),
        (
            vec!["closechannel", "--yes"],
            json!(["close_channel", {"channel": nobody, "mode": "Alone", "confirmed": true}]),
        ),
        (
            [&["closechannel", "--cooperative"], &which[..]].concat(),
            json!(["close_channel", {"channel": both, "mode": "Cooperative", "confirmed": false}]),
        ),
        (vec!["withdraw"], json!(["withdraw", nobody])),
        ([&["challenge"], &which[..]].concat(), json!(["challenge", both])),
        ([&["cancel"], &which[..]].concat(), json!(["cancel", both])),
        (vec!["history"], listed(json!({"limit": 20}))),
        (vec!["history", "--limit", "5", "--after", "3"], listed(json!({"limit": 5, "after": 3}))),
        (
            vec!["history", "--direction", "in", "--id", "x"],
            listed(json!({"limit": 20, "direction": "in", "id": "x"})),
        ),
        ([&["receipts"], &which[..]].concat(), json!(["receipts", both])),
        (vec!["backup", "/at/it"], json!(["backup", {"file": "/at/it", "force": false}])),
        (vec!["backup", "/at/it", "--force"], json!(["backup", {"file": "/at/it", "force": true}])),
        (vec!["restore", "/at/it"], json!(["restore", {"file": "/at/it", "unsigned": false}])),
    ] {
        let human = run(&mut node.cli(&arguments));
        assert_eq!((human.code, human.err.as_str()), (0, ""), "{arguments:?}");
        assert!(!human.out.is_empty() && !human.out.contains('\u{1b}'), "{}", human.out);
        assert_eq!(node.asked(), [asked], "{arguments:?}");
        let ran = run(node.cli(&arguments).env("THUNDER_JSON", "true"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        assert!(ran.json().is_object());
        node.asked();
    }
}

/// Rule 9: what nobody has signed is restored with a warning only.
#[test]
fn an_unsigned_backup_draws_a_warning() {
    let (ran, asked) = call(Mood::Willing, &["restore", "/at/it", "--unsigned"]);
    assert_eq!(asked, [json!(["restore", {"file": "/at/it", "unsigned": true}])]);
    assert_eq!(ran.code, 0);
    assert!(ran.err.starts_with("warning: nobody has signed this backup"), "{}", ran.err);
}

#[test]
fn no_command_is_infos_and_the_answer_is_the_apis() {
    for arguments in [&["--json"][..], &["infos", "--json"], &["--json", "infos"]] {
        let (ran, asked) = call(Mood::Willing, arguments);
        assert_eq!(ran.code, 0);
        assert_eq!(ran.json(), serde_json::to_value(all()).unwrap());
        assert_eq!(asked[0][0], "infos");
    }
}

#[test]
fn the_user_decides_how_long_to_wait_and_not_tarpc() {
    for arguments in [&["infos"][..], &["--timeout", "600"]] {
        let (_, asked) = call(Mood::Willing, arguments);
        assert!(asked[0][1].as_u64().unwrap() > LONG.as_secs(), "{asked:?}");
    }
}

#[test]
fn a_wallet_reaches_the_node_whichever_way_it_comes() {
    let node = Scripted::start(Mood::Willing);
    let path = "m/44'/60'/0'/0/0";
    let phrase = |phrase: &str, path: &str| json!(["import_wallet", [{"Phrase": {"phrase": phrase, "path": path}}, true]]);
    for (arguments, input, asked) in [
        (&["importwallet", "a b c"][..], "", phrase("a b c", path)),
        (&["importwallet", "a", "b", "c"], "", phrase("a b c", path)),
        (&["importwallet", "-"], "a b c\r\n", phrase("a b c", path)),
        (&["importwallet", "-", "--index", "7"], "a b", phrase("a b", "m/44'/60'/0'/0/7")),
        (&["importwallet", "-", "--path", "m/1'/2"], "a b", phrase("a b", "m/1'/2")),
    ] {
        let mut command = node.cli(&[&["--json"], arguments].concat());
        let ran = if input.is_empty() { run(&mut command) } else { run_with_input(&mut command, input) };
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "no warning with --json: {arguments:?}");
        assert_eq!(ran.json(), json!({"address": CHANNEL.to_string()}));
        assert_eq!(node.asked(), [asked]);
    }
    let at = |name: &str, content: &str| {
        let path = node.directory().join(name);
        std::fs::write(&path, content).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Others may not read it: there is nothing to warn of.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        path.to_str().unwrap().to_owned()
    };
    let (key, password) = (at("key.json", "{\"version\":3}\n"), at("password", "pass word \n"));
    let ran = run(&mut node.cli(&["importwallet", "--keyfile", &key, "--password-file", &password]));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let source = json!({"Keyfile": {"json": "{\"version\":3}", "password": "pass word "}});
    assert_eq!(node.asked(), [json!(["import_wallet", [source, true]])]);
    let passphrase = at("passphrase", " pass phrase \n");
    let ran = run_with_input(
        &mut node.cli(&["importwallet", "-", "--passphrase-file", &passphrase, "--yes"]),
        "a b",
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let source = json!({"Phrase": {"phrase": "a b", "passphrase": " pass phrase ", "path": path}});
    assert_eq!(node.asked(), [json!(["import_wallet", [source, true]])]);
}

/// Programs are told which wallet is gone, and not asked; `newwallet` replaces one only with --yes.
#[test]
fn without_a_terminal_importwallet_replaces_and_says_so_and_newwallet_does_not() {
    let node = Scripted::start(Mood::Full);
    let ran = run_with_input(&mut node.cli(&["importwallet", "-"]), "a b");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("it replaced 0xDDdDddDdDdddDDddDDddDDDDdDdDDdDDdDDDDDDd"), "{}", ran.err);
    let ran = run_with_input(&mut node.cli(&["--json", "importwallet", "-"]), "a b");
    assert_eq!((&ran.json()["address"], ran.err.as_str()), (&json!(CHANNEL.to_string()), ""));
    assert!(ran.json()["replaced"].as_str().unwrap().starts_with("0xDD"), "{ran:?}");
    node.asked();

    let ran = run(&mut node.cli(&["--json", "newwallet", "--words", "24"]));
    assert_eq!(ran.json()["phrase"].as_str().unwrap().split(' ').count(), 24);
    assert_eq!(ran.json()["address"], CHANNEL.to_string());
    let asked = node.asked();
    assert_eq!((&asked[0], &asked[1][0]), (&json!(["new_phrase", [24, false]]), &json!("import_wallet")));
    assert_eq!(asked[1][1][1], false, "{asked:?}");
    let ran = run(&mut node.cli(&["newwallet", "--yes"]));
    assert!(ran.out.contains("  12 abandon") && ran.out.contains("is loaded"), "{}", ran.out);
    assert!(ran.err.contains("it replaced 0xDD"), "{}", ran.err);
    assert_eq!(node.asked()[0], json!(["new_phrase", [12, true]]));

    let refusing = Scripted::start(Mood::Refusing(Code::WalletExists));
    let ran = run(&mut refusing.cli(&["--json", "newwallet"]));
    assert_eq!((ran.code, &ran.json()["error"]["code"]), (1, &json!("wallet_exists")));
    assert_eq!(refusing.asked().len(), 1, "nothing is imported");
}

#[test]
fn a_payment_carries_the_users_id_or_one_of_its_own() {
    let node = Scripted::start(Mood::Willing);
    let ran = run(&mut node.cli(&["--json", "pay", "1.25", "--id", "order-1", "--memo", "-- für Kaffee"]));
    assert_eq!(ran.json()["id"], "order-1");
    let order = json!({"amount": "1.25", "memo": "-- für Kaffee", "id": "order-1"});
    assert_eq!(node.asked()[0][1]["payment"], order);
    let mut ids: Vec<_> = (0..2)
        .map(|_| run(&mut node.cli(&["--json", "pay", "1"])).json()["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

#[test]
fn no_answer_in_time_ends_with_6_and_names_the_payments_id() {
    let (ran, asked) = call(Mood::Silent, &["--json", "--timeout", "1", "pay", "1"]);
    assert_eq!(ran.code, 6);
    let id = asked[0][1]["payment"]["id"].as_str().unwrap();
    let error = &ran.json()["error"];
    assert_eq!(error["code"], "timeout");
    assert_eq!(error["message"], "no answer within 1 s; the outcome is unknown");
    assert!(error["hint"].as_str().unwrap().starts_with(&format!("{REPEAT}{id}; or look at")), "{error}");
    assert!(ran.err.contains(&format!("hint: {REPEAT}{id}")), "{}", ran.err);

    let (ran, _) = call(Mood::Silent, &["--timeout", "1", "openchannel"]);
    assert_eq!((ran.code, ran.out.as_str()), (6, ""));
    assert!(
        ran.err.contains("hint: look at `thunder-cli --port 61999 infos` before you repeat it"),
        "{}",
        ran.err
    );

    let (ran, _) = call(Mood::Silent, &["--timeout", "1", "balance"]);
    assert_eq!(ran.code, 6);
    assert!(!ran.err.contains("outcome"), "nothing was to come out: {}", ran.err);
}

#[test]
fn a_lost_connection_ends_with_6_only_if_something_may_have_changed() {
    let lost = "the connection to thunderd on port 61999 was lost";
    let (ran, _) = call(Mood::Dying, &["pay", "1", "--id", "order-1"]);
    assert_eq!(ran.code, 6);
    assert!(ran.err.starts_with(&format!("error: {lost}; the outcome is unknown\n")), "{}", ran.err);
    assert!(ran.err.contains(&format!("hint: {REPEAT}order-1")), "{}", ran.err);

    let (ran, _) = call(Mood::Dying, &["--json", "history"]);
    assert_eq!((ran.code, &ran.json()["error"]["code"]), (3, &json!("no_daemon")));
    assert_eq!(ran.json()["error"]["message"], lost);
}

#[test]
fn a_refusal_keeps_its_code_message_and_hint() {
    for code in Code::ALL {
        let node = Scripted::start(Mood::Refusing(*code));
        let ran = run(&mut node.cli(&["--json", "withdraw"]));
        assert_eq!(ran.code, code.exit_code() as i32, "{code}");
        let error = json!({"code": code.as_str(), "message": "no \u{1b}[31mway", "hint": "try harder"});
        assert_eq!(ran.json(), json!({ "error": error }));
        assert_eq!(ran.err, "error: no \u{fffd}[31mway\nhint: try harder\n", "harmless to a terminal");
    }
}

#[test]
fn closing_falls_back_only_if_told_to_and_only_if_that_can_help() {
    let modes = |asked: &[Value]| -> Vec<_> {
        asked.iter().map(|call| call[1]["mode"].as_str().unwrap().to_owned()).collect()
    };
    let told = ["closechannel", "--cooperative", "--fallback"];
    let (ran, asked) = call(Mood::Alone(Code::PeerRefused), &told);
    assert_eq!((ran.code, ran.err.as_str()), (0, "note: no; closing alone\n"));
    assert_eq!(modes(&asked), ["Cooperative", "Alone"]);
    assert!(ran.out.contains("withdraw, from block 123"), "{}", ran.out);

    let (ran, asked) = call(Mood::Alone(Code::PeerRefused), &told[..2]);
    assert_eq!((ran.code, modes(&asked)), (1, vec!["Cooperative".into()]));
    let (ran, asked) = call(Mood::Alone(Code::ChainUnreachable), &told);
    assert_eq!((ran.code, modes(&asked)), (4, vec!["Cooperative".into()]));

    let (ran, _) = call(Mood::Stuck(Code::Timeout, Code::UnderWay), &[&["--json"], &told[..]].concat());
    assert_eq!(ran.code, 6, "nobody knows what became of the cooperative way");
    let error =
        json!({"code": "timeout", "message": "no; then, closing alone: not alone either", "hint": "wait"});
    assert_eq!(ran.json(), json!({ "error": error }));
}

#[test]
fn an_exported_receipt_can_be_closed_on() {
    let node = Scripted::start(Mood::Willing);
    let file = node.directory().join("receipts.json");
    let file = file.to_str().unwrap();
    let ran = run(&mut node.cli(&["receipts", "--output", file]));
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("receipt 3 of channel 0xcC") || ran.out.contains(file), "{}", ran.out);
    let again = run(&mut node.cli(&["receipts", "--output", file]));
    assert_eq!(again.code, 1, "nothing is overwritten");
    let printed = run(&mut node.cli(&["receipts"])).out;
    assert_eq!(printed, std::fs::read_to_string(file).unwrap());
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), serde_json::to_value(exported()).unwrap());
    node.asked();

    let ran = run(&mut node.cli(&["closechannel", "--receipt", file]));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let asked = &node.asked()[0][1];
    assert_eq!(asked["channel"]["channel"], CHANNEL.to_string(), "the file names the channel");
    assert_eq!(asked["mode"]["Receipt"]["even_if_old"], false);

    let bare = node.directory().join("bare.json");
    std::fs::write(&bare, serde_json::to_string(&exported().agreed).unwrap()).unwrap();
    let ran = run(&mut node.cli(&["closechannel", "--receipt", bare.to_str().unwrap(), "--yes"]));
    assert_eq!(ran.code, 0);
    assert!(ran.err.starts_with("warning: if this receipt is not the newest"), "{}", ran.err);
    let asked = &node.asked()[0][1];
    assert_eq!(asked["channel"]["channel"], Value::Null);
    let receipt = json!({"receipt": exported().agreed, "even_if_old": true});
    assert_eq!(asked["mode"]["Receipt"], receipt);
}

#[test]
fn an_export_and_a_record_are_imported_and_nothing_else() {
    let node = Scripted::start(Mood::Willing);
    let write = |name: &str, content: Value| {
        let path = node.directory().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (export, record) = (exported(), exported().watchtower.unwrap());
    let files = [
        (write("export.json", json!(export)), json!({ "Receipts": export }), "both sides"),
        (write("record.json", json!(record)), json!({ "Watchtower": record }), "a watchtower record"),
    ];
    for (path, file, signed) in files {
        let ran = run(&mut node.cli(&["receipts", "--import", &path, "--channel", "0xcc"]));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.contains(signed) && ran.out.contains("8.75 THD"), "{}", ran.out);
        let channel = json!({"channel": "0xcc", "peer": null});
        assert_eq!(node.asked(), [json!(["import_receipt", {"channel": channel, "file": file}])]);
    }
    let bare = write("bare.json", json!(exported().agreed));
    let ran = run(&mut node.cli(&["--json", "receipts", "--import", &bare]));
    assert_eq!((ran.code, ran.json()["error"]["code"].as_str()), (1, Some("invalid_receipt")));
    assert!(node.asked().is_empty());
}

#[test]
fn watch_prints_one_object_a_line_and_tells_when_the_node_is_gone() {
    let (ran, asked) = call(Mood::Dying, &["watch", "--json", "--timeout", "0.1"]);
    assert_eq!(ran.code, 3);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut payment = serde_json::to_value(payment()).unwrap();
    payment["event"] = json!("payment");
    let mut connected = serde_json::to_value(peer()).unwrap();
    connected["event"] = json!("peer");
    (connected["seq"], connected["time"]) = (json!(3), payment["time"].clone());
    connected["connected"] = json!(true);
    assert_eq!(lines[..3], [json!({"event": "ready", "seq": 1}), payment, connected]);
    assert_eq!(lines[3]["error"]["code"], "no_daemon");
    assert_eq!(asked, [json!(["events", 3])], "it goes on where it was");
}

#[test]
fn watch_ends_well_on_ctrl_c() {
    let node = Scripted::start(Mood::Willing);
    let mut child = node.cli(&["watch"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.ends_with("received 1.25 THD from channel 0xCcCCcccc…: coffee"), "{first}");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn ctrl_c_while_paying_ends_with_6_and_names_the_payments_id() {
    let node = Scripted::start(Mood::Silent);
    let child = node.cli(&["pay", "1", "--id", "order-1"]).spawn().unwrap();
    while node.asked().is_empty() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{err}");
    assert!(err.contains("error: interrupted") && err.contains(&format!("{REPEAT}order-1")), "{err}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let node = Scripted::start(Mood::Willing);
    for arguments in [&["infos"][..], &["watch"], &["pay", "1"], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = run(node.cli(arguments).stdout(writer));
        assert_eq!(ran.code, 0, "{arguments:?}");
        assert!(!ran.err.contains("error") && !ran.err.contains("panicked"), "{arguments:?}: {}", ran.err);
    }
}

/// Exit code 1 would say that nothing was done, and a script would pay again.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_can_not_be_written_is_no_refusal() {
    let node = Scripted::start(Mood::Willing);
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let ran = run(node.cli(&["pay", "1"]).stdout(full()));
    assert_eq!(ran.code, 6);
    assert!(ran.err.contains("hint: it was done all the same"), "{}", ran.err);
    assert_eq!(run(node.cli(&["infos"]).stdout(full())).code, 1);
}

/// A file of payments, and the command that makes them.
fn file_of(node: &Scripted, content: &str) -> Vec<String> {
    let path = node.directory().join("payments");
    std::fs::write(&path, content).unwrap();
    vec!["--json".into(), "pay".into(), "--file".into(), path.to_str().unwrap().into()]
}

fn pay_file(mood: Mood, content: &str) -> (Ran, Vec<Value>) {
    let node = Scripted::start(mood);
    let words = file_of(&node, content);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let ran = run(&mut node.cli(&words));
    (ran, node.asked())
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_payment_of_a_file_is_ordered_once_and_has_a_line_of_result_in_its_order() {
    let rows: String = (1..=300).map(|number| format!("0xdd,{number},,id-{number}\n")).collect();
    let (ran, asked) = pay_file(Mood::Willing, &format!("to,amount,memo,id\n{rows}"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let ids: Vec<_> = lines(&ran).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (1..=300).map(|number| format!("id-{number}")).collect::<Vec<_>>());
    assert_eq!(asked.len(), 300);
    let first = json!(["pay", {
        "channel": {"channel": null, "peer": null, "to": "0xdd"},
        "payment": {"amount": "1", "memo": "", "id": "id-1"},
    }]);
    assert_eq!(asked[0], first);
}

#[test]
fn a_payment_of_a_file_that_fails_has_its_error_and_the_exit_code_says_that_not_all_are_done() {
    let file = "{\"amount\":\"1\",\"id\":\"a\"}\n{\"amount\":\"2\"}\n";
    let (ran, _) = pay_file(Mood::Refusing(Code::PeerNotConnected), file);
    let results = lines(&ran);
    assert_eq!((ran.code, results.len()), (5, 2), "no line but those of the payments");
    for result in &results {
        assert_eq!(result["error"]["code"], "peer_not_connected");
    }
    assert_eq!((&results[0]["id"], results[1]["id"].as_str().unwrap().len()), (&json!("a"), 32));
    assert!(ran.err.starts_with("error: of 2 payments 2 are not done\n  line 1: no"), "{}", ran.err);
    assert!(ran.err.contains("the same file again, unchanged"), "{}", ran.err);
    let (ran, _) = pay_file(Mood::Dying, file);
    let codes: Vec<_> = lines(&ran).iter().map(|line| line["error"]["code"].clone()).collect();
    assert_eq!((ran.code, codes), (6, vec![json!("timeout"), json!("timeout")]), "unknown");
}

#[test]
fn nothing_is_paid_of_a_file_with_a_fault() {
    for (content, wanted) in [
        ("to,amount\n,1\n,0\n", "line 3: the amount is zero"),
        ("amount,id\n1,a\n2,a\n", "line 3: line 2 has the same id"),
        ("amount,note\n1,x\n", "there is no column"),
    ] {
        let (ran, asked) = pay_file(Mood::Willing, content);
        assert_eq!((ran.code, asked.len()), (2, 0), "{content}");
        assert_eq!(ran.json()["error"]["code"], "invalid_file");
        assert!(ran.err.contains(wanted) && ran.err.contains("nothing was paid"), "{}", ran.err);
    }
    let node = Scripted::start(Mood::Willing);
    let ran = run(&mut node.cli(&["pay", "--file", "/nowhere"]));
    assert_eq!(ran.code, 1);
    let ran = run_with_input(&mut node.cli(&["pay", "--file", "-"]), "amount\n1.5\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("2  paid      1.5 THD  "), "{}", ran.out);
}
