//! The messages between nodes.

use std::fmt::Write;
use std::path::Path;

use super::cell;
use super::source::{Definition, Field, Kind, definitions};
use crate::Error;

pub(super) fn page(root: &Path) -> Result<String, Error> {
    let all = definitions(&root.join("protocol").join("src").join("wire.rs"))?;
    let mut text = String::from(
        "# Wire messages\n\nWhat two nodes say to each other, as `protocol/src/wire.rs` defines it. Each is one CBOR \
         item (RFC 8949), packed: a struct is a map from its fields' numbers, as below. What is said when, and why it \
         is safe: [the protocol](../protocol.md), which has the encoding of the basic types too.\n\n## Limits\n\n\
         | name | value | meaning |\n|---|---|---|\n",
    );
    for definition in &all {
        if let Kind::Constant { value } = &definition.kind {
            let _ = writeln!(text, "| `{}` | `{value}` | {} |", definition.name, cell(&definition.doc));
        }
    }
    for definition in &all {
        describe(&mut text, definition);
    }
    Ok(text)
}

fn describe(text: &mut String, definition: &Definition) {
    match &definition.kind {
        Kind::Constant { .. } => {}
        Kind::Struct(fields) => {
            let _ = write!(text, "\n## {}\n\n{}\n", definition.name, definition.doc);
            if fields.iter().all(|field| field.name.is_empty()) {
                let types: Vec<_> = fields.iter().map(|field| format!("`{}`", field.of)).collect();
                let _ = writeln!(text, "\nOn the wire: {}.", types.join(", "));
                return;
            }
            text.push_str("\n| number | field | type | meaning |\n|---|---|---|---|\n");
            for (number, field) in fields.iter().enumerate() {
                let (name, of, doc) = (&field.name, &field.of, cell(&field.doc));
                let _ = writeln!(text, "| {number} | `{name}` | `{of}` | {doc} |");
            }
        }
        Kind::Enum(variants) => {
            let _ = write!(text, "\n## {}\n\n{}\n", definition.name, definition.doc);
            text.push_str("\n| variant | with | meaning |\n|---|---|---|\n");
            for variant in variants {
                let with: Vec<_> = variant.fields.iter().map(shown).collect();
                let _ =
                    writeln!(text, "| `{}` | {} | {} |", variant.name, with.join(", "), cell(&variant.doc));
            }
        }
    }
}

fn shown(field: &Field) -> String {
    if field.name.is_empty() { format!("`{}`", field.of) } else { format!("`{}: {}`", field.name, field.of) }
}
