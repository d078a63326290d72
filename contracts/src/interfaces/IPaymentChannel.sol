// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IOpeningErrors} from "./IOpeningErrors.sol";

/// @title A payment channel between two parties
/// @notice Two parties lock THD, exchange signed receipts off-chain, and settle here on the newest one.
///
/// A **receipt** is (nonce, balanceA, balanceB). Its balances always add up to {amount}. What is signed is its
/// {digest}, an EIP-712 digest bound to this contract and this chain, by plain ECDSA: 65 bytes, low s. ERC-1271 is
/// never asked: an account with code could take its own word back after a closing.
///
/// Receipt 0 is what the parties have paid in. The chain knows it, so nobody signs it.
///
/// The life of a channel: EMPTY until {amount} is paid in, then ACTIVE, then CLOSING for {CHALLENGE_PERIOD} blocks,
/// then CLOSED. Shortcuts: EMPTY to CLOSED by {cancel}, ACTIVE to CLOSED by a receipt with nonce {FINAL}, CLOSING to
/// CLOSED at once by {challenge}.
///
/// Besides the errors declared here, a signature that is no signature at all is refused with OpenZeppelin's
/// `ECDSAInvalidSignatureLength(uint256)`, `ECDSAInvalidSignatureS(bytes32)` or `ECDSAInvalidSignature()`; what the
/// token reverts with is passed on, or `SafeERC20FailedOperation(address)` if it only returns false.
interface IPaymentChannel is IOpeningErrors {
    /// @notice The states of a channel.
    enum StateChannel {
        EMPTY,
        ACTIVE,
        CLOSING,
        CLOSED
    }

    // -----------------------------------------------------------------------------------------------------------
    // Errors
    // -----------------------------------------------------------------------------------------------------------

    /// @notice Thrown when this is not a channel: the factory's template itself, or a proxy that somebody else has
    /// put before a channel's code.
    error NotInitialised();

    /// @notice Thrown when the function does not apply to the channel's state.
    /// @param required The state in which it does.
    /// @param actual The state that the channel is in.
    error WrongState(StateChannel required, StateChannel actual);

    /// @notice Thrown when somebody other than the two parties calls a function that is only theirs.
    /// @param caller Who called.
    error NotParty(address caller);

    /// @notice Thrown when a receipt's nonce is beyond {FINAL}, the largest there is.
    /// @param nonce The receipt's nonce.
    /// @param max {FINAL}.
    error NonceTooLarge(uint256 nonce, uint256 max);

    /// @notice Thrown when a receipt's, or a proposal's, balances do not add up to the channel's amount.
    /// @param balanceA The receipt's share of A.
    /// @param balanceB The receipt's share of B.
    /// @param amount The channel's amount.
    error WrongSum(uint256 balanceA, uint256 balanceB, uint256 amount);

    /// @notice Thrown when receipt 0 is shown with other balances than those paid in.
    /// @param balanceA The share of A shown.
    /// @param balanceB The share of B shown.
    /// @param paidA What A has paid in.
    /// @param paidB What B has paid in.
    error NotPaidIn(uint256 balanceA, uint256 balanceB, uint256 paidA, uint256 paidB);

    /// @notice Thrown when receipt 0 comes with a signature: nobody signs it, so the caller means something else.
    /// @param length The signature's length in bytes.
    error UnexpectedSignature(uint256 length);

    /// @notice Thrown when a receipt is signed by somebody else than it must be, or the signature is for another
    /// receipt, channel or chain.
    /// @param recovered Whose signature it would be.
    /// @param expected Whose it must be.
    error WrongSigner(address recovered, address expected);

    /// @notice Thrown by {closingProposal} and {challenge} when shown a receipt with nonce {FINAL}.
    error FinalNotAccepted();

    /// @notice Thrown when the proposal's nonce would reach {FINAL}.
    /// @param nonce The nonce that the proposal would have.
    error ProposalNonceTooLarge(uint256 nonce);

