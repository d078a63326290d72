//! `run`: what each command does, if it makes one call of thunderd and shows its answer.
//!
//! The others are in `close.rs`, `history.rs`, `payments.rs`, `wallet.rs` and `watch.rs`.

use std::io;
use std::path::Path;

use thunder_api::{
    ApiError, BackupRequest, Code, ExportedFile, FundRequest, ImportReceiptRequest, OpenRequest, PaidOut,
    PayRequest, PaymentRequest, RestoreRequest, Selector, Watchtower,
};
use thunder_protocol::PaymentId;

use crate::args::{Cli, Command, ExportReceipts, Fund, OpenChannel, Pay, Which};
use crate::client::{CallEffect, Node};
use crate::close::{self, Closing};
use crate::output::{Failure, Output, human};
use crate::wallet::{self, Making};
use crate::{files, history, pay_file, payments, secrets, watch};

/// Carries out the command. Errors in the user's own files and input are found before thunderd is asked for anything.
pub(crate) async fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    let connect = Node::connect(&cli.global);
    match cli.command.unwrap_or(Command::Infos { all: false }) {
        Command::Infos { all } => infos(&connect.await?, output, all).await,
        Command::Importwallet(arguments) => {
            let yes = arguments.yes;
            let wallet = secrets::read(arguments, output)?;
            // Connected before the prompt, so that no user types 24 words in vain.
            let node = connect.await?;
            wallet::import(&node, output, wallet, yes).await
        }
        Command::Newwallet(arguments) => {
            let making = Making::new(arguments, output)?;
            making.make(&connect.await?, output).await
        }
        Command::Balance => balance(&connect.await?, output).await,
        Command::Connect { address } => connect_to(&connect.await?, output, address).await,
        Command::Openchannel(arguments) => open_channel(&connect.await?, output, arguments).await,
        Command::Pay(Pay { file: Some(path), .. }) => {
            let payments = pay_file::read(&path)?;
            payments::pay_all(&connect.await?, output, &payments).await
        }
        Command::Pay(arguments) => pay(&connect.await?, output, arguments).await,
        Command::Closechannel(arguments) => {
            let closing = Closing::new(arguments, output)?;
            close::close(&connect.await?, output, closing).await
        }
        Command::Withdraw(which) => withdraw(&connect.await?, output, which).await,
        Command::Challenge(which) => challenge(&connect.await?, output, which).await,
        Command::Fund(arguments) => fund(&connect.await?, output, arguments).await,
        Command::Cancel(which) => cancel(&connect.await?, output, which).await,
        Command::History(arguments) => history::list(&connect.await?, output, arguments).await,
        Command::Receipts(arguments) => {
            let given = arguments.import.as_deref().map(files::exported).transpose()?;
            let node = connect.await?;
            match given {
                Some(file) => import_receipt(&node, output, arguments.which.into(), file).await,
                None => receipts(&node, output, arguments).await,
            }
        }
        Command::Backup { file, force } => backup(&connect.await?, output, &file, force).await,
        Command::Restore { file, unsigned } => restore(&connect.await?, output, &file, unsigned).await,
        Command::Prune { before } => history::prune(&connect.await?, output, before).await,
        Command::Watch { after } => watch::watch(&connect.await?, output, after).await,
        Command::Completions { shell } => {
            output.text(&crate::completions(shell, crate::definition())).map_err(unwritten_query)
        }
    }
}

async fn infos(node: &Node, output: &Output, all: bool) -> Result<(), Failure> {
    let call = node.calls.infos(node.context(), all);
    let infos = node.ask("asking thunderd", CallEffect::Nothing, call).await?;
    output.answer_with_commands(&infos, human::infos).map_err(unwritten_query)
}

async fn balance(node: &Node, output: &Output) -> Result<(), Failure> {
    let call = node.calls.balance(node.context());
    let balance = node.ask("asking the chain", CallEffect::Nothing, call).await?;
    output.answer_with_commands(&balance, human::balance).map_err(unwritten_query)
}

async fn connect_to(node: &Node, output: &Output, address: String) -> Result<(), Failure> {
    let call = node.calls.connect(node.context(), address);
    let peer = node.ask("connecting, and checking who it is", CallEffect::State, call).await?;
    output.answer(&peer, human::connected).map_err(unwritten_effect)
}

async fn open_channel(node: &Node, output: &Output, arguments: OpenChannel) -> Result<(), Failure> {
    let OpenChannel { amount, deposit, peer, yes } = arguments;
    let request = OpenRequest { amount, deposit, peer, accept_short_period: yes };
    let call = node.calls.open_channel(node.context(), request);
    let doing = "opening the channel: waiting for the transaction and its confirmations";
    let channel = node.ask(doing, CallEffect::State, call).await?;
    output.answer_with_commands(&channel, human::opened).map_err(unwritten_effect)
}

async fn fund(node: &Node, output: &Output, arguments: Fund) -> Result<(), Failure> {
    let request = FundRequest { channel: arguments.which.into(), amount: arguments.amount };
    let call = node.calls.fund(node.context(), request);
    let doing = "paying in: waiting for the transaction and its confirmations";
    let channel = node.ask(doing, CallEffect::State, call).await?;
    output.answer(&channel, human::funded).map_err(unwritten_effect)
}

