//! `pay --file`, first half: a file of payments, CSV or JSON lines, is read and checked.
//!
//! The whole file is checked before anything is paid.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thunder_api::{ApiError, Code, PayRequest, PaymentRequest, Selector};
use thunder_protocol::{Amount, Memo, PaymentId, hex};

use crate::values;

/// The largest file, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// How many faults of a file are named.
const MAX_FAULTS: usize = 10;
/// The columns of CSV, and the fields of an object.
const COLUMNS: [&str; 4] = ["to", "amount", "memo", "id"];
/// What an id is derived under, so that it equals no hash of another kind.
const ID_DOMAIN: &[u8] = b"thunder-cli pay --file 1\0";

/// One payment of a file.
#[derive(Debug)]
pub(crate) struct FilePayment {
    /// The line that it begins on.
    pub(crate) line: u64,
    /// Its id: that of the file, or one derived from the file's content and the line.
    pub(crate) id: PaymentId,
    /// The payment.
    pub(crate) request: PayRequest,
}

/// One payment as the file has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    to: Option<String>,
    amount: String,
    #[serde(default)]
    memo: Option<String>,
    #[serde(default)]
    id: Option<String>,
}

/// The payments of a file, of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<FilePayment>, ApiError> {
    let name = path.display().to_string();
    let content =
        if path == Path::new("-") { limited(io::stdin().lock()) } else { File::open(path).and_then(limited) };
    let content = content.map_err(|error| {
        let hint = "name a file of payments of at most 16 MiB that you may read, or - for standard input";
        ApiError::new(Code::File, format!("can't read {name}: {error}"), hint)
    })?;
    parse(&content).map_err(|faults| {
        let (left, named) = (faults.len().saturating_sub(MAX_FAULTS), faults.into_iter().take(MAX_FAULTS));
        let message = named
            .fold(format!("{name} is no list of payments; nothing was paid"), |text, fault| {
                text + "\n  " + &fault
            });
        let message = if left > 0 { format!("{message}\n  and {left} more") } else { message };
        let hint = "write CSV with the columns to,amount,memo,id and a header line, or one JSON\n  \
                    object a line with these fields; only amount is needed";
        ApiError::new(Code::InvalidFile, message, hint)
    })
}

fn limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    source.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

/// The payments, or what is wrong with the file, a line each.
fn parse(content: &[u8]) -> Result<Vec<FilePayment>, Vec<String>> {
    let text = str::from_utf8(content).map_err(|_| vec!["it is not UTF-8 text".to_owned()])?;
    // Some programs begin a file with this mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = if text.trim_start().starts_with('{') { json_lines(text) } else { csv_rows(text)? };
    if rows.is_empty() {
        return Err(vec!["it has no payments".to_owned()]);
    }
    let whole: [u8; 32] = Sha256::new_with_prefix(ID_DOMAIN).chain_update(content).finalize().into();
    let (mut payments, mut faults) = (Vec::with_capacity(rows.len()), Vec::new());
    let mut lines_by_id: HashMap<PaymentId, u64> = HashMap::new();
    for (line, row) in rows {
        match row.and_then(|row| payment(line, row, &whole)) {
            Ok(payment) => {
                match lines_by_id.entry(payment.id.clone()) {
                    Entry::Occupied(earlier) => {
                        faults.push(format!("line {line}: line {} has the same id", earlier.get()))
                    }
                    Entry::Vacant(place) => drop(place.insert(line)),
                }
                payments.push(payment);
            }
            Err(fault) => faults.push(format!("line {line}: {fault}")),
        }
    }
    if faults.is_empty() { Ok(payments) } else { Err(faults) }
}

type Rows = Vec<(u64, Result<Row, String>)>;

fn json_lines(text: &str) -> Rows {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let row = |line: &str| {
        serde_json::from_str(line).map_err(|error| {
            // The line that serde_json counts is always the first.
            let error = error.to_string();
            error.split(" at line ").next().unwrap_or(&error).to_owned()
        })
    };
    lines.map(|(number, line)| (number, row(line))).collect()
}

