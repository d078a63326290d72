//! The contracts' ABI: calldata, answers, events and permits, encoded and decoded by hand.

use ethers_core::abi::{Token, encode};
use ethers_core::types::{H160, U256};
use ethers_core::utils::{id, keccak256};
use thunder_protocol::onchain::{ClosePlan, ClosingEvent, EndKind, Evidence};
use thunder_protocol::{Address, Amount, B256, Balances, Nonce};

use crate::question::Log;

/// An address as ethers has it.
pub const fn to_ethers(address: Address) -> H160 {
    H160(address.0.0)
}

/// An address as the rest of Thunder has it.
pub const fn from_ethers(address: H160) -> Address {
    Address::new(address.0)
}

fn call(signature: &str, arguments: &[Token]) -> Vec<u8> {
    [&id(signature)[..], &encode(arguments)].concat()
}

fn number(value: impl Into<u128>) -> Token {
    Token::Uint(U256::from(value.into()))
}

fn amount(value: Amount) -> Token {
    number(value.base_units())
}

fn address(value: Address) -> Token {
    Token::Address(to_ethers(value))
}

fn word(value: B256) -> Token {
    Token::FixedBytes(value.to_vec())
}

/// The factory's or a channel's own calls.
pub(crate) mod calls {
    use super::{
        Address, Amount, B256, ClosePlan, Evidence, Nonce, Token, U256, address, amount, call, number, word,
    };

    /// A permit (EIP-2612) without a deadline.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Permit {
        pub(crate) v: u8,
        pub(crate) r: B256,
        pub(crate) s: B256,
    }

    impl Permit {
        fn tokens(self) -> [Token; 4] {
            [Token::Uint(U256::MAX), number(self.v), word(self.r), word(self.s)]
        }
    }

    pub(crate) fn open(
        total: Amount,
        part_b: Address,
        deposit: Amount,
        salt: B256,
        permit: Option<Permit>,
    ) -> Vec<u8> {
        let mut arguments = vec![amount(total), address(part_b), amount(deposit), word(salt)];
        match permit {
            None => call("open(uint256,address,uint256,bytes32)", &arguments),
            Some(permit) => {
                arguments.extend(permit.tokens());
                let signature =
                    "openWithPermit(uint256,address,uint256,bytes32,uint256,uint8,bytes32,bytes32)";
                call(signature, &arguments)
            }
        }
    }

    pub(crate) fn fund(value: Amount, permit: Permit) -> Vec<u8> {
        let arguments = [&[amount(value)][..], &permit.tokens()].concat();
        call("fundWithPermit(uint256,uint256,uint8,bytes32,bytes32)", &arguments)
    }

    pub(crate) fn cancel() -> Vec<u8> {
        call("cancel()", &[])
    }

    pub(crate) fn withdraw() -> Vec<u8> {
        call("withdraw()", &[])
    }

    fn evidence(evidence: &Evidence) -> Vec<Token> {
        let receipt = evidence.receipt;
        let signature = evidence.signature.map(|signature| signature.as_bytes().to_vec());
        vec![
            number(receipt.nonce.get()),
            amount(receipt.balances.a),
            amount(receipt.balances.b),
            Token::Bytes(signature.unwrap_or_default()),
        ]
    }

    pub(crate) fn challenge(receipt: &Evidence) -> Vec<u8> {
        call("challenge(uint256,uint256,uint256,bytes)", &evidence(receipt))
    }

    pub(crate) fn close(plan: &ClosePlan) -> Vec<u8> {
        const CLOSING: &str = "closing(uint256,uint256,uint256,bytes)";
        match plan {
            ClosePlan::Receipt(receipt) => call(CLOSING, &evidence(receipt)),
            ClosePlan::Proposal { base, proposed, .. } => {
                let mut arguments = evidence(base);
                arguments.extend([amount(proposed.a), amount(proposed.b)]);
                call("closingProposal(uint256,uint256,uint256,bytes,uint256,uint256)", &arguments)
            }
            ClosePlan::Final { balances, signature, .. } => {
                let signature = Token::Bytes(signature.as_bytes().to_vec());
                let (a, b) = (amount(balances.a), amount(balances.b));
                call(CLOSING, &[number(Nonce::FINAL.get()), a, b, signature])
            }
        }
    }

    /// THD's `nonces(owner)`.
    pub(crate) fn permit_nonce(owner: Address) -> Vec<u8> {
        call("nonces(address)", &[address(owner)])
    }

    /// THD's `balanceOf(account)`.
    pub(crate) fn balance_of(account: Address) -> Vec<u8> {
        call("balanceOf(address)", &[address(account)])
    }

    /// The token's `decimals()`.
    pub(crate) fn decimals() -> Vec<u8> {
        call("decimals()", &[])
    }

    /// A channel's `amount()`.
    pub(crate) fn total() -> Vec<u8> {
        call("amount()", &[])
    }

    /// The factory's `token()`.
    pub(crate) fn token() -> Vec<u8> {
        call("token()", &[])
    }
}

