//! What each command of thunder-deploy does.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use serde::Serialize;
use thunder_chain::contracts::local_testnet_contracts;
use thunder_chain::{Amount, ChainClient, ChainError, Contracts, RpcUrl};
use zeroize::Zeroizing;

use crate::args::{self, Cli, Command};
use crate::demo;
use crate::deployment::{DeployError, Operator, local};
use crate::error::Error;
use crate::keys::{OperatorKeyError, from_hex, from_keyfile};
use crate::output::{self, BOLD, DIM, fields};
use crate::process;
use crate::testnet::{Testnet, TestnetOptions};
use crate::testnet_summary::{TestnetSummary, checksummed};
use crate::units::decimals;

/// The environment variable with the key of THD's owner, for chains that are no local testnets.
const KEY_VARIABLE: &str = "THUNDER_DEPLOY_KEY";

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Testnet(arguments) => testnet(arguments, cli.json).await,
        Command::Thd(arguments) => thd(arguments, cli.json).await,
        Command::Mine(arguments) => mine(arguments, cli.json).await,
        Command::Demo(arguments) => demo::run(arguments.keep).await,
    }
}

async fn testnet(arguments: args::TestnetArgs, json: bool) -> Result<(), Error> {
    let args::TestnetArgs { port, listen, block_time, state } = arguments;
    let options = TestnetOptions { listen, port, block_time: block_time.0, state };
    tokio::select! {
        // First, so that an interruption counts even if anvil has noticed it, too.
        biased;
        interrupted = process::interrupted() => Ok(interrupted?),
        outcome = run_testnet(options, json) => outcome,
    }
}

/// Runs until anvil ends by itself, which is an error. Dropped, it ends anvil.
async fn run_testnet(options: TestnetOptions, json: bool) -> Result<(), Error> {
    let mut testnet = Testnet::start(options).await?;
    let deployed = testnet.deploy().await?;
    let answer = TestnetSummary::of(&testnet, &deployed)?;
    output::answer_and_go_on(answer, json, TestnetSummary::banner);
    Err(testnet.ended().await.into())
}

async fn thd(arguments: args::ThdArgs, json: bool) -> Result<(), Error> {
    let rpc = arguments.endpoint.rpc.clone();
    let args::ThdArgs { to, amount, .. } = arguments;
    let operator = operator(arguments).await?;
    let deployed = operator.deploy().await?;
    // Gas first: whoever repeats the command because this failed does not want THD twice.
    let gas = operator.give_gas(to).await?;
    let tx = operator.give_thd(to, amount).await?;
    let Contracts { token, factory } = deployed.contracts;
    let answer = ThdAnswer {
        to,
        amount,
        tx,
        thd: decimals(operator.chain().thd_balance(to).await.map_err(DeployError::from)?),
        eth: decimals(operator.chain().eth_balance(to).await.map_err(DeployError::from)?),
        eth_given: gas.map(decimals),
        chain_id: operator.chain_id(),
        token,
        factory,
        token_deployed: deployed.new_token,
        factory_deployed: deployed.new_factory,
    };
    output::answer(&answer, json, |answer| thd_text(answer, &rpc))?;
    Ok(())
}

#[derive(Serialize)]
struct ThdAnswer {
    #[serde(serialize_with = "checksummed")]
    to: Address,
    amount: Amount,
    tx: B256,
    thd: String,
    eth: String,
    eth_given: Option<String>,
    chain_id: u64,
    #[serde(serialize_with = "checksummed")]
    token: Address,
    #[serde(serialize_with = "checksummed")]
    factory: Address,
    token_deployed: bool,
    factory_deployed: bool,
}

