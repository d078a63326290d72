//! Calldata.

use ethers::abi::AbiEncode;
use ethers::contract::EthCall;
use ethers::signers::{LocalWallet, Signer as _};
use ethers::types::{Bytes, H256, U256};
use ethers::utils::keccak256;
use thunder_protocol::onchain::{Call, ClosePlan, Evidence};
use thunder_protocol::{Address, Amount, Balances, Nonce};

use super::Request;
use crate::client::Chain;
use crate::contracts::channel_factory::{OpenCall, OpenWithPermitCall};
use crate::contracts::payment_channel::{
    CancelCall, ChallengeCall, ClosingCall, ClosingProposalCall, FundWithPermitCall, WithdrawCall,
};
use crate::contracts::{amount_to_ethers, from_ethers, to_ethers};
use crate::error::ChainError;

/// The contract to call, and with what.
pub(super) async fn calldata(
    chain: &Chain,
    wallet: &LocalWallet,
    request: &Request,
) -> Result<(Address, Vec<u8>), ChainError> {
    let terms = &request.terms;
    let data = match &request.call {
        Call::Open { part_b, amount, deposit, salt } => {
            let data = open(chain, wallet, terms.factory, (*part_b, *amount, *deposit, salt.0)).await?;
            return Ok((terms.factory, data));
        }
        Call::Fund { value } => {
            let Permit { deadline, v, r, s } = permit(chain, wallet, terms.channel, *value).await?;
            encode(FundWithPermitCall { value: amount_to_ethers(*value), deadline, v, r, s })
        }
        Call::Cancel => encode(CancelCall),
        Call::Withdraw => encode(WithdrawCall),
        Call::Challenge(evidence) => challenge_calldata(evidence),
        Call::Close(plan) => close(plan),
    };
    Ok((terms.channel, data))
}

/// What `challenge` is called with: all that a third party needs besides the contract's address.
pub fn challenge_calldata(evidence: &Evidence) -> Vec<u8> {
    let (nonce, balance_a, balance_b, signature) = receipt(evidence);
    encode(ChallengeCall { nonce, balance_a, balance_b, signature })
}

fn encode(call: impl EthCall) -> Vec<u8> {
    call.encode()
}

async fn open(
    chain: &Chain,
    wallet: &LocalWallet,
    factory: Address,
    (part_b, amount, deposit, salt): (Address, Amount, Amount, [u8; 32]),
) -> Result<Vec<u8>, ChainError> {
    let part_b = to_ethers(part_b);
    let value = amount_to_ethers(deposit);
    let amount = amount_to_ethers(amount);
    if deposit.is_zero() {
        return Ok(encode(OpenCall { amount, part_b, deposit: value, salt }));
    }
    let Permit { deadline, v, r, s } = permit(chain, wallet, factory, deposit).await?;
    Ok(encode(OpenWithPermitCall { amount, part_b, deposit: value, salt, deadline, v, r, s }))
}

fn close(plan: &ClosePlan) -> Vec<u8> {
    match plan {
        ClosePlan::Receipt(evidence) => {
            let (nonce, balance_a, balance_b, signature) = receipt(evidence);
            encode(ClosingCall { nonce, balance_a, balance_b, signature })
        }
        ClosePlan::Proposal { base, proposed, .. } => {
            let (nonce, balance_a, balance_b, signature) = receipt(base);
            let (proposed_a, proposed_b) = shares(*proposed);
            encode(ClosingProposalCall { nonce, balance_a, balance_b, signature, proposed_a, proposed_b })
        }
        ClosePlan::Final { balances, signature, .. } => {
            let (balance_a, balance_b) = shares(*balances);
            let signature = Bytes::from(signature.as_bytes().to_vec());
            encode(ClosingCall { nonce: Nonce::FINAL.get().into(), balance_a, balance_b, signature })
        }
    }
}

fn receipt(evidence: &Evidence) -> (U256, U256, U256, Bytes) {
    let (balance_a, balance_b) = shares(evidence.receipt.balances);
    let signature = evidence.signature.map(|signature| signature.as_bytes().to_vec()).unwrap_or_default();
    (evidence.receipt.nonce.get().into(), balance_a, balance_b, signature.into())
}

fn shares(balances: Balances) -> (U256, U256) {
    (amount_to_ethers(balances.a), amount_to_ethers(balances.b))
}

/// An EIP-2612 permit.
struct Permit {
    deadline: U256,
    v: u8,
    r: [u8; 32],
    s: [u8; 32],
}

/// Lets `spender` (the factory or a channel) pull `value`. Both only ever pull what the owner
/// itself orders, so the permit needs no deadline; its nonce makes it good for one time.
async fn permit(
    chain: &Chain,
    wallet: &LocalWallet,
    spender: Address,
    value: Amount,
) -> Result<Permit, ChainError> {
    let owner = wallet.address();
    let nonce = chain.permit_nonce(from_ethers(owner)).await?;
    let separator = chain.permit_domain().await?;
    let deadline = U256::MAX;
    let type_hash =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    let message = (type_hash, owner, to_ethers(spender), amount_to_ethers(value), nonce, deadline).encode();
    let digest = keccak256([&[0x19, 0x01][..], separator.as_slice(), &keccak256(message)].concat());
    let signature =
        wallet.sign_hash(H256(digest)).map_err(|error| ChainError::Nonsense(error.to_string()))?;
    let v = u8::try_from(signature.v).map_err(|_| ChainError::Nonsense("recovery id out of range".into()))?;
    Ok(Permit { deadline, v, r: signature.r.into(), s: signature.s.into() })
}
