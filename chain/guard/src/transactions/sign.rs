//! Calldata and signatures.

use ethers_core::types::transaction::eip2718::TypedTransaction;
use ethers_core::types::{Eip1559TransactionRequest, H256, TransactionRequest};
use ethers_core::utils::keccak256;
use ethers_signers::{LocalWallet, Signer as _};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{Call, CallKind};
use thunder_protocol::{Address, Amount, B256};
use zeroize::Zeroizing;

use super::fees::Fees;
use super::record::{Attempt, SignedCall};
use crate::contracts::calls::{self, Permit};
use crate::contracts::{from_ethers, permit_digest, to_ethers};

/// The account that pays for transactions.
pub(crate) struct TransactionSigner {
    wallet: LocalWallet,
    chain_id: u64,
}

impl std::fmt::Debug for TransactionSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TransactionSigner({})", self.address())
    }
}

/// The key can't sign: it is no key of secp256k1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wallet can't sign transactions")]
pub struct CantSign;

impl TransactionSigner {
    pub(crate) fn new(secret: &Zeroizing<[u8; 32]>, chain_id: u64) -> Result<Self, CantSign> {
        let wallet = LocalWallet::from_bytes(secret.as_slice()).map_err(|_| CantSign)?;
        Ok(Self { wallet: wallet.with_chain_id(chain_id), chain_id })
    }

    pub(crate) fn address(&self) -> Address {
        from_ethers(self.wallet.address())
    }

    pub(crate) const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    fn permit(
        &self,
        token: Address,
        spender: Address,
        value: Amount,
        nonce: u128,
    ) -> Result<Permit, CantSign> {
        let digest = permit_digest(token, self.chain_id, self.address(), spender, value, nonce);
        let signature = self.wallet.sign_hash(H256(digest.0)).map_err(|_| CantSign)?;
        let mut r = [0; 32];
        let mut s = [0; 32];
        signature.r.to_big_endian(&mut r);
        signature.s.to_big_endian(&mut s);
        let v = u8::try_from(signature.v).map_err(|_| CantSign)?;
        Ok(Permit { v, r: B256::new(r), s: B256::new(s) })
    }

    /// The contract to call, and the calldata. `permit_nonce` is needed where [`uses_permit`] says so.
    pub(crate) fn calldata(
        &self,
        terms: &Terms,
        call: &Call,
        permit_nonce: u128,
    ) -> Result<(Address, Vec<u8>), CantSign> {
        let data = match call {
            Call::Open { part_b, amount, deposit, salt } => {
                let permit = match deposit.is_zero() {
                    true => None,
                    false => Some(self.permit(terms.token, terms.factory, *deposit, permit_nonce)?),
                };
                return Ok((terms.factory, calls::open(*amount, *part_b, *deposit, *salt, permit)));
            }
            Call::Fund { value } => {
                calls::fund(*value, self.permit(terms.token, terms.channel, *value, permit_nonce)?)
            }
            Call::Cancel => calls::cancel(),
            Call::Withdraw => calls::withdraw(),
            Call::Challenge(evidence) => calls::challenge(evidence),
            Call::Close(plan) => calls::close(plan),
        };
        Ok((terms.channel, data))
    }

    /// Signs with this nonce and these fees. The attempt has to be on disk before it is sent.
    pub(crate) fn sign(&self, sent: &SignedCall, nonce: u64, fees: Fees) -> Result<Attempt, CantSign> {
        let tx = transaction(sent.to, &sent.data, sent.gas, 0, nonce, &fees, self.chain_id);
        let (raw, hash) = self.sign_raw(&tx)?;
        Ok(Attempt { hash, raw, fees, nonce: Some(nonce) })
    }

    fn sign_raw(&self, tx: &TypedTransaction) -> Result<(Vec<u8>, B256), CantSign> {
        let signature = self.wallet.sign_transaction_sync(tx).map_err(|_| CantSign)?;
        let raw = tx.rlp_signed(&signature).to_vec();
        let hash = B256::new(keccak256(&raw));
        Ok((raw, hash))
    }
}

/// A transaction that has nothing to do with a channel, signed by its account.
#[derive(Debug)]
pub struct PlainTransaction {
    /// The receiver.
    pub to: Address,
    /// The calldata.
    pub data: Vec<u8>,
    /// The gas limit.
    pub gas: u64,
    /// What is sent with it, in wei.
    pub value: u128,
}

/// The signer of plain transactions.
#[derive(Debug)]
pub struct PlainSigner(TransactionSigner);

impl PlainSigner {
    /// The account of a secret key on a chain.
    ///
    /// # Errors
    ///
    /// If it is no key.
    pub fn new(secret: &Zeroizing<[u8; 32]>, chain_id: u64) -> Result<Self, CantSign> {
        TransactionSigner::new(secret, chain_id).map(Self)
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.0.address()
    }

    /// The signed bytes, and the hash.
    ///
    /// # Errors
    ///
    /// If the key can't sign.
    pub fn sign(
        &self,
        plain: &PlainTransaction,
        nonce: u64,
        fees: Fees,
    ) -> Result<(Vec<u8>, B256), CantSign> {
        let PlainTransaction { to, data, gas, value } = plain;
        self.0.sign_raw(&transaction(*to, data, *gas, *value, nonce, &fees, self.0.chain_id))
    }
}

/// Whether the call carries an EIP-2612 permit, whose nonce is right for one at a time.
pub(crate) fn uses_permit(call: &Call) -> bool {
    match call {
        Call::Open { deposit, .. } => !deposit.is_zero(),
        Call::Fund { .. } => true,
        Call::Cancel | Call::Close(_) | Call::Challenge(_) | Call::Withdraw => false,
    }
}

/// The same, of a call that is known by its kind only.
pub(crate) const fn kind_uses_permit(kind: CallKind) -> bool {
    matches!(kind, CallKind::Open | CallKind::Fund)
}

/// The transaction as EIP-1559 has it, or, on a chain without that, with a plain gas price.
fn transaction(
    to: Address,
    data: &[u8],
    gas: u64,
    value: u128,
    nonce: u64,
    fees: &Fees,
    chain_id: u64,
) -> TypedTransaction {
    let Some(tip) = fees.tip else {
        return TransactionRequest::new()
            .to(to_ethers(to))
            .data(data.to_vec())
            .gas(gas)
            .value(value)
            .nonce(nonce)
            .chain_id(chain_id)
            .gas_price(fees.max_fee)
            .into();
    };
    Eip1559TransactionRequest::new()
        .to(to_ethers(to))
        .data(data.to_vec())
        .gas(gas)
        .value(value)
        .nonce(nonce)
        .chain_id(chain_id)
        .max_fee_per_gas(fees.max_fee)
        .max_priority_fee_per_gas(tip)
        .into()
}
