//! Commands that a user pastes: the same command again, with the channel that is meant, and those that texts name,
//! for the node that the user named.

use std::ffi::OsString;

use thunder_api::{ApiError, ChecksumAddress};

use crate::output::{Failure, safe};

/// The width that lines keep to.
const WIDTH: usize = 80;
/// Flags whose value may look like another flag.
const FREE_TEXT: [&str; 2] = ["--memo", "--id"];

/// The default of --port.
const DEFAULT_PORT: u16 = 2001;

/// Adds the port of the node to the commands that the error names.
pub(crate) fn with_port(failure: Failure, port: u16) -> Failure {
    let on_port = |error: ApiError| ApiError {
        message: commands_on_port(&error.message, port),
        hint: commands_on_port(&error.hint, port),
        ..error
    };
    match failure {
        Failure::Api(error) => Failure::Api(on_port(error)),
        Failure::Shown(error) => Failure::Shown(on_port(error)),
        write @ Failure::Write { .. } => write,
    }
}

/// The text with `--port` in every `thunder-cli <command>`, unless it is the default.
pub(crate) fn commands_on_port(text: &str, port: u16) -> String {
    const PROGRAM: &str = "thunder-cli ";
    if port == DEFAULT_PORT || !text.contains(PROGRAM) {
        return text.to_owned();
    }
    let definition = crate::definition();
    let is_command = |word: &str| definition.get_subcommands().any(|command| command.get_name() == word);
    let mut parts = text.split(PROGRAM);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let word = part.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        result.push_str(PROGRAM);
        if is_command(word) {
            result.push_str(&format!("--port {port} "));
        }
        result.push_str(part);
    }
    result
}

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
    fn commands_name_the_port_that_the_user_named() {
        let text = "look at `thunder-cli infos`; thunder-cli --port 7 pay 1; thunder-cli frobnicates";
        assert_eq!(
            commands_on_port(text, 2002),
            "look at `thunder-cli --port 2002 infos`; thunder-cli --port 7 pay 1; thunder-cli frobnicates"
        );
        assert_eq!(commands_on_port(text, 2001), text);
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
