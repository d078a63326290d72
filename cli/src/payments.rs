//! `pay --file`, second half: the payments of a file are made, with a line of result for each, in their order.

use std::cell::Cell;
use std::fmt::Write as _;

use futures::StreamExt as _;
use serde::Serialize;
use thunder_api::{ApiError, Code, ExitCode, Paid};
use thunder_protocol::PaymentId;

use crate::client::{CallEffect, Node};
use crate::output::{Failure, Output, human};
use crate::pay_file::FilePayment;

/// How many payments wait for their answers at once: what comes while one receipt is signed shares the next.
const IN_FLIGHT: usize = 128;
/// How many failures the summary names.
const MAX_NAMED: usize = 10;
/// How to go on after a failure.
const GO_ON: &str = "put right what the failures say, and give the same file again, unchanged: what is\n  \
                     done is not paid twice. In a changed file each payment without an id is a new\n  \
                     one, so take the lines that are done out of it";

/// The result of a payment that was not made, for programs.
#[derive(Serialize)]
struct NotPaid<'a> {
    id: &'a PaymentId,
    error: &'a ApiError,
}

/// What became of the payments whose result is printed.
#[derive(Default)]
struct Results {
    printed: usize,
    failed: usize,
    /// The worst of the failures: one of unknown outcome, or the first.
    code: Option<Code>,
    named: Vec<String>,
}

impl Results {
    fn print(
        &mut self,
        output: &Output,
        payment: &FilePayment,
        result: &Result<Paid, ApiError>,
        width: usize,
    ) -> Result<(), Failure> {
        self.printed += 1;
        let human = |_: &_| human::file_payment(payment, result, width);
        let written = match result {
            Ok(paid) => output.answer(paid, human),
            Err(error) => {
                self.note(payment.line, error);
                output.answer(&NotPaid { id: &payment.id, error }, |_| {
                    human::file_payment(payment, result, width)
                })
            }
        };
        written.map_err(|cause| {
            let message = format!("can't write the results: {cause}");
            // Not the end of a pipe like another: what was paid would look undone, or all done.
            Failure::Api(ApiError::new(Code::Timeout, message, GO_ON))
        })
    }

    fn note(&mut self, line: u64, error: &ApiError) {
        self.failed += 1;
        let is_unknown = |code: Code| code.exit_code() == ExitCode::Unknown;
        if self.code.is_none_or(|worst| is_unknown(error.code) && !is_unknown(worst)) {
            self.code = Some(error.code);
        }
        if self.named.len() < MAX_NAMED {
            self.named.push(format!("line {line}: {}", error.message));
        }
    }
}

/// Makes the payments. Succeeds only if all are done.
pub(crate) async fn pay_all(node: &Node, output: &Output, payments: &[FilePayment]) -> Result<(), Failure> {
    let begun = Cell::new(0_usize);
    let begin = |payment| {
        begun.set(begun.get() + 1);
        pay(node, payment)
    };
    let mut answers = futures::stream::iter(payments.iter().map(begin)).buffered(IN_FLIGHT);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let width = payments.last().map_or(1, |payment| payment.line.to_string().len());
    let mut results = Results::default();
    for payment in payments {
        let result = tokio::select! {
            // No payment is begun any more.
            biased;
            Ok(()) = &mut interrupted => break,
            result = answers.next() => result,
        };
        let Some(result) = result else { break };
        results.print(output, payment, &result, width)?;
    }
    drop(answers);
    let unanswered = payments.iter().take(begun.get()).skip(results.printed);
    for payment in unanswered {
        let message = "interrupted; thunderd goes on, and the outcome is unknown";
        let error = ApiError::new(Code::Timeout, message, "give the same file again, unchanged");
        results.print(output, payment, &Err(error), width)?;
    }
    finish(payments.len(), begun.get(), results)
}

async fn pay(node: &Node, payment: &FilePayment) -> Result<Paid, ApiError> {
    let call = node.calls.pay(node.context(), payment.request.clone());
    node.ask_quietly(CallEffect::Payment(&payment.id), call).await
}

/// The end of it: nothing more to say, or what is not done.
fn finish(all: usize, begun: usize, results: Results) -> Result<(), Failure> {
    let not_begun = all.saturating_sub(begun);
    if results.failed == 0 && not_begun == 0 {
        return Ok(());
    }
    let mut message = format!("of {all} payments {} are not done", results.failed + not_begun);
    for named in &results.named {
        // Writing to a string can't fail.
        let _ = write!(message, "\n  {named}");
    }
    if results.failed > results.named.len() {
        let _ = write!(message, "\n  and {} more", results.failed - results.named.len());
    }
    if not_begun > 0 {
        let _ = write!(message, "\n  {not_begun} were not begun");
    }
    Err(Failure::Shown(ApiError::new(results.code.unwrap_or(Code::Timeout), message, GO_ON)))
}
