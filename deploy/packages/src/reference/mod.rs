//! The pages under `docs/reference`: what the code says of itself, as Markdown.

mod abi;
mod json;
mod source;
mod wire;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Command;
use thunder_api::{Code, ExitCode};
use thunder_node::metrics::catalogue;

use crate::extras::definitions;
use crate::{Error, read};

/// What stands above each page.
const HEAD: &str =
    "<!-- Made from the code by `cargo run -p thunder-packages -- reference`: change that instead. -->\n\n";

/// The pages, by their paths.
pub fn pages(root: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut pages = help();
    pages.push(("json.md", json::page(root)?));
    pages.push(("errors.md", errors()));
    pages.push(("metrics.md", metrics()));
    pages.push(("wire.md", wire::page(root)?));
    pages.push(("abi.md", abi::page(root)?));
    let folder = root.join("docs").join("reference");
    Ok(pages.into_iter().map(|(name, text)| (folder.join(name), format!("{HEAD}{text}"))).collect())
}

/// Writes them.
pub fn write(root: &Path) -> Result<(), Error> {
    pages(root)?.into_iter().try_for_each(|(path, text)| crate::write(&path, text))
}

/// An error that names those which are not what the code says.
pub fn check(root: &Path) -> Result<(), Error> {
    let is_stale = |(path, text): &(PathBuf, String)| {
        // Who has git change the ends of lines has the same pages.
        read(path).map_or(true, |found| found.replace("\r\n", "\n") != *text)
    };
    let stale: Vec<_> = pages(root)?.into_iter().filter(is_stale).map(|(path, _)| path).collect();
    if stale.is_empty() { Ok(()) } else { Err(Error::Stale(stale)) }
}

/// Each program's help pages.
fn help() -> Vec<(&'static str, String)> {
    let [thunderd, cli, deploy] = definitions();
    vec![
        ("thunderd.md", help_page(thunderd, "the node")),
        ("thunder-cli.md", help_page(cli.display_name("Thunder cli"), "the node's command line")),
        ("thunder-deploy.md", help_page(deploy, "local testnet, contracts, THD")),
    ]
}

fn help_page(definition: Command, what: &str) -> String {
    // As wide as clap makes it where there is no terminal, whichever terminal this runs in.
    let definition = definition.term_width(100);
    let name = definition.get_name().to_owned();
    let mut text = format!("# {name}: {what}\n\n");
    help_block(&mut text, &definition, &[&name]);
    for command in definition.get_subcommands().map(Command::get_name).filter(|command| *command != "help") {
        // Writing to a string can't fail.
        let _ = write!(text, "\n## {name} {command}\n\n");
        help_block(&mut text, &definition, &[&name, command]);
    }
    text
}

/// A command with `--help` behind it, and what it prints.
fn help_block(text: &mut String, definition: &Command, words: &[&str]) {
    let words = [words, &["--help"]].concat();
    let help = definition.clone().try_get_matches_from(&words).err().map(|help| help.to_string());
    let help = help.unwrap_or_default();
    let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(text, "```text\n$ {}\n{}\n```\n", words.join(" "), lines.join("\n"));
}

/// Exit codes, and the names of errors.
fn errors() -> String {
    let mut text = String::from(
        "# Errors and exit codes\n\nA command that fails says on standard error what happened and what to do. With \
         `--json` it prints, on standard output, `{\"error\":{\"code\":\"…\",\"message\":\"…\",\"hint\":\"…\"}}`. \
         `code` is one of the names below and never changes its meaning; texts may.\n\n## Exit codes\n\n\
         | exit code | meaning |\n|---|---|\n",
    );
    for code in ExitCode::ALL {
        let _ = writeln!(text, "| {} | {} |", *code as u8, code.meaning());
    }
    text.push_str("\n## Names of thunder-cli's errors\n\n| `code` | exit code | meaning |\n|---|---|---|\n");
    for code in Code::ALL {
        let _ = writeln!(text, "| `{code}` | {} | {} |", code.exit_code() as u8, code.meaning());
    }
    text
}

/// What `--metrics` serves.
fn metrics() -> String {
    let mut text = String::from(
        "# Metrics\n\nWhat `thunderd --metrics <ip:port>` serves under `/metrics`. Amounts are whole THD or ETH, as \
         floating-point numbers: for graphs, not for bookkeeping. How to use them: [Watch a node](../how-to/monitoring.md).\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in catalogue() {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.name, metric.kind, metric.labels, metric.meaning
        );
    }
    text
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
