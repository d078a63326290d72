//! What only a local testnet lets everybody do.

use alloy_primitives::Address;
use serde_json::{Value, json};
use thunder_chain::{Chain, ChainError, LOCAL_CHAIN_IDS};

/// How many blocks are mined in one request: an answer has to come in time.
const AT_ONCE: u64 = 1_000;

/// Whether a chain is a local testnet.
pub(crate) fn is_local(chain_id: u64) -> bool {
    LOCAL_CHAIN_IDS.contains(&chain_id)
}

/// Mines empty blocks.
pub(crate) async fn mine(chain: &Chain, mut blocks: u64) -> Result<(), ChainError> {
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
pub(crate) async fn set_balance(chain: &Chain, of: Address, wei: u128) -> Result<(), ChainError> {
    let params = json!([of, format!("{wei:#x}")]);
    let methods = ["anvil_setBalance", "hardhat_setBalance", "evm_setAccountBalance"];
    any_of(chain, &methods.map(|method| (method, params.clone()))).await
}

/// Testnets have different names for the same: tries one after the other.
async fn any_of(chain: &Chain, calls: &[(&str, Value)]) -> Result<(), ChainError> {
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
