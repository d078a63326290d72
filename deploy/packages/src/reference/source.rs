//! Structs and enums of a source file, with their documentation.

use std::path::Path;

use quote::ToTokens;
use syn::{Attribute, Fields, Item, Visibility};

use crate::{Error, read};

/// A struct, an enum or a constant that others may use.
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) kind: Kind,
    pub(super) serde: String,
}

pub(super) enum Kind {
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
    Constant { value: String },
}

pub(super) struct Field {
    /// Empty in a tuple.
    pub(super) name: String,
    pub(super) of: String,
    pub(super) doc: String,
}

pub(super) struct Variant {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) fields: Vec<Field>,
}

/// What is public in a file, in its order.
pub(super) fn definitions(path: &Path) -> Result<Vec<Definition>, Error> {
    let file = syn::parse_file(&read(path)?).map_err(|error| Error::content(path, error))?;
    Ok(file.items.into_iter().filter_map(definition).collect())
}

/// What is public in the files of a directory, one file after the other by their names.
pub(super) fn definitions_in(directory: &Path) -> Result<Vec<Definition>, Error> {
    let entries = std::fs::read_dir(directory).map_err(Error::file(directory))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(Error::file(directory))?;
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        all.extend(definitions(&path)?);
    }
    Ok(all)
}

fn definition(item: Item) -> Option<Definition> {
    match item {
        Item::Struct(item) => Some(Definition {
            name: public(&item.vis, &item.ident)?,
            doc: doc(&item.attrs),
            serde: serde(&item.attrs)?,
            kind: Kind::Struct(fields(item.fields)),
        }),
        Item::Enum(item) => Some(Definition {
            name: public(&item.vis, &item.ident)?,
            doc: doc(&item.attrs),
            serde: serde(&item.attrs)?,
            kind: Kind::Enum(
                item.variants
                    .into_iter()
                    .map(|variant| Variant {
                        name: variant.ident.to_string(),
                        doc: doc(&variant.attrs),
                        fields: fields(variant.fields),
                    })
                    .collect(),
            ),
        }),
        Item::Const(item) => Some(Definition {
            name: public(&item.vis, &item.ident)?,
            doc: doc(&item.attrs),
            serde: String::new(),
            kind: Kind::Constant { value: tokens(item.expr) },
        }),
        _ => None,
    }
}

fn public(visibility: &Visibility, name: &syn::Ident) -> Option<String> {
    matches!(visibility, Visibility::Public(_)).then(|| name.to_string())
}

/// What it tells serde; nothing if it is never serialised.
fn serde(attributes: &[Attribute]) -> Option<String> {
    let of = |name: &str| {
        let found = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
        found.map(|attribute| attribute.to_token_stream().to_string()).collect::<String>()
    };
    of("derive").contains("Serialize").then(|| of("serde"))
}

fn fields(fields: Fields) -> Vec<Field> {
    let one = |field: syn::Field| Field {
        name: field.ident.map(|name| name.to_string()).unwrap_or_default(),
        of: tokens(&field.ty),
        doc: doc(&field.attrs),
    };
    fields.into_iter().map(one).collect()
}

/// Code as one writes it.
fn tokens(tokens: impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [(" < ", "<"), (" >", ">"), (" , ", ", "), (" :: ", "::"), ("& ", "&"), (" ;", ";")] {
        text = text.replace(from, to);
    }
    text
}

/// Its documentation, with links to code made plain.
fn doc(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join(" ").replace("[`", "`").replace("`]", "`").replace("crate::", "")
}
