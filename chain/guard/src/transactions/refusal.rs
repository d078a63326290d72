//! What it means that an endpoint does not take a transaction.

use crate::error::AskError;

/// The meaning of an endpoint's answer to a signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BroadcastAnswer {
    /// It has the transaction.
    Taken,
    /// The account nonce is used already.
    NonceUsed,
    /// It wants higher fees: more than a transaction with this nonce that it has, than its own least,
    /// or than the base fee.
    Underpriced,
    /// The account has too little ether.
    NoEther(String),
    /// It does not take this transaction, whatever it pays.
    Refused(String),
    /// The endpoint holds as many of the account's transactions as it takes; it may take this one once one of them is mined.
    Full,
    /// It gave no answer, or wishes fewer requests: the same is sent again.
    NoAnswer,
}

/// Words, and what an answer with one of them means.
type Row = (&'static [&'static str], fn(String) -> BroadcastAnswer);

/// The words of geth, Erigon, Nethermind, Besu, Reth, anvil and the gateways before them. Each row is
/// tried in turn.
const WORDS: [Row; 5] = [
    (
        &[
            "account limit exceeded",
            "in-flight transaction limit",
            "as a spammer",
            "too many pending",
            "too many transactions",
        ],
        |_| BroadcastAnswer::Full,
    ),
    (
        &[
            "already known",
            "already imported",
            "known transaction",
            "alreadyknown",
            "already in",
            "already exists",
        ],
        |_| BroadcastAnswer::Taken,
    ),
    (&["nonce too low", "nonce is too low", "oldnonce", "old nonce", "nonce_too_low"], |_| {
        BroadcastAnswer::NonceUsed
    }),
    (
        &[
            "underpriced",
            "fee too low",
            "feetoolow",
            "price too low",
            "fee cap less than",
            "max fee per gas less than",
            "less than block base fee",
            "gas tip cap",
            "tip below",
            "priority fee",
            "below the minimum",
            "minimum needed",
            "pool is full",
            "pool full",
            "limit exceeded",
        ],
        |_| BroadcastAnswer::Underpriced,
    ),
    (
        &[
            "insufficient funds",
            "insufficient balance",
            "doesn't have enough",
            "not enough",
            "exceeds balance",
        ],
        BroadcastAnswer::NoEther,
    ),
];

impl BroadcastAnswer {
    /// What the answer to `eth_sendRawTransaction` means.
    pub(crate) fn of<T>(result: &Result<T, AskError>) -> Self {
        let refusal = match result {
            Ok(_) => return Self::Taken,
            Err(AskError::Refused(refusal)) => refusal,
            Err(
                AskError::Unreachable(_)
                | AskError::Timeout
                | AskError::RateLimited(_)
                | AskError::Invalid(_),
            ) => return Self::NoAnswer,
        };
        let text = refusal.message.to_lowercase();
        let row = WORDS.iter().find(|(words, _)| words.iter().any(|word| text.contains(word)));
        row.map_or_else(
            || Self::Refused(refusal.message.clone()),
            |(_, meaning)| meaning(refusal.message.clone()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    fn meaning(message: &str) -> BroadcastAnswer {
        BroadcastAnswer::of::<()>(&Err(AskError::Refused(Refusal {
            code: -32000,
            message: message.into(),
            data: Vec::new(),
        })))
    }

    #[test]
    fn refusals_are_understood_in_the_words_of_the_clients_in_use() {
        for known in ["already known", "AlreadyKnown", "transaction already in the pool"] {
            assert_eq!(meaning(known), BroadcastAnswer::Taken, "{known}");
        }
        for used in ["nonce too low: next nonce 5, tx nonce 4", "OldNonce"] {
            assert_eq!(meaning(used), BroadcastAnswer::NonceUsed, "{used}");
        }
        for cheap in [
            "replacement transaction underpriced",
            "max fee per gas less than block base fee: address 0x, maxFeePerGas: 1, baseFee: 7",
            "transaction underpriced: gas tip cap 1, minimum needed 25000000000",
            "FeeTooLow",
            "txpool is full",
        ] {
            assert_eq!(meaning(cheap), BroadcastAnswer::Underpriced, "{cheap}");
        }
        for full in ["account limit exceeded", "rejected due to 0x11 being identified as a spammer"] {
            assert_eq!(meaning(full), BroadcastAnswer::Full, "{full}");
        }
        assert!(matches!(meaning("insufficient funds for gas * price + value"), BroadcastAnswer::NoEther(_)));
        assert_eq!(meaning("no thanks"), BroadcastAnswer::Refused("no thanks".into()));
    }

    #[test]
    fn g4_no_answer_is_no_refusal() {
        assert_eq!(BroadcastAnswer::of::<()>(&Err(AskError::Timeout)), BroadcastAnswer::NoAnswer);
        assert_eq!(
            BroadcastAnswer::of::<()>(&Err(AskError::RateLimited(String::new()))),
            BroadcastAnswer::NoAnswer
        );
    }
}