    /// @notice Thrown when a proposal gives the caller more than the receipt that it builds on.
    /// @param baseBalance The caller's balance in that receipt.
    /// @param proposedBalance The caller's balance in the proposal.
    error ProposalDoesNotConcede(uint256 baseBalance, uint256 proposedBalance);

    /// @notice Thrown when a challenge shows a receipt older than the one closed on.
    /// @param nonce The nonce of the receipt shown.
    /// @param closedOn The nonce closed on.
    error ReceiptNotNewer(uint256 nonce, uint256 closedOn);

    /// @notice Thrown when a challenge shows the very receipt closed on: it proves nothing.
    /// @param nonce The nonce closed on.
    error SameReceipt(uint256 nonce);

    /// @notice Thrown when a challenge comes too late.
    /// @param blockNumber The current block.
    /// @param end The first block in which it was too late.
    error ChallengePeriodOver(uint256 blockNumber, uint256 end);

    /// @notice Thrown when a withdrawal comes too early.
    /// @param blockNumber The current block.
    /// @param end The first block in which it is possible.
    error ChallengePeriodNotOver(uint256 blockNumber, uint256 end);

    // -----------------------------------------------------------------------------------------------------------
    // Events
    // -----------------------------------------------------------------------------------------------------------

    /// @notice A party has paid in.
    /// @param partA The first party.
    /// @param partB The second party.
    /// @param balanceA What A has paid in so far.
    /// @param balanceB What B has paid in so far.
    /// @param state ACTIVE if nothing is missing any more, else EMPTY.
    event Funded(address indexed partA, address indexed partB, uint256 balanceA, uint256 balanceB, StateChannel state);

    /// @notice The channel was given up before it became ACTIVE, and each party has back what it had paid in.
    /// @param partA The first party.
    /// @param partB The second party.
    /// @param refundA What A got back.
    /// @param refundB What B got back.
    event Cancelled(address indexed partA, address indexed partB, uint256 refundA, uint256 refundB);

    /// @notice A party closes the channel; from this block on, {CHALLENGE_PERIOD} blocks remain to challenge it.
    /// @param partA The first party.
    /// @param partB The second party.
    /// @param closer Who closes.
    /// @param nonce The nonce closed on.
    /// @param balanceA What A will be paid if nobody challenges.
    /// @param balanceB What B will be paid if nobody challenges.
    /// @param baseNonce The nonce of the receipt, signed by the other party, that this rests on; equal to `nonce`
    /// unless `byProposal`.
    /// @param byProposal Whether it is the closer's own proposal that is closed on, see {closingProposal}.
    event Closing(
        address indexed partA,
        address indexed partB,
        address closer,
        uint256 nonce,
        uint256 balanceA,
        uint256 balanceB,
        uint256 baseNonce,
        bool byProposal
    );

    /// @notice The closer was proved wrong, and the other party has got the whole amount.
    /// @param partA The first party.
    /// @param partB The second party.
    /// @param winner Who has got it.
    /// @param nonce The nonce of the receipt that proved it.
    /// @param balanceA That receipt's share of A (not what was paid).
    /// @param balanceB That receipt's share of B (not what was paid).
    event Challenged(
        address indexed partA, address indexed partB, address winner, uint256 nonce, uint256 balanceA, uint256 balanceB
    );

    /// @notice The challenge period is over and both parties are paid out.
    /// @param partA The first party.
    /// @param partB The second party.
    /// @param paidA What A was paid.
    /// @param paidB What B was paid.
    event Withdrawn(address indexed partA, address indexed partB, uint256 paidA, uint256 paidB);

    /// @notice The channel was closed on a receipt that nothing can outdate, and both parties are paid out.
    /// @param partA The first party.
    /// @param partB The second party.
    /// @param paidA What A was paid.
    /// @param paidB What B was paid.
    event Finalised(address indexed partA, address indexed partB, uint256 paidA, uint256 paidB);

    // -----------------------------------------------------------------------------------------------------------
    // Functions that change something
    // -----------------------------------------------------------------------------------------------------------

