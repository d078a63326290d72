//! Why a question to an endpoint has no answer.

/// Why a question to an endpoint has no answer. It concerns that one question (guard rule G5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The endpoint can't be reached, or the connection was lost.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("did not answer in time")]
    Timeout,
    /// The endpoint wants fewer requests; the same question is asked again later (rule G3).
    #[error("limits requests: {0}")]
    RateLimited(String),
    /// The endpoint answers with an error.
    #[error("answers: {0}")]
    Refused(Refusal),
    /// The answer is not what the question asks for.
    #[error("gives an answer that makes no sense: {0}")]
    Invalid(String),
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its code.
    pub code: i64,
    /// Its text, without control characters and of bounded length.
    pub message: String,
    /// What the contract said, if it refused.
    pub data: Vec<u8>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl AskError {
    pub(crate) fn invalid(what: impl std::fmt::Display) -> Self {
        Self::Invalid(bounded(&what.to_string()))
    }

    /// Whether the contract itself refuses the call.
    pub fn is_revert(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                !refusal.data.is_empty()
                    || refusal.code == 3
                    || refusal.message.to_lowercase().contains("revert")
            }
            Self::Unreachable(_) | Self::Timeout | Self::RateLimited(_) | Self::Invalid(_) => false,
        }
    }

    /// Whether the endpoint may answer a question that asks for less: it refused this one, or what came
    /// was cut off or too large.
    pub const fn may_be_too_much(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Invalid(_) | Self::Timeout)
    }
}

/// The longest text of an endpoint's that is kept.
const MAX_TEXT: usize = 300;

/// An endpoint's text as it may stand in a log or an answer: one line of bounded length.
pub(crate) fn bounded(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let cut: String = line.take(MAX_TEXT).collect();
    if cut.len() < text.len() { format!("{}…", cut.trim_end()) } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g5_an_endpoints_text_is_one_line_of_bounded_length() {
        assert_eq!(bounded("a\nb\u{1b}[31mc"), "a b [31mc");
        assert!(bounded(&"x".repeat(100_000)).chars().count() <= MAX_TEXT + 1);
    }
}
