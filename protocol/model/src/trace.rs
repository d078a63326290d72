//! A trace for a person to read.

use std::fmt::Write;

use thunder_protocol::Balances;
use thunder_protocol::wire::Message;

use crate::scenario::Scenario;
use crate::verdict::Broken;
use crate::world::{Action, Happening};
use thunder_testing::contract::Function;

pub(crate) fn of(scenario: &Scenario, property: &str, broken: Broken, path: Vec<Happening>) -> String {
    let mut text = format!("{}: {property} is broken: {broken:?}", scenario.name);
    if let Some(fault) = scenario.fault {
        let _ = write!(text, ", with the fault {fault:?}");
    }
    for (number, happening) in path.iter().enumerate() {
        let _ = write!(text, "\n{:3}. {}", number + 1, action(&happening.action));
        if let Some(cut) = happening.cut {
            let _ = write!(text, " and dies after {cut} of the steps");
        }
    }
    text
}

fn action(action: &Action) -> String {
    match action {
        Action::Pay(role) => format!("{role} pays"),
        Action::Close(role, true) => format!("{role} asks for a cooperative close"),
        Action::Close(role, false) => format!("{role} closes alone"),
        Action::Deliver { letter, again } => {
            let again = if *again { ", and will again" } else { "" };
            format!("{} gets {}{again}", letter.to, message(&letter.message))
        }
        Action::Tick(role) => format!("{role} repeats what is due"),
        Action::Reconnect => "a new session".into(),
        Action::Crash(role) => format!("{role} dies and starts again"),
        Action::Mine(pending) => format!("{}'s {:?} is mined", pending.from, pending.call.kind()),
        Action::See(role) => format!("{role} follows the chain"),
        Action::Blocks => "eight blocks pass".into(),
        Action::Reorg => "the chain takes its last event back".into(),
        Action::Backup(role) => format!("{role} copies its data directory"),
        Action::Restore(role) => format!("{role} restores the copy"),
        Action::OrderFinal(role) => format!("{role}'s user orders FINAL"),
        Action::Import(role, true) => format!("{role}'s user gives it its newest export"),
        Action::Import(role, false) => format!("{role}'s user gives it its newest record"),
        Action::Say(said) => format!("the adversary says {}", message(said)),
        Action::Post(function) => format!("the adversary calls {}", call(function)),
    }
}

fn shares(balances: Balances) -> String {
    format!("{}/{}", balances.a, balances.b)
}

fn message(message: &Message) -> String {
    match message {
        Message::Sync(sync) => {
            let mut text = format!("Sync(agreed {} {}", sync.agreed.nonce(), shares(sync.agreed.balances()));
            for (is, what) in [(sync.closing, ", closing"), (sync.lost, ", lost"), (sync.wants_reply, "?")] {
                text.push_str(if is { what } else { "" });
            }
            if let Some(propose) = &sync.proposal {
                let _ = write!(text, ", proposal {} on {}", propose.nonce, propose.base_nonce);
            }
            if let Some(final_receipt) = &sync.own_final {
                let _ = write!(text, ", FINAL on {}", final_receipt.base_nonce);
            }
            text + ")"
        }
        Message::Propose(propose) => {
            let ids: Vec<_> = propose.payments.iter().map(|payment| payment.id.as_str()).collect();
            let (nonce, base, shares) = (propose.nonce, propose.base_nonce, shares(propose.balances));
            format!("Propose({nonce} on {base}: {shares}, {})", ids.join(" "))
        }
        Message::Answer(answer) => format!("Answer({})", answer.nonce),
        Message::Refuse(refuse) => format!("Refuse({}, {:?})", refuse.nonce, refuse.reason),
        Message::Final(final_receipt) => {
            format!("Final(on {}: {})", final_receipt.base_nonce, shares(final_receipt.balances))
        }
    }
}

fn call(function: &Function) -> String {
    let thd = |units: u128| units / 1_000_000_000_000_000_000;
    match function {
        Function::Closing(shown) => format!("closing({} {}/{})", shown.nonce, thd(shown.a), thd(shown.b)),
        Function::ClosingProposal { base, a, b, .. } => {
            let (base, from) = (base.nonce, format!("{}/{}", thd(base.a), thd(base.b)));
            format!("closingProposal({base} {from} to {}/{})", thd(*a), thd(*b))
        }
        Function::Challenge(shown) => format!("challenge({} {}/{})", shown.nonce, thd(shown.a), thd(shown.b)),
        Function::Fund(value) => format!("fund({})", thd(*value)),
        Function::Cancel => "cancel()".into(),
        Function::Withdraw => "withdraw()".into(),
    }
}
