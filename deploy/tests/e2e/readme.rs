//! The README and the programs say the same.

use super::harness::*;

const README: &str = include_str!("../../../README.md");

#[test]
fn both_help_menus_are_in_the_readme() {
    let world = World::bare();
    let node = world.node();
    let help = text(&node.cli().arg("--help").output().unwrap().stdout);
    assert!(README.contains(help.trim_end()), "thunder-cli --help is another:\n{help}");
    let thunderd = node.thunderd();
    let help = std::process::Command::new(thunderd.get_program()).arg("--help").output().unwrap();
    let help = text(&help.stdout);
    assert!(README.contains(help.trim_end()), "thunderd --help is another:\n{help}");
}

#[test]
fn the_addresses_in_the_readme_are_where_the_contracts_are() {
    let contracts = thunder_chain::contracts::deterministic();
    for address in [contracts.token, contracts.factory] {
        assert!(README.contains(&address.to_string()), "{address}");
    }
}
