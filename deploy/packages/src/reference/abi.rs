//! The contracts' functions, events and errors, from the committed artifacts.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::cell;
use crate::{Error, read};

/// The contracts that users meet.
const CONTRACTS: [&str; 3] = ["PaymentChannel", "ChannelFactory", "THD"];

pub(super) fn page(root: &Path) -> Result<String, Error> {
    let mut text = String::from(
        "# Contract ABI\n\nWhat the contracts take and give, from `contracts/artifacts`, with what their sources say \
         of it (NatSpec). What they protect from: [the contracts](../contract.md).\n",
    );
    for name in CONTRACTS {
        let path = root.join("contracts").join("artifacts").join(format!("{name}.json"));
        let artifact: Value =
            serde_json::from_str(&read(&path)?).map_err(|error| Error::content(&path, error))?;
        let abi = artifact["abi"].as_array().ok_or_else(|| Error::content(&path, "it has no ABI"))?;
        let _ = write!(text, "\n# {name}\n");
        for (kind, title) in [
            ("constructor", "Constructor"),
            ("function", "Functions"),
            ("event", "Events"),
            ("error", "Errors"),
        ] {
            let mut entries: Vec<_> = abi.iter().filter(|entry| entry["type"] == kind).collect();
            entries.sort_by_key(|entry| text_of(&entry["name"]).to_lowercase());
            if entries.is_empty() {
                continue;
            }
            let _ = write!(text, "\n## {title} of {name}\n\n| | | meaning |\n|---|---|---|\n");
            for entry in entries {
                line(&mut text, kind, entry, &artifact["documentation"]);
            }
        }
    }
    Ok(text)
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn line(text: &mut String, kind: &str, entry: &Value, documentation: &Value) {
    let name = if kind == "constructor" { "constructor" } else { text_of(&entry["name"]) };
    let mut after = Vec::new();
    if kind == "function" {
        after.push(text_of(&entry["stateMutability"]).to_owned());
        let outputs = parameters(&entry["outputs"]);
        if !outputs.is_empty() {
            after.push(format!("gives `{outputs}`"));
        }
    }
    let meaning = documentation[kind][signature(name, &entry["inputs"])].as_str().unwrap_or_default();
    let _ = writeln!(
        text,
        "| `{name}({})` | {} | {} |",
        parameters(&entry["inputs"]),
        after.join(", "),
        cell(&meaning.replace(['{', '}'], "`"))
    );
}

fn parameters(of: &Value) -> String {
    let one = |parameter: &Value| {
        let indexed = if parameter["indexed"] == true { " indexed" } else { "" };
        format!("{}{indexed} {}", text_of(&parameter["type"]), text_of(&parameter["name"]))
            .trim_end()
            .to_owned()
    };
    of.as_array().map(|all| all.iter().map(one).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

fn signature(name: &str, inputs: &Value) -> String {
    let types: Vec<_> =
        inputs.as_array().into_iter().flatten().map(|input| text_of(&input["type"])).collect();
    if name == "constructor" { name.to_owned() } else { format!("{name}({})", types.join(",")) }
}
