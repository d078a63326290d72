//! The same command again, with the channel that is meant: what a user pastes after a refusal.

use std::ffi::OsString;

use thunder_api::{ApiError, ChecksumAddress};

use crate::output::{Failure, safe};

/// The width that lines keep to.
const WIDTH: usize = 80;
/// Flags whose value may look like another flag.
const FREE_TEXT: [&str; 2] = ["--memo", "--id"];

/// Adds a command for each channel that the refused one could mean to the hint.
pub(crate) fn with_commands(failure: Failure, arguments: &[OsString]) -> Failure {
    match failure {
        Failure::Api(error) if !error.channels.is_empty() => {
            let words = without_channel(arguments.get(1..).unwrap_or_default());
            let commands = error.channels.iter().map(|channel| command(&words, *channel));
            let hint = commands.fold(format!("{}:", error.hint), |hint, command| hint + "\n" + &command);
            Failure::Api(ApiError { hint, ..error })
        }
        failure => failure,
    }
}

/// The words of the command line, quoted where a shell would take them for something else, without `--channel`.
fn without_channel(arguments: &[OsString]) -> Vec<String> {
    let mut words = Vec::new();
    let (mut is_text, mut is_channel) = (false, false);
    for argument in arguments {
        let word = argument.to_string_lossy();
        let (was_text, was_channel) = (is_text, is_channel);
        is_text = !was_text && !was_channel && FREE_TEXT.contains(&word.as_ref());
        is_channel = !was_text && !was_channel && word == "--channel";
        if was_channel || is_channel || (!was_text && word.starts_with("--channel=")) {
            continue;
        }
        words.push(quoted(&safe(&word)));
    }
    words
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if cfg!(windows) { format!("\"{word}\"") } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The command with a channel, over two lines where one is too long.
fn command(words: &[String], channel: ChecksumAddress) -> String {
    let start = [&["thunder-cli".to_owned()], words].concat().join(" ");
    let line = format!("  {start} --channel {channel}");
    if line.chars().count() <= WIDTH || cfg!(windows) {
        return line;
    }
    format!("  {start} \\\n    --channel {channel}")
}

#[cfg(test)]
mod tests {
    use thunder_api::Code;

    use super::*;

    const CHANNEL: &str = "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC";

    fn hint(arguments: &[&str]) -> String {
        let channel = CHANNEL.parse().unwrap();
        let error = ApiError::new(Code::AmbiguousChannel, "several", "name one").with_channels([channel]);
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        match with_commands(Failure::Api(error), &arguments) {
            Failure::Api(error) => error.hint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_refused_command_comes_back_with_the_channel() {
        assert_eq!(
            hint(&["thunder-cli", "withdraw"]),
            format!("name one:\n  thunder-cli withdraw --channel {CHANNEL}")
        );
        for given in [&["t", "withdraw", "--channel", "0x"][..], &["t", "--channel=0x", "withdraw"]] {
            assert_eq!(hint(given), format!("name one:\n  thunder-cli withdraw --channel {CHANNEL}"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_too_long_takes_two_lines_and_words_stay_words() {
        assert_eq!(
            hint(&["t", "--port", "2002", "pay", "1", "--memo", "it's June"]),
            format!(
                "name one:\n  thunder-cli --port 2002 pay 1 --memo 'it'\\''s June' \\\n    --channel {CHANNEL}"
            )
        );
        assert!(
            hint(&["t", "pay", "1", "--memo", "--channel"])
                .contains("pay 1 --memo --channel \\\n    --channel 0x")
        );
        assert!(hint(&["t", "pay", "1", "--memo", ""]).contains("--memo ''"));
    }
}
