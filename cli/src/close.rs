//! `closechannel`: alone, cooperatively, or cooperatively with a fallback.

use thunder_api::{ApiError, CloseMode, CloseRequest, ClosingStarted, Code, ExitCode, Selector};

use crate::args::CloseChannel;
use crate::client::{CallEffect, Node};
use crate::files;
use crate::output::{Failure, Output, human, safe};
use crate::run::unwritten_effect;

/// A channel to close, as the user wants it.
pub(crate) struct Closing {
    channel: Selector,
    mode: CloseMode,
    confirmed: bool,
    fallback: bool,
}

impl Closing {
    /// Reads the receipt, if one is named, and warns of what it may cost.
    pub(crate) fn new(arguments: CloseChannel, output: &Output) -> Result<Self, ApiError> {
        let mut channel: Selector = arguments.which.into();
        let mode = match &arguments.receipt {
            Some(path) => {
                let (receipt, of) = files::receipt(path)?;
                if channel == Selector::default() {
                    channel.channel = of;
                }
                if arguments.yes {
                    output.warning(
                        "if this receipt is not the newest, the other side can take the whole channel with \
                         `challenge`",
                    );
                }
                CloseMode::Receipt { receipt: Box::new(receipt), even_if_old: arguments.yes }
            }
            None if arguments.cooperative => CloseMode::Cooperative,
            None => CloseMode::Alone,
        };
        Ok(Self { channel, mode, confirmed: arguments.yes, fallback: arguments.fallback })
    }
}

/// Closes the channel.
pub(crate) async fn close(node: &Node, output: &Output, closing: Closing) -> Result<(), Failure> {
    let doing = match closing.mode {
        CloseMode::Cooperative => "asking the other side for a FINAL receipt",
        CloseMode::Alone | CloseMode::Receipt { .. } => "closing: waiting for the transaction",
    };
    let Closing { channel, mode, confirmed, fallback } = closing;
    let request = CloseRequest { channel, mode, confirmed };
    let answer = match ask(node, doing, request.clone()).await {
        Err(refused) if fallback && is_up_to_the_other_side(refused.code) => {
            output.note(&format!("{}; closing alone", safe(&refused.message)));
            alone_after(node, request, refused).await?
        }
        answer => answer?,
    };
    output.answer_with_commands(&answer, human::closing).map_err(unwritten_effect)
}

async fn ask(node: &Node, doing: &str, request: CloseRequest) -> Result<ClosingStarted, ApiError> {
    node.ask(doing, CallEffect::State, node.calls.close_channel(node.context(), request)).await
}

/// Closes alone after the cooperative close has `failed`. If the outcome of the cooperative close is unknown, a refusal
/// must not read as if nothing had happened.
async fn alone_after(
    node: &Node,
    request: CloseRequest,
    failed: ApiError,
) -> Result<ClosingStarted, ApiError> {
    let alone = CloseRequest { mode: CloseMode::Alone, ..request };
    let closed = ask(node, "closing alone: waiting for the transaction", alone).await;
    closed.map_err(|refused| {
        let unknown = failed.code.exit_code() == ExitCode::Unknown;
        if !unknown || refused.code.exit_code() != ExitCode::Refused {
            return refused;
        }
        let message = format!("{}; then, closing alone: {}", failed.message, refused.message);
        ApiError::new(failed.code, message, refused.hint)
    })
}

/// Whether the cooperative close failed because of the other side, so that closing alone can succeed.
fn is_up_to_the_other_side(code: Code) -> bool {
    matches!(
        code,
        Code::PeerStopped
            | Code::PeerRefused
            | Code::PeerUnreachable
            | Code::PeerNotConnected
            | Code::PaymentUndecided
            | Code::UnderWay
            | Code::Busy
            | Code::Timeout
    )
}
