//! clap's errors turned into ours: a command line that does not parse, or the help and the version that were asked for.

use std::error::Error;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use thunder_api::{ApiError, Code};

use crate::values::BadAmount;

/// Whether the user wants JSON, as far as a command line that does not parse tells.
pub(crate) fn wants_json(arguments: &[OsString], variable: Option<OsString>) -> bool {
    let flag = arguments.iter().skip(1).take_while(|text| *text != "--").any(|text| text == "--json");
    flag || variable.is_some_and(|text| {
        let text = text.to_string_lossy().to_lowercase();
        !matches!(text.as_str(), "" | "0" | "f" | "false" | "n" | "no" | "off")
    })
}

/// Whether the parser's "error" is the help page or the version that the user asked for.
pub(crate) fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Names the command that a misplaced flag belongs to, in place of a flag that is written alike.
pub(crate) fn name_owner(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let Some(name) = flag.strip_prefix("--").map(|flag| flag.split('=').next().unwrap_or(flag)) else {
        return error;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let definition = crate::definition();
    let has_flag =
        |command: &&clap::Command| command.get_arguments().any(|argument| argument.get_long() == Some(name));
    let owners: Vec<_> =
        definition.get_subcommands().filter(has_flag).map(|command| command.get_name().to_owned()).collect();
    if owners.is_empty() {
        return error;
    }
    let tip = format!("--{name} belongs to: {}", owners.join(", "));
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let used =
        definition.get_subcommands().find(|command| usage.split(' ').any(|word| word == command.get_name()));
    if let Some(used) = used {
        let usage = used.clone().bin_name(format!("thunder-cli {}", used.get_name())).render_usage();
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// The same error as [`ApiError`]: the first paragraph is what is wrong, the rest what to do.
pub(crate) fn to_api_error(error: &clap::Error) -> ApiError {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(one_line).filter(|paragraph| !paragraph.is_empty());
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let hint: Vec<_> = paragraphs.collect();
    let bad_amount = error.source().is_some_and(|cause| cause.is::<BadAmount>());
    let code = if bad_amount { Code::InvalidAmount } else { Code::Usage };
    ApiError::new(code, message, hint.join(". "))
}

fn one_line(paragraph: &str) -> String {
    let words: Vec<_> = paragraph.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn error(arguments: &[&str]) -> ApiError {
        let mut all = vec!["thunder-cli"];
        all.extend(arguments);
        to_api_error(&crate::parse(&words(&all)).unwrap_err())
    }

    #[test]
    fn json_is_recognised_before_the_double_dash_and_in_the_environment() {
        assert!(wants_json(&words(&["thunder-cli", "frobnicate", "--json"]), None));
        assert!(!wants_json(&words(&["thunder-cli", "--", "--json"]), None));
        assert!(wants_json(&[], Some("1".into())));
        assert!(!wants_json(&[], Some("off".into())));
    }

    #[test]
    fn the_message_is_one_line_and_the_hint_says_what_to_do() {
        let error = error(&["inffos"]);
        assert_eq!(error.code, Code::Usage);
        assert_eq!(error.message, "unrecognized subcommand 'inffos'");
        assert_eq!(
            error.hint,
            "tip: a similar subcommand exists: 'infos'. Usage: thunder-cli [options] <command>. For more \
             information, try '--help'"
        );
    }

    #[test]
    fn a_flag_of_another_command_is_named_as_such() {
        let error = error(&["openchannel", "--memo", "x"]);
        assert!(error.hint.contains("--memo belongs to: pay"), "{}", error.hint);
        assert!(!error.hint.contains("--timeout"), "{}", error.hint);
    }

    #[test]
    fn a_bad_amount_has_its_own_name() {
        assert_eq!(error(&["pay", "-1"]).code, Code::InvalidAmount);
        assert_eq!(error(&["pay"]).code, Code::Usage);
        assert_eq!(error(&["--timeout", "-1"]).code, Code::Usage);
    }
}
