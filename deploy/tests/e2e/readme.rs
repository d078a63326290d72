//! The README, the reference and the programs say the same.

use std::path::Path;
use std::process::Command;

use thunder_deploy::beside;

use super::console::blocks;
use super::harness::text;

const README: &str = include_str!("../../../README.md");

/// Each block of the reference is a command with `--help`, and what it prints.
#[test]
fn the_help_menus_are_those_of_the_reference() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
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
