//! The main help page.
//!
//! It keeps the customer's menu, line by line, so it is written from the definition of the command line but not in
//! clap's own layout. Only a terminal gets it wrapped.

use std::fmt::Write;

use anstyle::Style;
use clap::builder::StyledStr;
use clap::{Arg, Command};

/// Indentation of what an option does.
const INDENT: &str = "       ";

/// How the customer's menu writes these; the others show their arguments.
const HEADS: &[(&str, &str)] = &[
    ("importwallet", "importwallet <\"seedphrase\">"),
    ("openchannel", "openchannel "),
    ("pay", "pay <amount> "),
];

/// The groups of the commands that the customer's menu does not have; those that it has come first.
const GROUPS: &[(&str, &[&str])] = &[
    ("Wallet", &["newwallet"]),
    ("Channels", &["challenge", "fund", "cancel", "receipts"]),
    ("Payments", &["history"]),
    ("Node", &["watch", "prune", "backup", "restore"]),
    ("Programs", &["completions"]),
];

/// The width of a terminal that lines keep to.
const WIDTH: usize = 80;

/// Writes the page for a command line, for a terminal wrapped.
pub(crate) fn page(definition: &Command, for_terminal: bool) -> StyledStr {
    let bold = Style::new().bold();
    let mut page = definition.render_version();
    page.push_str(
        "\nUsage:  thunder-cli [options]  <command>      Interact with a thunder node and manage a channel\n",
    );
    page.push_str(&format!("\n{bold}Options:{bold:#}\n"));
    for argument in definition.get_arguments() {
        page.push_str(&option(argument));
    }
    page.push_str(&option(&Arg::new("version").long("version").help("Print the version and exit")));
    page.push_str(&format!("\n{bold}Commands{bold:#}\n\n"));
    let grouped =
        |name: &str| GROUPS.iter().find(|(_, names)| names.contains(&name)).map(|(group, _)| *group);
    let commands = |group: Option<&str>| {
        let of_group = definition.get_subcommands().filter(|command| grouped(command.get_name()) == group);
        let lines = of_group.map(|command| {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            format!("{}: {about}\n", head(command))
        });
        lines.collect::<String>()
    };
    page.push_str(&commands(None));
    page.push_str("help [command]: print this help message, or what a command takes\n");
    for (group, _) in GROUPS {
        page.push_str(&format!("\n{bold}{group}{bold:#}\n\n{}", commands(Some(group))));
    }
    page.push_str("\nWithout a command: infos. Amounts are THD, exact to 18 decimals.\n");
    match for_terminal {
        true => page.lines().map(wrapped).collect::<String>().into(),
        false => page.into(),
    }
}

/// A line, over several where it is too long, the further ones indented.
fn wrapped(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let further = if line.starts_with("Usage:") { 8 } else { indent.max(4) };
    let (mut text, mut column) = (" ".repeat(indent), indent);
    for (index, word) in line.trim_start().split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && !word.is_empty() && column + 1 + length > WIDTH {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n{:further$}", ""));
            column = further;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text + "\n"
}

fn option(argument: &Arg) -> String {
    let mut text = format!("\n  --{}", argument.get_long().unwrap_or_default());
    if let Some(names) = argument.get_value_names().filter(|_| argument.get_action().takes_values()) {
        for name in names {
            // Writing to a string can't fail.
            let _ = write!(text, " <{name}>");
        }
    }
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n{INDENT}{help}\n");
    let default = argument.get_default_values().first().map(|value| value.to_string_lossy());
    let variable = argument.get_env().map(|name| format!("Environment variable: {}", name.to_string_lossy()));
    let notes: Vec<_> =
        default.map(|value| format!("Default is {value}")).into_iter().chain(variable).collect();
    if !notes.is_empty() {
        let _ = writeln!(text, "{INDENT}{}", notes.join(". "));
    }
    text
}

fn head(command: &Command) -> String {
    let name = command.get_name();
    if let Some((_, head)) = HEADS.iter().find(|(of, _)| *of == name) {
        return (*head).to_owned();
    }
    let mut head = name.to_owned();
    for argument in command.get_positionals() {
        for value in argument.get_value_names().unwrap_or_default() {
            let _ = if argument.is_required_set() {
                write!(head, " <{value}>")
            } else {
                write!(head, " [{value}]")
            };
        }
    }
    head
}