fn csv_rows(text: &str) -> Result<Rows, Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| vec![error.to_string()])?.clone();
    let mut faults = Vec::new();
    for (index, name) in headers.iter().enumerate() {
        if !COLUMNS.contains(&name) {
            faults
                .push(format!("line 1: there is no column {name:?}; the columns are {}", COLUMNS.join(",")));
        } else if headers.iter().take(index).any(|earlier| earlier == name) {
            faults.push(format!("line 1: the column {name} is there twice"));
        }
    }
    if !headers.iter().any(|name| name == "amount") {
        faults.push("line 1: the column amount is missing".to_owned());
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let (mut rows, mut lines) = (Rows::new(), Lines::new(text));
    let mut record = csv::StringRecord::new();
    loop {
        let at = reader.position().byte();
        let row = match reader.read_record(&mut record) {
            Ok(false) => return Ok(rows),
            Ok(true) => {
                let field = |name: &str| {
                    let index = headers.iter().position(|header| header == name)?;
                    record.get(index).map(str::to_owned)
                };
                let amount = field("amount").unwrap_or_default();
                Ok(Row { to: field("to"), amount, memo: field("memo"), id: field("id") })
            }
            Err(error) => Err(unequal(&error, headers.len())),
        };
        rows.push((lines.of_record(at), row));
    }
}

/// Counts the lines of CSV: its reader says where it was before the ends of lines that come before a record.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    const fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line of the record that is read from this byte on. Records come in their order.
    fn of_record(&mut self, from: u64) -> u64 {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        while let Some(byte) = self.bytes.get(self.at)
            && (self.at < from || matches!(byte, b'\r' | b'\n'))
        {
            let is_pair = *byte == b'\r' && self.bytes.get(self.at + 1) == Some(&b'\n');
            self.line += u64::from(matches!(byte, b'\r' | b'\n') && !is_pair);
            self.at += 1;
        }
        self.line
    }
}

fn unequal(error: &csv::Error, columns: usize) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { len, .. } => {
            format!("it has {len} values, and there are {columns} columns")
        }
        _ => error.to_string(),
    }
}

fn payment(line: u64, row: Row, whole: &[u8; 32]) -> Result<FilePayment, String> {
    let Row { to, amount, memo, id } = row;
    let given =
        |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let parsed = values::thd(amount.trim()).map_err(|error| format!("amount {amount:?}: {error}"))?;
    if parsed == Amount::ZERO {
        return Err("the amount is zero".to_owned());
    }
    let memo = Memo::new(memo.unwrap_or_default()).map_err(|error| error.to_string())?;
    let id = match given(id) {
        Some(id) => PaymentId::new(id),
        None => PaymentId::new(derived_id(whole, line)),
    };
    let id = id.map_err(|error| error.to_string())?;
    let payment = PaymentRequest { amount: parsed, memo, id: Some(id.clone()) };
    let channel = Selector { to: given(to), ..Selector::default() };
    Ok(FilePayment { line, id, request: PayRequest { channel, payment } })
}