fn thd_text(answer: &ThdAnswer, rpc: &RpcUrl) -> String {
    let place = |address: Address, is_new: bool| {
        format!("{address}  {DIM}{}{DIM:#}", if is_new { "deployed just now" } else { "was there" })
    };
    let mut lines = vec![
        ("THD", place(answer.token, answer.token_deployed)),
        ("factory", place(answer.factory, answer.factory_deployed)),
        ("tx", answer.tx.to_string()),
    ];
    if let Some(gas) = &answer.eth_given {
        lines.push(("for gas", format!("{gas} ETH, because it had none")));
    }
    lines.push(("balance", format!("{BOLD}{} THD{BOLD:#}, {} ETH", answer.thd, answer.eth)));
    let mut text =
        format!("{BOLD}{} THD{BOLD:#} for {BOLD}{}{BOLD:#}\n{}", answer.amount, answer.to, fields(&lines));
    let contracts = Contracts { token: answer.token, factory: answer.factory };
    if contracts != local_testnet_contracts() {
        let rpc = shown_url(rpc);
        text.push_str(&format!(
            "\nThey belong to this key, so thunderd has to be told where they are:\n\n  \
             thunderd --RPC {rpc} --token {} --factory {}\n",
            answer.token, answer.factory
        ));
    }
    text
}

/// An RPC URL as the user may type it; a key in it is not shown.
fn shown_url(rpc: &RpcUrl) -> String {
    let text = rpc.to_string();
    match text.strip_prefix("http://") {
        Some(short) => short.to_owned(),
        None => text,
    }
}

async fn operator(arguments: args::ThdArgs) -> Result<Operator, Error> {
    let args::ThdArgs { endpoint, key, keyfile, password_file, .. } = arguments;
    let key = match (key, keyfile) {
        (Some(key), _) => Some(key),
        (None, Some(path)) => {
            let password = password(&path, password_file)?;
            Some(from_keyfile(&path, &password)?)
        }
        (None, None) => None,
    };
    match Operator::connect(&endpoint.rpc, key).await {
        // The variable is for chains where a key is needed; on a testnet it would only move THD to
        // other addresses.
        Err(DeployError::Key(OperatorKeyError::Needed { chain_id })) => match std::env::var(KEY_VARIABLE) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                Ok(Operator::connect(&endpoint.rpc, Some(from_hex(&text)?)).await?)
            }
            Err(_) => Err(OperatorKeyError::Needed { chain_id }.into()),
        },
        outcome => Ok(outcome?),
    }
}

fn password(keyfile: &Path, file: Option<PathBuf>) -> Result<Zeroizing<String>, OperatorKeyError> {
    if let Some(path) = file {
        let text =
            fs::read_to_string(&path).map_err(|source| OperatorKeyError::Unreadable { path, source })?;
        let text = Zeroizing::new(text);
        return Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let unasked = || OperatorKeyError::NoTerminal { path: keyfile.into() };
    if !io::stdin().is_terminal() {
        return Err(unasked());
    }
    rpassword::prompt_password("Password of the key file (not shown): ")
        .map(Zeroizing::new)
        .map_err(|_| unasked())
}

async fn mine(arguments: args::MineArgs, json: bool) -> Result<(), Error> {
    let answer = mine_blocks(&arguments).await?;
    output::answer(&answer, json, |MineAnswer { mined, block }| {
        let blocks = if *mined == 1 { "block" } else { "blocks" };
        format!("mined {BOLD}{mined}{BOLD:#} {blocks}, the newest is {BOLD}{block}{BOLD:#}\n")
    })?;
    Ok(())
}

async fn mine_blocks(arguments: &args::MineArgs) -> Result<MineAnswer, DeployError> {
    let chain = ChainClient::new(&arguments.endpoint.rpc.clone().into(), local_testnet_contracts())?;
    let chain_id = chain.chain_identity().await?.chain_id;
    if !local::is_local(chain_id) {
        return Err(DeployError::NotLocal { chain_id, what: "its blocks are not mined to order" });
    }
    local::mine(&chain, arguments.blocks).await.map_err(no_blocks_mined)?;
    Ok(MineAnswer { mined: arguments.blocks, block: chain.head().await?.number })
}

/// Says what was not done: a testnet that has none of the methods answers, and mines nothing.
fn no_blocks_mined(error: ChainError) -> ChainError {
    match error {
        ChainError::Unreachable(cause) => ChainError::Unreachable(format!("no blocks were mined: {cause}")),
        other => other,
    }
}

#[derive(Serialize)]
struct MineAnswer {
    mined: u64,
    block: u64,
}
