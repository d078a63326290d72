//! The demonstration's steps: Alice and Bob open a channel, pay each other, and close it.

use std::time::Duration;

use alloy_primitives::Address;
use serde_json::Value;
use tempfile::TempDir;
use thunder_chain::{Amount, ChainError};

use super::node::DemoNode;
use super::screen::{TypedCommand, heading, say};
use super::{DemoError, failed};
use crate::binaries::Binaries;
use crate::deployment::DeployError;
use crate::error::Error;
use crate::keys::{DEVELOPMENT_PHRASE, DevelopmentAccount};
use crate::output::{self, BOLD, DIM, GOOD};
use crate::testnet::{Testnet, TestnetOptions};
use crate::testnet_summary::TestnetSummary;
use crate::units::decimals;

/// The channel's amount, in THD.
const CHANNEL: &str = "10";
/// What Alice pays Bob, in THD.
const TO_BOB: &str = "1.5";
/// What Bob pays Alice, in THD.
const TO_ALICE: &str = "0.25";
/// What both have at first, in THD.
const START: &str = "100";
/// The challenge period, in blocks.
const PERIOD: &str = "24";

/// What runs during the demonstration. Dropped in this order: nodes, testnet, folder.
pub(super) struct DemoEnvironment {
    alice: DemoNode,
    bob: DemoNode,
    testnet: Testnet,
    /// Where the nodes keep their data.
    _folder: TempDir,
}

/// Runs all steps, and returns what runs, so that it can go on.
pub(super) async fn tell() -> Result<DemoEnvironment, Error> {
    let binaries = Binaries::find().await?;
    let folder = tempfile::Builder::new()
        .prefix("thunder-demo-")
        .tempdir()
        .map_err(failed("can't make a temporary folder"))?;
    say("Alice and Bob open a payment channel, pay each other over it, and close it.")?;

    heading(1, "A local Ethereum testnet")?;
    let testnet = testnet().await?;
    let rpc = rpc(&testnet);

    heading(2, "Two nodes")?;
    let mut alice = DemoNode::start("Alice", &binaries, folder.path(), &rpc).await?;
    let mut bob = DemoNode::start("Bob", &binaries, folder.path(), &rpc).await?;

    let [alices, bobs] = [1, 2].map(|index| DevelopmentAccount::new(index).map(|account| account.address));
    let users = [alices?, bobs?];
    wallets(&mut alice, &mut bob, users, &rpc).await?;
    channel(&mut alice, &mut bob).await?;
    payments(&mut alice, &mut bob).await?;
    closing(&mut alice, &mut bob, &rpc).await?;
    balances(&mut alice, &mut bob, users, &testnet).await?;
    Ok(DemoEnvironment { alice, bob, testnet, _folder: folder })
}

fn rpc(testnet: &Testnet) -> String {
    format!("127.0.0.1:{}", testnet.port())
}

async fn testnet() -> Result<Testnet, Error> {
    let options = TestnetOptions { block_time: Some(Duration::from_secs(1)), ..TestnetOptions::default() };
    let testnet = Testnet::start(options).await?;
    let deployed = testnet.deploy().await?;
    TypedCommand::new("thunder-deploy", &["testnet", "--port", &testnet.port().to_string()]).show()?;
    output::text(&TestnetSummary::of(&testnet, &deployed)?.summary())?;
    Ok(testnet)
}

async fn wallets(
    alice: &mut DemoNode,
    bob: &mut DemoNode,
    users: [Address; 2],
    rpc: &str,
) -> Result<(), Error> {
    heading(3, "A wallet for each, with 100 THD in it")?;
    say("Both are accounts of the testnet's own seed phrase, which have ETH for gas.")?;
    for (node, index) in [(alice, "1"), (bob, "2")] {
        node.cli(&["importwallet", DEVELOPMENT_PHRASE, "--index", index]).await?;
    }
    for user in users {
        deploy(&["thd", "--to", &user.to_string(), "--RPC", rpc]).await?;
    }
    Ok(())
}

async fn channel(alice: &mut DemoNode, bob: &mut DemoNode) -> Result<(), Error> {
    heading(4, "A channel")?;
    say("Alice connects to Bob's node and puts 10 THD into a channel with him.")?;
    alice.cli(&["connect", &format!("127.0.0.1:{}", bob.port)]).await?;
    alice.cli(&["openchannel", CHANNEL]).await?;
    bob.until("that Bob's node knows the channel", |infos| is_in(infos, "ACTIVE")).await?;
    Ok(())
}

async fn payments(alice: &mut DemoNode, bob: &mut DemoNode) -> Result<(), Error> {
    heading(5, "Payments")?;
    say("They cost no gas and wait for no block: both nodes sign a new receipt.")?;
    alice.cli(&["pay", TO_BOB, "--memo", "two coffees"]).await?;
    bob.cli(&["pay", TO_ALICE, "--memo", "change"]).await?;
    alice.cli(&["infos"]).await?;
    bob.cli(&["infos"]).await?;
    Ok(())
}

async fn closing(alice: &mut DemoNode, bob: &mut DemoNode, rpc: &str) -> Result<(), Error> {
    heading(6, "Closing")?;
    say(
        "Bob closes the channel on the newest receipt. For 24 blocks Alice could show a newer one,\nif there were one; then both get what is theirs.",
    )?;
    bob.cli(&["closechannel"]).await?;
    deploy(&["mine", PERIOD, "--RPC", rpc]).await?;
    alice
        .until("that Alice's node sees the end of the challenge period", |infos| {
            let block = infos["chain"]["block"].as_u64();
            channels(infos).any(|channel| {
                let opens = channel["withdrawable_at"].as_u64();
                block.zip(opens).is_some_and(|(block, opens)| block >= opens)
            })
        })
        .await?;
    alice.cli(&["withdraw"]).await?;
    for node in [alice, bob] {
        node.until("that the channel is closed", |infos| {
            channels(infos).all(|channel| channel["state"] == "CLOSED")
        })
        .await?;
    }
    Ok(())
}