/// The id of a payment without one: the same for the same line of the same content, and for nothing else.
fn derived_id(whole: &[u8; 32], line: u64) -> String {
    let hash: [u8; 32] = Sha256::new_with_prefix(whole).chain_update(line.to_be_bytes()).finalize().into();
    hex::encode(hash.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(content: &str) -> String {
        parse(content.as_bytes()).unwrap_err().join("\n")
    }

    fn ids(content: &str) -> Vec<String> {
        parse(content.as_bytes()).unwrap().iter().map(|payment| payment.id.as_str().to_owned()).collect()
    }

    fn shown(content: &str) -> Vec<(u64, Option<String>, String, String)> {
        let payments = parse(content.as_bytes()).unwrap().into_iter();
        payments
            .map(|FilePayment { line, request: PayRequest { channel, payment }, .. }| {
                (line, channel.to, payment.amount.to_string(), payment.memo.as_str().to_owned())
            })
            .collect()
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = "to,amount,memo,id\n0xab,1.5,\"coffee, black\",a\n\n,2,,\n";
        let json = "{\"to\":\"0xab\",\"amount\":\"1.5\",\"memo\":\"coffee, black\",\"id\":\"a\"}\n\n{\"amount\":\"2\"}\n";
        let wanted = |second| {
            let first = (
                if second == 4 { 2 } else { 1 },
                Some("0xab".to_owned()),
                "1.5".into(),
                "coffee, black".into(),
            );
            vec![first, (second, None, "2".to_owned(), String::new())]
        };
        assert_eq!(shown(csv), wanted(4));
        assert_eq!(shown(json), wanted(3));
        assert_eq!(ids(csv)[0], "a");
    }

    #[test]
    fn columns_come_in_any_order_and_all_but_the_amount_may_be_missing() {
        assert_eq!(shown("amount\n1\n"), [(2, None, "1".to_owned(), String::new())]);
        let crlf = "\u{feff}memo,amount\r\nfor June,3\r\n";
        assert_eq!(shown(crlf), [(2, None, "3".to_owned(), "for June".to_owned())]);
        let over_lines = "amount,memo\n1,\"\"\n\r\n2,x\r3,y";
        let lines = |content| shown(content).iter().map(|payment| payment.0).collect::<Vec<_>>();
        assert_eq!(lines(over_lines), [2, 4, 5]);
        assert_eq!(lines("amount,\"memo\"\n\n\n1,x\n2,y\n"), [4, 5]);
    }

    #[test]
    fn a_payment_without_an_id_gets_one_of_the_content_and_its_line() {
        let file = "to,amount\n,1\n,1\n";
        let first = ids(file);
        assert_eq!(first, ids(file), "the same file again");
        assert_ne!(first[0], first[1], "two equal lines are two payments");
        assert!(first.iter().all(|id| id.len() == 32), "{first:?}");
        let changed = ids("to,amount\n,1\n,2\n");
        assert!(!changed.contains(&first[0]), "a changed file is another one");
        // For ever: a later version must not pay a file again.
        assert_eq!(first[0], "f649124f3546c05b571c3e44d6a4a6a2");
    }

    #[test]
    fn all_that_is_wrong_is_said_with_its_line() {
        let text = faults("to,amount,id\n,0,\n,-1,\n,1.5e3,\n,1,two words\n,1,a\n,1\n,2,a\n");
        for wanted in [
            "line 2: the amount is zero",
            "line 3: amount \"-1\": ",
            "line 4: amount \"1.5e3\": ",
            "line 5: a payment id has 1 to 64",
            "line 7: it has 2 values, and there are 3 columns",
            "line 8: line 6 has the same id",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert_eq!(text.lines().count(), 6, "{text}");
    }

    #[test]
    fn unknown_columns_and_fields_are_refused() {
        assert!(faults("to,amount,note\n,1,x\n").contains("there is no column \"note\""));
        assert!(faults("to;amount\n;1\n").contains("there is no column \"to;amount\""));
        assert!(faults("to,memo\n,x\n").contains("the column amount is missing"));
        assert!(faults("amount,amount\n1,2\n").contains("twice"));
        assert!(faults("{\"amount\":\"1\",\"note\":1}").contains("unknown field `note`"));
        assert!(faults("{\"amount\":1.5}").contains("expected a string"));
        assert!(faults("{\"amount\":\"1\",\"amount\":\"2\"}").contains("duplicate field"));
        assert!(faults("{\"to\":\"0xab\"}").contains("missing field `amount`"));
    }

    #[test]
    fn a_file_without_payments_or_text_is_refused() {
        for empty in ["", "\n", "to,amount\n"] {
            assert!(parse(empty.as_bytes()).is_err(), "{empty:?}");
        }
        assert_eq!(faults("to,amount\n"), "it has no payments");
        assert!(parse(b"amount\n\xff\n").is_err());
    }
}
