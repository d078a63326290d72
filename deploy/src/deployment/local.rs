//! What anybody may do on a local testnet only: mine blocks and set an account's ether.

use alloy_primitives::Address;
use serde_json::{Value, json};
use thunder_chain::{ChainClient, ChainError, LOCAL_CHAIN_IDS};

/// The most blocks that are mined in one request, so that the answer comes in time.
const AT_ONCE: u64 = 1_000;

/// Whether a chain is a local testnet.
pub(crate) fn is_local(chain_id: u64) -> bool {
    LOCAL_CHAIN_IDS.contains(&chain_id)
}

/// Mines empty blocks.
pub(crate) async fn mine(chain: &ChainClient, mut blocks: u64) -> Result<(), ChainError> {
    while blocks > 0 {
        let now = blocks.min(AT_ONCE);
        let number = json!([format!("{now:#x}")]);
        any_of(
            chain,
            &[
                ("anvil_mine", number.clone()),
                ("hardhat_mine", number),
                ("evm_mine", json!([{ "blocks": now }])),
            ],
        )
        .await?;
        blocks -= now;
    }
    Ok(())
}

/// Sets an account's ether, in wei.
pub(crate) async fn set_balance(chain: &ChainClient, of: Address, wei: u128) -> Result<(), ChainError> {
    let params = json!([of, format!("{wei:#x}")]);
    let methods = ["anvil_setBalance", "hardhat_setBalance", "evm_setAccountBalance"];
    any_of(chain, &methods.map(|method| (method, params.clone()))).await
}

/// Calls the first of these methods that the testnet knows: anvil, Hardhat and others name the same thing differently.
async fn any_of(chain: &ChainClient, calls: &[(&str, Value)]) -> Result<(), ChainError> {
    let mut outcome = Ok(());
    for (method, params) in calls {
        match chain.call::<Value>(method, params).await {
            Ok(_) => return Ok(()),
            // The first answer is the one that matters if all refuse.
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}