async fn pay(node: &Node, output: &Output, arguments: Pay) -> Result<(), Failure> {
    // Chosen here and not by thunderd, so that the user can repeat the payment with the same id
    // even if no answer ever comes.
    let id = arguments.id.map_or_else(new_payment_id, Ok)?;
    let payment = PaymentRequest {
        // The parser asks for one.
        amount: arguments.amount.unwrap_or_default(),
        memo: arguments.memo.unwrap_or_default(),
        id: Some(id.clone()),
    };
    let call = node.calls.pay(node.context(), PayRequest { channel: arguments.which.into(), payment });
    let paid = node.ask("waiting for the other side's signature", CallEffect::Payment(&id), call).await?;
    output.answer(&paid, human::paid).map_err(unwritten_effect)
}

async fn withdraw(node: &Node, output: &Output, which: Which) -> Result<(), Failure> {
    let call = node.calls.withdraw(node.context(), which.into());
    let paid = node.ask("withdrawing: waiting for the transaction", CallEffect::State, call).await?;
    show_paid_out(output, &paid, human::withdrawn)
}

async fn challenge(node: &Node, output: &Output, which: Which) -> Result<(), Failure> {
    let call = node.calls.challenge(node.context(), which.into());
    let paid = node.ask("challenging: waiting for the transaction", CallEffect::State, call).await?;
    show_paid_out(output, &paid, human::challenged)
}

async fn cancel(node: &Node, output: &Output, which: Which) -> Result<(), Failure> {
    let call = node.calls.cancel(node.context(), which.into());
    let paid = node.ask("cancelling: waiting for the transaction", CallEffect::State, call).await?;
    show_paid_out(output, &paid, human::cancelled)
}

fn show_paid_out(
    output: &Output,
    paid: &PaidOut,
    human: impl FnOnce(&PaidOut) -> String,
) -> Result<(), Failure> {
    output.answer(paid, human).map_err(unwritten_effect)
}

/// Exports as JSON for people, too: it is meant for other tools, or for a file.
async fn receipts(node: &Node, output: &Output, arguments: ExportReceipts) -> Result<(), Failure> {
    let selector: Selector = arguments.which.into();
    let call = node.calls.receipts(node.context(), selector);
    let receipts = node.ask("asking thunderd", CallEffect::Nothing, call).await?;
    if arguments.watchtower {
        return watchtower(output, receipts.watchtower.as_ref(), arguments.output.as_deref());
    }
    let json =
        serde_json::to_string_pretty(&receipts).map_err(io::Error::from).map_err(unwritten_query)? + "\n";
    let Some(path) = arguments.output else {
        return output.answer(&receipts, |_| json).map_err(unwritten_query);
    };
    files::create(&path, &json)?;
    output.answer(&receipts, |receipts| human::exported(receipts, &path)).map_err(unwritten_query)
}

async fn import_receipt(
    node: &Node,
    output: &Output,
    channel: Selector,
    file: ExportedFile,
) -> Result<(), Failure> {
    let request = ImportReceiptRequest { channel, file };
    let call = node.calls.import_receipt(node.context(), request);
    let imported = node.ask("checking the receipt", CallEffect::State, call).await?;
    output.answer_with_commands(&imported, human::receipt_imported).map_err(unwritten_effect)
}

/// The record for a third party, which can stand alone.
fn watchtower(output: &Output, record: Option<&Watchtower>, path: Option<&Path>) -> Result<(), Failure> {
    let record = record.ok_or_else(|| {
        let message = "the other side has signed no receipt yet that could be challenged with";
        ApiError::new(Code::WrongState, message, "a watchtower is of use after the first payment; see infos")
    })?;
    let json = serde_json::to_string_pretty(record).map_err(io::Error::from).map_err(unwritten_query)? + "\n";
    let Some(path) = path else {
        return output.answer(record, |_| json).map_err(unwritten_query);
    };
    files::create(path, &json)?;
    output.answer(record, |record| human::watched(record, path)).map_err(unwritten_query)
}

async fn backup(node: &Node, output: &Output, file: &Path, force: bool) -> Result<(), Failure> {
    let request = BackupRequest { file: files::absolute(file)?, force };
    let call = node.calls.backup(node.context(), request);
    let made = node.ask("copying the node's state", CallEffect::State, call).await?;
    output.answer(&made, human::backed_up).map_err(unwritten_effect)
}

async fn restore(node: &Node, output: &Output, file: &Path, unsigned: bool) -> Result<(), Failure> {
    let request = RestoreRequest { file: files::absolute(file)?, unsigned };
    let call = node.calls.restore(node.context(), request);
    let restored = node.ask("checking the backup", CallEffect::State, call).await?;
    if !restored.signed {
        output.warning(
            "nobody has signed this backup: whoever could write to it can have changed it;\n         look at the channels \
             and their shares before you trust them",
        );
    }
    output.answer_with_commands(&restored, human::restored).map_err(unwritten_effect)
}

/// 128 random bits: no two payments ever share them.
fn new_payment_id() -> Result<PaymentId, ApiError> {
    let failed = |cause: &dyn std::fmt::Display| {
        ApiError::new(Code::Internal, format!("can't choose a payment id: {cause}"), "name one with --id")
    };
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| failed(&error))?;
    PaymentId::new(format!("{:032x}", u128::from_be_bytes(bytes))).map_err(|error| failed(&error))
}

/// The answer of a command that only reads could not be written.
pub(crate) fn unwritten_query(cause: io::Error) -> Failure {
    Failure::Write { cause, has_effect: false }
}

/// The answer of a command that has changed something could not be written.
pub(crate) fn unwritten_effect(cause: io::Error) -> Failure {
    Failure::Write { cause, has_effect: true }
}
