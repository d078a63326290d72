//! `TestnetSummary`: what `thunder-deploy testnet` and the demonstration print of a running testnet.

use std::fmt::Write;

use alloy_primitives::Address;
use serde::{Serialize, Serializer};

use crate::deployment::Deployed;
use crate::error::Error;
use crate::keys::{DEVELOPMENT_PHRASE, DevelopmentAccount};
use crate::output::{BOLD, DIM, fields};
use crate::testnet::{CHAIN_ID, Testnet};

/// A running testnet, as it is printed: text for people, or JSON.
#[derive(Serialize)]
pub(crate) struct TestnetSummary {
    rpc: String,
    port: u16,
    chain_id: u64,
    /// Seconds between two empty blocks; 0: there are none.
    block_time: f64,
    #[serde(serialize_with = "checksummed")]
    token: Address,
    #[serde(serialize_with = "checksummed")]
    factory: Address,
    mnemonic: &'static str,
    accounts: Vec<ListedAccount>,
}

#[derive(Serialize)]
struct ListedAccount {
    index: u32,
    #[serde(serialize_with = "checksummed")]
    address: Address,
}

impl From<DevelopmentAccount> for ListedAccount {
    fn from(DevelopmentAccount { index, address, .. }: DevelopmentAccount) -> Self {
        Self { index, address }
    }
}

/// Serialises an address with its checksum (EIP-55), as the text for people has it.
pub(crate) fn checksummed<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

impl TestnetSummary {
    pub(crate) fn of(testnet: &Testnet, deployed: &Deployed) -> Result<Self, Error> {
        Ok(Self {
            rpc: testnet.rpc_url(),
            port: testnet.port(),
            chain_id: CHAIN_ID,
            block_time: testnet.options().block_time.unwrap_or_default().as_secs_f64(),
            token: deployed.contracts.token,
            factory: deployed.contracts.factory,
            mnemonic: DEVELOPMENT_PHRASE,
            accounts: testnet.accounts()?.into_iter().map(ListedAccount::from).collect(),
        })
    }

    /// The summary, the accounts, and the commands to go on with.
    pub(crate) fn banner(&self) -> String {
        format!("{}\n{}\n{}", self.summary(), self.list_accounts(), self.next_steps())
    }

    /// The endpoint, the chain and the contracts.
    pub(crate) fn summary(&self) -> String {
        let blocks = match self.block_time {
            0.0 => "one for each transaction".to_owned(),
            1.0 => "one a second, and one for each transaction".to_owned(),
            seconds => format!("one every {seconds} s, and one for each transaction"),
        };
        let lines = fields(&[
            ("RPC", format!("{BOLD}{}{BOLD:#}", self.rpc)),
            ("chain id", self.chain_id.to_string()),
            ("blocks", blocks),
            ("THD", self.token.to_string()),
            ("factory", self.factory.to_string()),
            ("seed phrase", format!("\"{}\"", self.mnemonic)),
        ]);
        format!("{BOLD}Thunder testnet{BOLD:#}, until Ctrl-C\n{lines}")
    }

    fn list_accounts(&self) -> String {
        let mut text =
            "Accounts of the seed phrase, with ETH for gas (never use them on a real chain):\n".to_owned();
        for ListedAccount { index, address } in &self.accounts {
            let note = if *index == 0 { "  owns THD" } else { "" };
            // Writing to a string can't fail.
            let _ = writeln!(text, "  {DIM}--index{DIM:#} {index}  {address}{DIM}{note}{DIM:#}");
        }
        text
    }

    fn next_steps(&self) -> String {
        let rpc = if self.port == 8545 { String::new() } else { format!(" --RPC localhost:{}", self.port) };
        let user = self.accounts.get(1).map(|account| account.address.to_string()).unwrap_or_default();
        let phrase = self.mnemonic;
        format!(
            "Next, in other terminals:\n  \
             thunderd{rpc}\n  \
             thunder-cli importwallet \"{phrase}\" --index 1\n  \
             thunder-deploy thd --to {user}{rpc}\n  \
             thunder-cli balance\n"
        )
    }
}
