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

fn page(mut definition: Command, what: &str) -> String {
    definition.build();
    let name = definition.get_name().to_owned();
    let mut text = format!("# {name}: {what}\n\n");
    block(&mut text, &format!("{name} --help"), &mut definition);
    let commands: Vec<_> =
        definition.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for command in commands.iter().filter(|command| *command != "help") {
        if let Some(command) = definition.find_subcommand_mut(command) {
            let words = format!("{name} {}", command.get_name());
            // Writing to a string can't fail.
            let _ = write!(text, "\n## {words}\n\n");
            block(&mut text, &format!("{words} --help"), command);
        }
    }
    text
}

fn block(text: &mut String, line: &str, command: &mut Command) {
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(text, "```text\n$ {line}\n{}\n```\n", lines.join("\n"));
}
