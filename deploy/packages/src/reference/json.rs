//! What `thunder-cli --json` prints: the answers' types, and an example of each.

use std::fmt::Write;
use std::path::Path;

use super::cell;
use super::source::{Definition, Field, Kind, definitions_in};
use crate::{Error, read};

/// Each command, and the type of its answer.
const ANSWERS: [(&str, &str); 19] = [
    ("infos", "Infos"),
    ("importwallet", "WalletImported"),
    ("newwallet", "NewWallet"),
    ("balance", "Balance"),
    ("connect", "Peer"),
    ("openchannel", "PaidIn"),
    ("fund", "PaidIn"),
    ("pay", "Paid"),
    ("closechannel", "ClosingStarted"),
    ("withdraw", "PaidOut"),
    ("challenge", "PaidOut"),
    ("cancel", "PaidOut"),
    ("history", "History"),
    ("receipts", "ExportedReceipts"),
    ("receipts-import", "ReceiptImported"),
    ("backup", "BackedUp"),
    ("restore", "Restored"),
    ("prune", "Pruned"),
    ("watch", "WatchEvent"),
];

/// Where the part with JSON of a snapshot's section begins.
const JSON_PART: &str = "-- with --json --\n";

pub(super) fn page(root: &Path) -> Result<String, Error> {
    let all = definitions_in(&root.join("node").join("api").join("src").join("types"))?;
    let mut text = String::from(
        "# --json\n\n`thunder-cli --json <command>` prints one object on one line of standard output; `watch` one a \
         line for each event. Objects are shown over several lines here. Fields may be added, none is renamed or \
         taken away. Failures: [errors](errors.md).\n\n\
         | as the type says | in JSON |\n|---|---|\n\
         | `Amount` | THD as a decimal string, exact to 18 places: `\"8.75\"` |\n\
         | `ChecksumAddress` | an address, checksummed hex (EIP-55) |\n\
         | `B256` | 32 bytes in hex with 0x: a transaction, a digest |\n\
         | `Signature` | 65 bytes in hex with 0x: r, s, v |\n\
         | `PaymentId`, `Memo`, `String` | text |\n\
         | `Option` | `null` if there is none |\n\
         | `Vec` | a list |\n",
    );
    let path = root.join("cli/tests/cli/snapshots/commands.snap");
    let snapshot = read(&path)?.replace("\r\n", "\n");
    for (command, answer) in ANSWERS {
        find(&all, answer, root)?;
        // A section's name has one dash where the command has a flag.
        let title = command.replace('-', " --");
        let _ = write!(text, "\n## {title}\n\n[`{answer}`](#{})\n\n```json\n", answer.to_lowercase());
        let section = snapshot.split_once(&format!("===== {command} =====\n"));
        let section = section.and_then(|(_, rest)| rest.split("\n===== ").next());
        let example = section.and_then(|section| section.split_once(JSON_PART));
        let example = example.and_then(|(_, rest)| rest.split_once("\n\n"));
        let missing = || Error::content(&path, format!("it has no section {command} with JSON"));
        let (example, _) = example.ok_or_else(missing)?;
        let _ = writeln!(text, "{example}\n```");
    }
    text.push_str("\n# Types\n");
    for definition in reachable(&all) {
        describe(&mut text, definition);
    }
    Ok(text)
}

fn find<'a>(all: &'a [Definition], name: &str, root: &Path) -> Result<&'a Definition, Error> {
    let found = all.iter().find(|definition| definition.name == name);
    found.ok_or_else(|| Error::content(root.join("node/api/src/types"), format!("it has no {name}")))
}

/// The answers' types and all that is in them, by file and in the source's order.
fn reachable(all: &[Definition]) -> Vec<&Definition> {
    let mut names: Vec<String> = ANSWERS.iter().map(|(_, answer)| (*answer).to_owned()).collect();
    let mut done = 0;
    while let Some(name) = names.get(done).cloned() {
        done += 1;
        let Some(definition) = all.iter().find(|definition| definition.name == name) else { continue };
        for field in all_fields(definition) {
            for word in field.of.split(|c: char| !c.is_alphanumeric()) {
                if all.iter().any(|other| other.name == word) && !names.iter().any(|name| name == word) {
                    names.push(word.to_owned());
                }
            }
        }
    }
    all.iter().filter(|definition| names.contains(&definition.name)).collect()
}

fn all_fields(definition: &Definition) -> Vec<&Field> {
    match &definition.kind {
        Kind::Struct(fields) => fields.iter().collect(),
        Kind::Enum(variants) => variants.iter().flat_map(|variant| &variant.fields).collect(),
        Kind::Constant { .. } => Vec::new(),
    }
}

fn describe(text: &mut String, definition: &Definition) {
    let _ = write!(text, "\n## {}\n\n{}\n", definition.name, definition.doc);
    match &definition.kind {
        Kind::Constant { .. } => {}
        Kind::Struct(fields) => {
            text.push_str("\n| field | type | meaning |\n|---|---|---|\n");
            for field in fields {
                let _ = writeln!(text, "| `{}` | `{}` | {} |", field.name, field.of, cell(&field.doc));
            }
        }
        Kind::Enum(variants) => {
            let is_tagged = definition.serde.contains("tag");
            if is_tagged {
                text.push_str("\nThe field `event` says which; the others are those of the type.\n");
            }
            text.push_str("\n| in JSON | with | meaning |\n|---|---|---|\n");
            for variant in variants {
                let name = renamed(&variant.name, &definition.serde);
                let with: Vec<_> = variant
                    .fields
                    .iter()
                    .map(|field| {
                        let separator = if field.name.is_empty() { "" } else { ": " };
                        format!("`{}{separator}{}`", field.name, field.of)
                    })
                    .collect();
                let _ = writeln!(text, "| `\"{name}\"` | {} | {} |", with.join(", "), cell(&variant.doc));
            }
        }
    }
}

/// As serde's `rename_all` has it.
fn renamed(name: &str, serde: &str) -> String {
    if serde.contains("\"UPPERCASE\"") {
        name.to_uppercase()
    } else if serde.contains("\"lowercase\"") {
        name.to_lowercase()
    } else if serde.contains("\"snake_case\"") {
        let mut snake = String::new();
        for (at, letter) in name.chars().enumerate() {
            if letter.is_uppercase() && at > 0 {
                snake.push('_');
            }
            snake.extend(letter.to_lowercase());
        }
        snake
    } else {
        name.to_owned()
    }
}
