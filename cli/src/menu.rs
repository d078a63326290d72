//! The main help page.
//!
//! It keeps the customer's menu, line by line, so it is written from the definition of the command line but not in
//! clap's own layout, and never wrapped.

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

/// Writes the page for a command line.
pub(crate) fn page(definition: &Command) -> StyledStr {
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
    for command in definition.get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        page.push_str(&format!("{}: {about}\n", head(command)));
    }
    page.push_str("help [command]: print this help message, or what a command takes\n");
    page.push_str("\nWithout a command: infos. Amounts are THD, exact to 18 decimals.\n");
    page.into()
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