    /// @notice Pays THD into an EMPTY channel, from the calling party, by allowance. When nothing is missing any
    /// more the channel is ACTIVE.
    /// @dev Emits {Funded}. Throws {WrongState}, {NotParty}, {AmountExceeded}, {TokenShortfall}.
    /// @param _value How much, at most what is still missing.
    function fund(uint256 _value) external;

    /// @notice {fund} with an EIP-2612 permit (spender: this channel; value: `_value`) instead of an allowance.
    /// A permit that somebody else has already submitted does not make it fail.
    /// @dev Emits {Funded}. Throws what {fund} throws, and {PermitRefused}.
    /// @param _value How much, at most what is still missing.
    /// @param _deadline The permit's deadline.
    /// @param v The permit's signature.
    /// @param r The permit's signature.
    /// @param s The permit's signature.
    function fundWithPermit(uint256 _value, uint256 _deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Gives an EMPTY channel up: each party gets back what it has paid in, and the channel is CLOSED.
    /// @dev Only A or B. Emits {Cancelled}. Throws {WrongState}, {NotParty}.
    function cancel() external;

    /// @notice Closes an ACTIVE channel on a receipt that the *other* party has signed.
    ///
    /// Nonce 0: the balances must be those paid in, the signature empty. Nonce {FINAL}: nothing can outdate it, both
    /// parties are paid out at once and the channel is CLOSED. Any other nonce: the channel is CLOSING.
    ///
    /// Whoever closes on an older receipt than the newest that it has signed itself can lose everything, see
    /// {challenge}. For a party that has nothing left in the channel that is no threat: it risks only gas. The other
    /// one, or a watchtower, must look at the chain once in {CHALLENGE_PERIOD} blocks.
    /// @dev Only A or B. Emits {Closing}, or {Finalised}. Throws {WrongState}, {NotParty}, {NonceTooLarge},
    /// {WrongSum}, {NotPaidIn}, {UnexpectedSignature}, {WrongSigner}.
    /// @param _nonce The receipt's nonce.
    /// @param _balanceA The receipt's share of A.
    /// @param _balanceB The receipt's share of B.
    /// @param _signature The other party's signature on the receipt's {digest}.
    function closing(uint256 _nonce, uint256 _balanceA, uint256 _balanceB, bytes calldata _signature) external;

    /// @notice Closes an ACTIVE channel on the caller's own proposal, which the other party has left unanswered.
    ///
    /// The way out for somebody who has signed receipt n + 1, paying, and got no signature back. Closing on n would
    /// be punishable with the caller's own signature on n + 1. So the caller shows n, signed by the other party, and
    /// closes on the proposal itself, which has to concede: the caller's balance does not rise above that of n.
    ///
    /// The proposal's nonce is not passed in: A signs proposals with odd nonces and B with even ones, so it is the
    /// next nonce of the caller's parity after `_nonce`.
    /// @dev Only A or B. Emits {Closing}. Throws {WrongState}, {NotParty}, {NonceTooLarge}, {FinalNotAccepted},
    /// {WrongSum}, {NotPaidIn}, {UnexpectedSignature}, {WrongSigner}, {ProposalNonceTooLarge},
    /// {ProposalDoesNotConcede}.
    /// @param _nonce The nonce of the receipt that the proposal builds on; 0 as in {closing}.
    /// @param _balanceA That receipt's share of A.
    /// @param _balanceB That receipt's share of B.
    /// @param _signature The other party's signature on that receipt's {digest}.
    /// @param _proposedA The proposal's share of A.
    /// @param _proposedB The proposal's share of B.
    function closingProposal(
        uint256 _nonce,
        uint256 _balanceA,
        uint256 _balanceB,
        bytes calldata _signature,
        uint256 _proposedA,
        uint256 _proposedB
    ) external;

    /// @notice Proves, while the channel is CLOSING, that the closer did not close on the newest receipt: with one
    /// that the *closer* has signed, with a higher nonce than it closed on, or with the same nonce and other
    /// balances (nobody honest signs two receipts with one nonce). The whole amount goes to the other party.
    ///
    /// Anyone may call it, and it pays no one but that party: a watchtower can do it for someone who is offline.
    /// @dev Before block {closingBlock} + {CHALLENGE_PERIOD}. Emits {Challenged}. Throws {WrongState},
    /// {ChallengePeriodOver}, {NonceTooLarge}, {FinalNotAccepted}, {WrongSum}, {ReceiptNotNewer}, {SameReceipt},
    /// {WrongSigner}.
    /// @param _nonce The receipt's nonce.
    /// @param _balanceA The receipt's share of A.
    /// @param _balanceB The receipt's share of B.
    /// @param _signature The closer's signature on the receipt's {digest}.
    function challenge(uint256 _nonce, uint256 _balanceA, uint256 _balanceB, bytes calldata _signature) external;

    /// @notice Pays both parties out once the challenge period is over. Anyone may call it.
    /// @dev From block {closingBlock} + {CHALLENGE_PERIOD} on. Emits {Withdrawn}. Throws {WrongState},
    /// {ChallengePeriodNotOver}.
    function withdraw() external;

    // -----------------------------------------------------------------------------------------------------------
    // Receipts
    // -----------------------------------------------------------------------------------------------------------

    /// @notice The EIP-712 struct hash of `Receipt(uint256 nonce,uint256 balanceA,uint256 balanceB)`. It is the same
    /// in every channel, so it is not what is signed: see {digest}.
    /// @param _nonce The receipt's nonce.
    /// @param _balanceA The receipt's share of A.
    /// @param _balanceB The receipt's share of B.
    function message(uint256 _nonce, uint256 _balanceA, uint256 _balanceB) external pure returns (bytes32);

    /// @notice What is signed: the EIP-712 digest of {message} in the domain `name "Thunder", version "1"`, the
    /// chain's id at the time of the call, and this contract.
    /// @param _nonce The receipt's nonce.
    /// @param _balanceA The receipt's share of A.
    /// @param _balanceB The receipt's share of B.
    function digest(uint256 _nonce, uint256 _balanceA, uint256 _balanceB) external view returns (bytes32);

    // -----------------------------------------------------------------------------------------------------------
    // What can be read. All but the constants throw {NotInitialised} where there is no channel.
    // -----------------------------------------------------------------------------------------------------------

    // The constants' names are those of constants, and `Nonce` is the customer's.
    // slither-disable-start naming-convention

    /// @notice How many blocks a closing can be challenged.
    function CHALLENGE_PERIOD() external view returns (uint256);

    /// @notice The largest nonce there is: that of a receipt that nothing can outdate.
    function FINAL() external view returns (uint256);

    /// @notice The first party: with the factory, the one that opened the channel. Signs odd proposals.
    function partA() external view returns (address);

    /// @notice The second party. Signs even proposals.
    function partB() external view returns (address);

    /// @notice The token that the channel holds, THD.
    function token() external view returns (IERC20);

    /// @notice What the channel holds once it is ACTIVE, in base units of {token}. It never changes.
    function amount() external view returns (uint256);

    /// @notice The channel's state.
    function state() external view returns (StateChannel);

    /// @notice The block in which the channel was closed on a receipt, 0 before and after {cancel}.
    function closingBlock() external view returns (uint256);

    /// @notice The nonce that the channel was closed on, 0 before.
    function Nonce() external view returns (uint256); // solhint-disable-line func-name-mixedcase

    // slither-disable-end naming-convention

    /// @notice A's share: paid in while EMPTY or ACTIVE, closed on while CLOSING, paid out once CLOSED.
    function balanceA() external view returns (uint256);

    /// @notice B's share: paid in while EMPTY or ACTIVE, closed on while CLOSING, paid out once CLOSED.
    function balanceB() external view returns (uint256);

    /// @notice Who closed the channel, while it is CLOSING; the zero address otherwise.
    function closer() external view returns (address);
}
