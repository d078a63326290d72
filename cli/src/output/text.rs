//! The building blocks of text for people.

use std::fmt::{Display, Write};
use std::io;

use anstyle::Style;
use jiff::Timestamp;
use thunder_api::{ApiError, Code};

/// The style of amounts, labels and names.
pub(super) const BOLD: Style = Style::new().bold();
/// The style of details that most readers skip.
pub(super) const DIM: Style = Style::new().dimmed();

/// Labels and values, one a line, the values below each other.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a value; an empty label goes on with the one above.
    pub(super) fn add(mut self, label: &str, value: impl Display) -> Self {
        self.0.push((label.to_owned(), value.to_string()));
        self
    }

    /// Adds a value if there is one.
    pub(super) fn maybe(self, label: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.add(label, value),
            None => self,
        }
    }

    /// The lines, each after so many spaces.
    pub(super) fn lines(&self, indent: usize) -> String {
        let width = self.0.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (label, value) in &self.0 {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{:indent$}{DIM}{label:width$}{DIM:#}  {value}", "");
        }
        text
    }
}

/// A text of somebody else's, harmless to the terminal: without control characters, and without
/// those that turn the direction of writing.
pub(crate) fn safe(text: impl Display) -> String {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut text = text.to_string();
    if text.contains(|c| harmful(c) && c != '\n') {
        text = text.chars().map(|c| if harmful(c) && c != '\n' { '\u{fffd}' } else { c }).collect();
    }
    text
}

/// Milliseconds since 1970 as date and time (UTC).
pub(super) fn time(milliseconds: u64) -> String {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Decimal numbers with their points below each other.
pub(super) fn align(numbers: &[&str]) -> Vec<String> {
    let whole = |number: &str| number.find('.').unwrap_or(number.len());
    let width = numbers.iter().map(|number| whole(number)).max().unwrap_or_default();
    numbers.iter().map(|number| format!("{:1$}{number}", "", width - whole(number))).collect()
}

/// The beginning of an address or peer id, long enough to name it with.
pub(super) fn short(name: impl Display) -> String {
    let name = safe(name);
    match name.char_indices().nth(10) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name,
    }
}

/// The error for an answer that could not be written. If the command `has_effect`, the error says so: a user who
/// believes that nothing was done would repeat the command.
pub(super) fn unwritten(cause: &io::Error, has_effect: bool) -> ApiError {
    let message = format!("can't write the answer: {cause}");
    if has_effect {
        ApiError::new(Code::Timeout, message, "it was done all the same: look at `thunder-cli infos`")
    } else {
        ApiError::new(Code::File, message, "look at where standard output goes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_can_not_steer_the_terminal() {
        assert_eq!(safe("\u{1b}[31mred\u{7}"), "\u{fffd}[31mred\u{fffd}");
        assert_eq!(safe("evil\u{202e}txt"), "evil\u{fffd}txt");
        assert_eq!(safe("two\nlines, für ☕"), "two\nlines, für ☕");
    }

    #[test]
    fn times_are_utc_and_never_panic() {
        assert_eq!(time(1_795_371_903_000), "2026-11-22 18:25:03");
        assert_eq!(time(u64::MAX), "?");
    }

    #[test]
    fn points_are_below_each_other() {
        assert_eq!(align(&["100", "9.5", "10.25"]), ["100", "  9.5", " 10.25"]);
        assert_eq!(align(&[]), [""; 0]);
    }
}