/// The calldata of a challenge: all that a third party needs besides the contract's address.
pub fn challenge_calldata(evidence: &Evidence) -> Vec<u8> {
    calls::challenge(evidence)
}

/// The calldata of THD's `balanceOf`.
pub fn balance_calldata(account: Address) -> Vec<u8> {
    calls::balance_of(account)
}

/// The calldata of the factory's `token`.
pub fn token_calldata() -> Vec<u8> {
    calls::token()
}

/// Reads a number that a contract answers; `None` for anything else, and above 128 bits.
pub fn read_number(answer: &[u8]) -> Option<u128> {
    let (high, low) = answer.split_at_checked(16)?;
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(u128::from_be_bytes(low.try_into().ok()?))
}

/// Reads an address that a contract answers; `None` for anything else.
pub fn read_address(answer: &[u8]) -> Option<Address> {
    let (high, low) = answer.split_at_checked(12)?;
    if high.iter().any(|byte| *byte != 0) { None } else { Address::try_from(low).ok() }
}

/// The domain separator of THD's permits (EIP-712): name "Thunder", version "1", this chain, this contract.
pub fn permit_domain(token: Address, chain_id: u64) -> B256 {
    let domain = encode(&[
        hashed("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
        hashed("Thunder"),
        hashed("1"),
        number(chain_id),
        address(token),
    ]);
    B256::new(keccak256(domain))
}

fn hashed(text: &str) -> Token {
    Token::FixedBytes(keccak256(text).to_vec())
}

/// The digest of a permit for `spender` (EIP-2612).
pub(crate) fn permit_digest(
    token: Address,
    chain_id: u64,
    owner: Address,
    spender: Address,
    value: Amount,
    nonce: u128,
) -> B256 {
    let domain = permit_domain(token, chain_id);
    let message = keccak256(encode(&[
        hashed("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
        address(owner),
        address(spender),
        amount(value),
        number(nonce),
        Token::Uint(U256::MAX),
    ]));
    B256::new(keccak256([&[0x19, 0x01][..], domain.as_slice(), &message].concat()))
}

/// The topics of the events that a node knows channels by.
pub(crate) mod topics {
    use super::{B256, keccak256};

    fn topic(signature: &str) -> B256 {
        B256::new(keccak256(signature))
    }

    pub(crate) fn closing() -> B256 {
        topic("Closing(address,address,address,uint256,uint256,uint256,uint256,bool)")
    }

    pub(crate) fn cancelled() -> B256 {
        topic("Cancelled(address,address,uint256,uint256)")
    }

    pub(crate) fn withdrawn() -> B256 {
        topic("Withdrawn(address,address,uint256,uint256)")
    }

    pub(crate) fn challenged() -> B256 {
        topic("Challenged(address,address,address,uint256,uint256,uint256)")
    }

    pub(crate) fn finalised() -> B256 {
        topic("Finalised(address,address,uint256,uint256)")
    }
}

/// The topic of a channel's closing.
pub(crate) fn closing_topic() -> B256 {
    topics::closing()
}

/// All events by which a channel comes to be CLOSING or CLOSED. A channel emits at most one of each
/// kind, whoever touches it.
pub(crate) fn ending_topics() -> Vec<B256> {
    vec![
        topics::closing(),
        topics::cancelled(),
        topics::withdrawn(),
        topics::challenged(),
        topics::finalised(),
    ]
}

/// What a channel's event tells beyond its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelEvent {
    /// How it was closed.
    Closing { closer: Address, nonce: Nonce, balances: Balances, event: ClosingEvent },
    /// How it ended.
    End(EndKind),
}

/// Reads an event of a channel; `None` for any other.
pub(crate) fn read_event(log: &Log) -> Option<ChannelEvent> {
    let topic = *log.topics.first()?;
    if topic == topics::closing() {
        return read_closing(log);
    }
    let kinds = [
        (topics::cancelled(), EndKind::Cancelled),
        (topics::withdrawn(), EndKind::Withdrawn),
        (topics::challenged(), EndKind::Challenged),
        (topics::finalised(), EndKind::Final),
    ];
    kinds.into_iter().find(|(name, _)| *name == topic).map(|(_, kind)| ChannelEvent::End(kind))
}

/// The data of a `Closing` event: closer, nonce, both shares, base nonce, by proposal.
fn read_closing(log: &Log) -> Option<ChannelEvent> {
    let (words, rest) = log.data.as_chunks::<32>();
    let [closer, nonce, a, b, base, by_proposal] = words else { return None };
    let share = |word: &[u8; 32]| read_number(word).and_then(Amount::from_base_units);
    let number = |word: &[u8; 32]| Nonce::new(u64::try_from(read_number(word)?).ok()?);
    let balances = Balances { a: share(a)?, b: share(b)? };
    let event =
        ClosingEvent { base_nonce: number(base)?, by_proposal: read_number(by_proposal)? == 1, tx: log.tx };
    let closer = read_address(closer)?;
    rest.is_empty().then_some(ChannelEvent::Closing { closer, nonce: number(nonce)?, balances, event })
}

#[cfg(test)]
mod tests;
