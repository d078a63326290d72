//! The documents say what happens: each block of commands is run, and what it prints compared; help menus and addresses
//! are those of the programs.

use std::path::Path;
use std::process::Command;

use thunder_deploy::beside;

use super::console::{Desk, blocks};
use super::harness::{World, text};

const README: &str = include_str!("../../../README.md");

/// Blocks of kind `sh` in the README: commands that change the machine, or take packages or an engine. Each has its
/// first line, and what runs it instead.
const TRIED_ELSEWHERE: [(&str, &str); 6] = [
    ("sha256sum --check", "try_archive"),
    ("sudo apt install", "try_deb"),
    ("npm install", "try_npm"),
    ("docker compose", "try_docker"),
    ("cargo install", "try_install"),
    ("cargo test --workspace", "step \"tests\""),
];

/// Two nodes with wallets on a testnet, as the tutorial has them.
const TWO_NODES: &str = r#"
```console
$ thunder-deploy testnet
$ thunderd
$ thunderd --port 2002
$ thunder-cli importwallet "test test test test test test test test test test test junk" --index 1
$ thunder-cli --port 2002 importwallet "test test test test test test test test test test test junk" --index 2
$ thunder-deploy thd --to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
```
"#;

pub(super) fn document(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A channel between the nodes that [`TWO_NODES`] has, one of which is started already.
const CHANNEL: &str = r#"
```console
$ thunderd --port 2002
$ thunder-cli importwallet "test test test test test test test test test test test junk" --index 1
$ thunder-cli --port 2002 importwallet "test test test test test test test test test test test junk" --index 2
$ thunder-deploy thd --to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
$ thunder-cli connect 127.0.0.1:2002
$ thunder-cli openchannel
```
"#;

/// The README's first screen shows what the programs print, before it says how one gets there; then the sections, in
/// their order.
fn screen_and_sections() -> (&'static str, &'static str) {
    README.split_once("\n## ").unwrap()
}

#[test]
fn the_first_screen_of_the_readme_shows_what_the_programs_print() {
    let blocks = blocks(screen_and_sections().0);
    let documents: Vec<_> = blocks.iter().map(|block| format!("```console\n{}```", block.text)).collect();
    let [thunderd, pay, demo] = &documents[..] else { panic!("{} blocks", documents.len()) };
    let mut desk = Desk::new();
    desk.follow("```console\n$ thunder-deploy testnet\n```");
    for document in [thunderd, CHANNEL, pay, demo] {
        desk.follow(document);
    }
}

#[test]
fn every_command_of_the_readme_prints_what_it_says() {
    Desk::new().follow(screen_and_sections().1);
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    let lines = README.lines().count();
    assert!(lines <= 180, "{lines} lines: the tutorial, the guides and the reference have room");
}

#[test]
fn commands_of_the_readme_that_are_not_run_here_are_run_elsewhere() {
    let scripts = document("deploy/packages/try") + &document(".ci/run");
    for block in blocks(README) {
        match block.kind.as_str() {
            "console" | "mermaid" => {}
            "sh" => {
                let known = TRIED_ELSEWHERE.iter().find(|(first, _)| block.text.starts_with(first));
                let (_, by) =
                    known.unwrap_or_else(|| panic!("line {}: nothing runs {}", block.line, block.text));
                assert!(scripts.contains(by), "{by} is gone");
            }
            kind => panic!("line {}: blocks of kind {kind:?} are run by nobody", block.line),
        }
    }
}

#[test]
fn the_tutorial_wins_a_challenge() {
    Desk::new().follow(&document("docs/tutorial.md"));
}

#[test]
fn how_to_second_machine() {
    Desk::new().follow(&document("docs/how-to/second-machine.md"));
}

#[test]
fn how_to_keyfile() {
    let mut desk = Desk::new();
    desk.follow(TWO_NODES);
    desk.put("alice.json", include_str!("../data/keyfile.json"));
    desk.put("alice.password", "correct horse\n");
    desk.follow(&document("docs/how-to/keyfile.md"));
}

#[test]
fn how_to_real_testnet() {
    let world = World::bare();
    world.rpc("anvil_setChainId", serde_json::json!([4242]));
    let mut desk = Desk::at_chain(&world.testnet.rpc_url());
    desk.put("owner.json", include_str!("../data/keyfile.json"));
    desk.put("owner.password", "correct horse\n");
    desk.follow(&document("docs/how-to/real-testnet.md"));
}

#[test]
fn how_to_backup() {
    let mut desk = Desk::new();
    desk.follow(TWO_NODES);
    desk.follow("```console\n$ thunder-cli connect 127.0.0.1:2002\n$ thunder-cli openchannel\n$ thunder-cli pay 1\n```");
    desk.follow(&document("docs/how-to/backup.md"));
}

#[test]
fn how_to_monitoring() {
    let mut desk = Desk::new();
    desk.follow("```console\n$ thunder-deploy testnet\n$ thunderd\n```");
    desk.follow(&document("docs/how-to/monitoring.md"));
}

/// Each block of the reference is a command with `--help`, and what it prints.
#[test]
fn the_help_menus_are_those_of_the_reference() {
    let reference = root().join("docs/reference");
    for (page, menus) in [("thunderd.md", 1), ("thunder-cli.md", 18), ("thunder-deploy.md", 5)] {
        let page = std::fs::read_to_string(reference.join(page)).unwrap();
        let blocks = blocks(&page);
        assert!(blocks.len() >= menus, "{} menus", blocks.len());
        for block in blocks {
            let (command, documented) = block.text.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
            let [program, words @ ..] = &command.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{command}")
            };
            let mut program = Command::new(beside(program).unwrap());
            for (name, _) in
                std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THUNDER_"))
            {
                program.env_remove(name);
            }
            let help = text(&program.args(words).output().unwrap().stdout);
            let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
            assert_eq!(documented.trim_end(), lines.join("\n"), "{command}");
        }
    }
}

#[test]
fn the_addresses_in_the_readme_are_where_the_contracts_are() {
    let contracts = thunder_chain::contracts::local_testnet_contracts();
    for address in [contracts.token, contracts.factory] {
        assert!(README.contains(&address.to_string()), "{address}");
    }
}
