//! Each program's help pages.

use std::fmt::Write;

use clap::Command;

use crate::extras::definitions;

pub(super) fn pages() -> Vec<(&'static str, String)> {
    let [thunderd, cli, deploy] = definitions();
    vec![
        ("thunderd.md", page(thunderd, "the node")),
        ("thunder-cli.md", page(cli.display_name("Thunder cli"), "the node's command line")),
        ("thunder-deploy.md", page(deploy, "local testnet, contracts, THD")),
    ]
}

fn page(definition: Command, what: &str) -> String {
    // As wide as clap makes it where there is no terminal, whichever terminal this runs in.
    let definition = definition.term_width(100);
    let name = definition.get_name().to_owned();
    let mut text = format!("# {name}: {what}\n\n");
    block(&mut text, &definition, &[&name]);
    for command in definition.get_subcommands().map(Command::get_name).filter(|command| *command != "help") {
        // Writing to a string can't fail.
        let _ = write!(text, "\n## {name} {command}\n\n");
        block(&mut text, &definition, &[&name, command]);
    }
    text
}

/// A command with `--help` behind it, and what it prints.
fn block(text: &mut String, definition: &Command, words: &[&str]) {
    let words = [words, &["--help"]].concat();
    let help = definition.clone().try_get_matches_from(&words).err().map(|help| help.to_string());
    let help = help.unwrap_or_default();
    let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(text, "```text\n$ {}\n{}\n```\n", words.join(" "), lines.join("\n"));
}
