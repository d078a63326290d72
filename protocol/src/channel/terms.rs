//! The terms of a channel, which never change: contract, chain, parties, amount.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{Amount, Balances, Crypto, Domain, Receipt, Role, Signature};

/// What two nodes agreed on before the channel was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The channel contract.
    pub channel: Address,
    /// The chain.
    pub chain_id: u64,
    /// The THD contract.
    pub token: Address,
    /// The factory.
    pub factory: Address,
    /// The salt of the clone: the hash of both sides' fresh halves.
    pub salt: B256,
    /// A's wallet.
    pub part_a: Address,
    /// B's wallet.
    pub part_b: Address,
    /// Which of the two this side is.
    pub role: Role,
    /// What the channel holds when it is ACTIVE.
    pub amount: Amount,
    /// What each was to pay in. The chain's figures are what counts.
    pub shares: Balances,
}

/// [`Terms`], and what follows from them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Terms", into = "Terms")]
pub struct Setup {
    terms: Terms,
    domain: Domain,
}

impl From<Terms> for Setup {
    fn from(terms: Terms) -> Self {
        let domain = Domain::new(terms.chain_id, terms.channel);
        Self { terms, domain }
    }
}

impl From<Setup> for Terms {
    fn from(setup: Setup) -> Self {
        setup.terms
    }
}

impl Setup {
    /// The terms.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The EIP-712 domain of the channel.
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Which party this side is.
    pub const fn role(&self) -> Role {
        self.terms.role
    }

    /// Which party the partner is.
    pub(super) const fn partner_role(&self) -> Role {
        self.terms.role.other()
    }

    /// The wallet of one party.
    pub const fn party(&self, role: Role) -> Address {
        match role {
            Role::A => self.terms.part_a,
            Role::B => self.terms.part_b,
        }
    }

    /// The other party's wallet.
    pub const fn partner(&self) -> Address {
        self.party(self.terms.role.other())
    }

    /// The own signature on a receipt.
    pub(super) fn sign(&self, receipt: &Receipt, crypto: &dyn Crypto) -> Signature {
        crypto.sign(&self.domain.digest(receipt))
    }

    /// Whether `signature` is that of `signer` on a receipt.
    pub(super) fn verify(
        &self,
        receipt: &Receipt,
        signature: &Signature,
        signer: Role,
        crypto: &dyn Crypto,
    ) -> bool {
        crypto.verify(&self.domain.digest(receipt), signature, &self.party(signer))
    }

    /// Whether these shares make up the channel's amount.
    pub(super) fn adds_up(&self, balances: Balances) -> bool {
        balances.sum() == Some(self.terms.amount)
    }
}