async fn balances(
    alice: &mut DemoNode,
    bob: &mut DemoNode,
    users: [Address; 2],
    testnet: &Testnet,
) -> Result<(), Error> {
    heading(7, "Balances")?;
    alice.cli(&["balance"]).await?;
    bob.cli(&["balance"]).await?;
    let mut rows = Vec::new();
    for ((node, user), (paid, received)) in
        [alice, bob].into_iter().zip(users).zip([(TO_BOB, TO_ALICE), (TO_ALICE, TO_BOB)])
    {
        let on_chain = testnet.chain().thd_balance(user).await.map_err(DeployError::from)?;
        let reported = node.ask("balance").await?;
        rows.push(BalanceRow {
            name: node.name,
            paid,
            received,
            expected: expected(paid, received)?,
            on_chain: decimals(on_chain),
            reported: reported["total"].as_str().unwrap_or("nothing").to_owned(),
        });
    }
    output::text(&table(&rows))?;
    let wrong: Vec<_> = rows.iter().filter_map(BalanceRow::complaint).collect();
    if !wrong.is_empty() {
        return Err(DemoError::WrongBalances(wrong.join("; ")).into());
    }
    say(&format!("\n{GOOD}All balances are right.{GOOD:#}"))
}

/// The balances of one user in the end.
struct BalanceRow {
    name: &'static str,
    paid: &'static str,
    received: &'static str,
    expected: String,
    on_chain: String,
    reported: String,
}

impl BalanceRow {
    fn complaint(&self) -> Option<String> {
        let Self { name, expected, on_chain, reported, .. } = self;
        let is_right = on_chain == expected && reported == expected;
        (!is_right).then(|| {
            format!(
                "{name} should have {expected} THD, has {on_chain} on the chain, and thunder-cli says {reported}"
            )
        })
    }
}

fn expected(paid: &str, received: &str) -> Result<String, Error> {
    let parse = |text: &str| text.parse::<Amount>().ok();
    let amounts = [START, paid, received].map(parse);
    let [Some(start), Some(paid), Some(received)] = amounts else { return Err(unsound()) };
    let rest = start.checked_sub(paid).and_then(|rest| rest.checked_add(received));
    rest.map(|amount| amount.to_string()).ok_or_else(unsound)
}

/// The error if the constants above are no amounts, which a test rules out.
fn unsound() -> Error {
    DeployError::from(ChainError::InvalidResponse("the story's own amounts".into())).into()
}

fn table(rows: &[BalanceRow]) -> String {
    let head = ["", "at first", "paid", "received", "now", "on the chain"];
    let mut text = format!(
        "\n{DIM}{:8}{:>10}{:>10}{:>10}{:>10}{:>14}{DIM:#}\n",
        head[0], head[1], head[2], head[3], head[4], head[5]
    );
    for BalanceRow { name, paid, received, reported, on_chain, .. } in rows {
        text.push_str(&format!(
            "{BOLD}{name:8}{BOLD:#}{START:>10}{paid:>10}{received:>10}{reported:>10}{on_chain:>14}\n"
        ));
    }
    text
}

async fn deploy(words: &[&str]) -> Result<(), Error> {
    let own = std::env::current_exe().map_err(failed("can't find thunder-deploy"))?;
    let typed = TypedCommand::new("thunder-deploy", words);
    let status = typed.run(&own).await?;
    if status.success() {
        return Ok(());
    }
    let (command, status) = (typed.to_string(), status.to_string());
    Err(DemoError::Command { command, status, logs: String::new() }.into())
}

fn channels(infos: &Value) -> impl Iterator<Item = &Value> {
    infos["channels"].as_array().into_iter().flatten()
}

fn is_in(infos: &Value, state: &str) -> bool {
    channels(infos).any(|channel| channel["state"] == state)
}

/// Says what can be tried out, and waits for ever: until this future is dropped.
pub(super) async fn stay(DemoEnvironment { alice, bob, testnet, .. }: &DemoEnvironment) -> Result<(), Error> {
    heading(8, "It is all yours, until Ctrl-C")?;
    say("In another terminal, for example:\n")?;
    let commands =
        [(alice, "openchannel 20"), (alice, "pay 3"), (bob, "infos"), (bob, "closechannel --cooperative")];
    for (node, words) in commands {
        say(&format!("  thunder-cli --port {} {words}", node.port))?;
    }
    say(&format!("  thunder-deploy mine 24 --RPC {}", rpc(testnet)))?;
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storys_amounts_add_up() {
        assert_eq!(expected(TO_BOB, TO_ALICE).unwrap(), "98.75");
        assert_eq!(expected(TO_ALICE, TO_BOB).unwrap(), "101.25");
    }

    #[test]
    fn a_wrong_balance_is_noticed_on_either_side() {
        let row = |on_chain: &str, reported: &str| BalanceRow {
            name: "Alice",
            paid: TO_BOB,
            received: TO_ALICE,
            expected: "98.75".into(),
            on_chain: on_chain.into(),
            reported: reported.into(),
        };
        assert_eq!(row("98.75", "98.75").complaint(), None);
        assert!(row("98.5", "98.75").complaint().is_some());
        assert!(row("98.75", "nothing").complaint().is_some());
    }
}
