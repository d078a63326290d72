// SPDX-License-Identifier: MIT OR Apache-2.0
// Who opens this file shall find the contract, not only its constructor.
// solhint-disable one-contract-per-file
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IPaymentChannel} from "./interfaces/IPaymentChannel.sol";
import {Deposits} from "./libraries/Deposits.sol";

// All of a payment channel is in this file: its states, storage and functions in {ChannelCore}, and at the end
// {PaymentChannel}, which is {ChannelCore} with the constructor that the subject asks for. Nodes open channels through
// {ChannelFactory}, whose clones run the same {ChannelCore}. What each function means is told in {IPaymentChannel}.

// The names with an underscore, and the customer's `Nonce`, are those of the ABI that docs/contract.md fixes.
// slither-disable-start naming-convention

/// @title The logic and the storage of a payment channel
/// @notice {PaymentChannel} and {ChannelTemplate} differ only in where they keep the parties, and in how a channel
/// comes about.
/// @dev Every function does all its checks first, then writes the one storage word, emits its event, and calls the
/// token last. Only funding differs: it looks at what the token has really moved, and a permit comes before it.
abstract contract ChannelCore is IPaymentChannel, EIP712 {
    using Deposits for IERC20;
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @dev What the contract tells apart: the states of the customer's `StateChannel`, and beside them whether
    /// there is a channel at all, and who closed it.
    enum Phase {
        /// Never initialised. The value of untouched storage, so that a proxy made by somebody else is in it.
        NONE,
        EMPTY,
        ACTIVE,
        CLOSING_BY_A,
        CLOSING_BY_B,
        CLOSED
    }

    /// @dev Everything that changes in a channel's life, in one storage word: one read and one write for each
    /// transaction. 309 million THD fit, 17 years of nonces at 2,000 a second, and 1,600 years of blocks of 12 seconds
    /// (beyond them a channel could not be closed any more: casts are checked).
    struct Ledger {
        uint88 balanceA;
        uint88 balanceB;
        uint40 nonce;
        uint32 closingBlock;
        Phase phase;
    }

    /// @inheritdoc IPaymentChannel
    uint256 public constant CHALLENGE_PERIOD = 24;

    /// @inheritdoc IPaymentChannel
    uint256 public constant FINAL = type(uint40).max;

    bytes32 private constant RECEIPT_TYPEHASH = keccak256("Receipt(uint256 nonce,uint256 balanceA,uint256 balanceB)");

    IERC20 private immutable _thd;

    Ledger private _ledger;

    /// @dev What is still missing from the amount. Kept outside the word because a channel that is paid in whole
    /// when it is opened never needs it: it is not zero only in EMPTY, and after `cancel`.
    uint256 private _unfunded;

    constructor(IERC20 token_) EIP712("Thunder", "1") {
        if (address(token_).code.length == 0) revert TokenWithoutCode(address(token_));
        _thd = token_;
    }

    // -----------------------------------------------------------------------------------------------------------
    // Paying in
    // -----------------------------------------------------------------------------------------------------------

    /// @inheritdoc IPaymentChannel
    function fund(uint256 _value) public {
        Ledger memory ledger = _ledger;
        if (ledger.phase != Phase.EMPTY) revert WrongState(StateChannel.EMPTY, _stateOf(ledger.phase));
        (address a, address b) = _parties();
        bool byA = _callerIsA(a, b);
        uint256 missing = _unfunded;
        if (_value > missing) revert AmountExceeded(_value, missing);

        if (byA) ledger.balanceA += _value.toUint88();
        else ledger.balanceB += _value.toUint88();
        if (_value == missing) ledger.phase = Phase.ACTIVE;
        _ledger = ledger;
        _unfunded = missing - _value;

        emit Funded(a, b, ledger.balanceA, ledger.balanceB, _stateOf(ledger.phase));
        _thd.pull(address(this), _value, _sum(ledger));
    }

    // A token that calls back from its permit finds the channel as it was before the call: `fund` has not begun.
    // slither-disable-start reentrancy-benign,reentrancy-events

    /// @inheritdoc IPaymentChannel
    function fundWithPermit(uint256 _value, uint256 _deadline, uint8 v, bytes32 r, bytes32 s) external {
        _thd.permit(_value, _deadline, v, r, s);
        fund(_value);
    }

    // slither-disable-end reentrancy-benign,reentrancy-events

    /// @inheritdoc IPaymentChannel
    function cancel() external {
        Ledger memory ledger = _ledger;
        if (ledger.phase != Phase.EMPTY) revert WrongState(StateChannel.EMPTY, _stateOf(ledger.phase));
        (address a, address b) = _parties();
        _callerIsA(a, b);

        ledger.phase = Phase.CLOSED;
        _ledger = ledger;

        emit Cancelled(a, b, ledger.balanceA, ledger.balanceB);
        _payOut(a, b, ledger);
    }

    // -----------------------------------------------------------------------------------------------------------
    // Closing
    // -----------------------------------------------------------------------------------------------------------

    /// @inheritdoc IPaymentChannel
    function closing(uint256 _nonce, uint256 _balanceA, uint256 _balanceB, bytes calldata _signature) external {
        Ledger memory ledger = _ledger;
        if (ledger.phase != Phase.ACTIVE) revert WrongState(StateChannel.ACTIVE, _stateOf(ledger.phase));
        (address a, address b) = _parties();
        bool byA = _callerIsA(a, b);
        _checkHeld(ledger, byA ? b : a, _nonce, _balanceA, _balanceB, _signature);

        _record(ledger, _nonce, _balanceA, _balanceB);
        if (_nonce == FINAL) {
            ledger.phase = Phase.CLOSED;
            _ledger = ledger;
            emit Finalised(a, b, _balanceA, _balanceB);
            _payOut(a, b, ledger);
        } else {
            ledger.phase = byA ? Phase.CLOSING_BY_A : Phase.CLOSING_BY_B;
            _ledger = ledger;
            emit Closing(a, b, msg.sender, _nonce, _balanceA, _balanceB, _nonce, false);
        }
    }

    /// @inheritdoc IPaymentChannel
    function closingProposal(
        uint256 _nonce,
        uint256 _balanceA,
        uint256 _balanceB,
        bytes calldata _signature,
        uint256 _proposedA,
        uint256 _proposedB
    ) external {
        Ledger memory ledger = _ledger;
        if (ledger.phase != Phase.ACTIVE) revert WrongState(StateChannel.ACTIVE, _stateOf(ledger.phase));
        (address a, address b) = _parties();
        bool byA = _callerIsA(a, b);
        if (_nonce == FINAL) revert FinalNotAccepted();
        _checkHeld(ledger, byA ? b : a, _nonce, _balanceA, _balanceB, _signature);
        _checkSum(ledger, _proposedA, _proposedB);
        (uint256 baseBalance, uint256 proposedBalance) = byA ? (_balanceA, _proposedA) : (_balanceB, _proposedB);
        if (proposedBalance > baseBalance) revert ProposalDoesNotConcede(baseBalance, proposedBalance);
        uint256 proposalNonce = _nextOfParity(_nonce, byA);
        if (proposalNonce >= FINAL) revert ProposalNonceTooLarge(proposalNonce);

        _record(ledger, proposalNonce, _proposedA, _proposedB);
        ledger.phase = byA ? Phase.CLOSING_BY_A : Phase.CLOSING_BY_B;
        _ledger = ledger;
        emit Closing(a, b, msg.sender, proposalNonce, _proposedA, _proposedB, _nonce, true);
    }

    /// @inheritdoc IPaymentChannel
    function challenge(uint256 _nonce, uint256 _balanceA, uint256 _balanceB, bytes calldata _signature) external {
        Ledger memory ledger = _ledger;
        if (ledger.phase != Phase.CLOSING_BY_A && ledger.phase != Phase.CLOSING_BY_B) {
            revert WrongState(StateChannel.CLOSING, _stateOf(ledger.phase));
        }
        uint256 end = ledger.closingBlock + CHALLENGE_PERIOD;
        if (block.number >= end) revert ChallengePeriodOver(block.number, end);
        if (_nonce == FINAL) revert FinalNotAccepted();
        _checkReceipt(ledger, _nonce, _balanceA, _balanceB);
        if (_nonce < ledger.nonce) revert ReceiptNotNewer(_nonce, ledger.nonce);
        // Both pairs of balances add up to the amount, so that A's share tells them apart.
        if (_nonce == ledger.nonce && _balanceA == ledger.balanceA) revert SameReceipt(_nonce);
        (address a, address b) = _parties();
        bool closedByA = ledger.phase == Phase.CLOSING_BY_A;
        _checkSigner(closedByA ? a : b, _nonce, _balanceA, _balanceB, _signature);

        // The amount, which was checked to fit when the channel was made.
        uint88 total = uint88(_sum(ledger));
        (ledger.balanceA, ledger.balanceB) = closedByA ? (uint88(0), total) : (total, uint88(0));
        ledger.phase = Phase.CLOSED;
        _ledger = ledger;
        emit Challenged(a, b, closedByA ? b : a, _nonce, _balanceA, _balanceB);
        _payOut(a, b, ledger);
    }

    /// @inheritdoc IPaymentChannel
    function withdraw() external {
        Ledger memory ledger = _ledger;
        if (ledger.phase != Phase.CLOSING_BY_A && ledger.phase != Phase.CLOSING_BY_B) {
            revert WrongState(StateChannel.CLOSING, _stateOf(ledger.phase));
        }
        uint256 end = ledger.closingBlock + CHALLENGE_PERIOD;
        if (block.number < end) revert ChallengePeriodNotOver(block.number, end);
        (address a, address b) = _parties();

        ledger.phase = Phase.CLOSED;
        _ledger = ledger;
        emit Withdrawn(a, b, ledger.balanceA, ledger.balanceB);
        _payOut(a, b, ledger);
    }

    // -----------------------------------------------------------------------------------------------------------
    // Receipts
    // -----------------------------------------------------------------------------------------------------------

    /// @inheritdoc IPaymentChannel
    function message(uint256 _nonce, uint256 _balanceA, uint256 _balanceB) public pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, _nonce, _balanceA, _balanceB));
    }

    /// @inheritdoc IPaymentChannel
    function digest(uint256 _nonce, uint256 _balanceA, uint256 _balanceB) public view returns (bytes32) {
        return _hashTypedDataV4(message(_nonce, _balanceA, _balanceB));
    }

    // -----------------------------------------------------------------------------------------------------------
    // What can be read
    // -----------------------------------------------------------------------------------------------------------

    /// @inheritdoc IPaymentChannel
    function partA() external view returns (address a) {
        _existing();
        (a,) = _parties();
    }

    /// @inheritdoc IPaymentChannel
    function partB() external view returns (address b) {
        _existing();
        (, b) = _parties();
    }

    /// @inheritdoc IPaymentChannel
    function token() external view returns (IERC20) {
        _existing();
        return _thd;
    }

    /// @inheritdoc IPaymentChannel
    function amount() external view returns (uint256) {
        return _sum(_existing()) + _unfunded;
    }

    /// @inheritdoc IPaymentChannel
    function state() external view returns (StateChannel) {
        return _stateOf(_existing().phase);
    }

    /// @inheritdoc IPaymentChannel
    function closingBlock() external view returns (uint256) {
        return _existing().closingBlock;
    }

    // solhint-disable func-name-mixedcase

    /// @inheritdoc IPaymentChannel
    function Nonce() external view returns (uint256) {
        return _existing().nonce;
    }

    // solhint-enable func-name-mixedcase

    /// @inheritdoc IPaymentChannel
    function balanceA() external view returns (uint256) {
        return _existing().balanceA;
    }

    /// @inheritdoc IPaymentChannel
    function balanceB() external view returns (uint256) {
        return _existing().balanceB;
    }

    /// @inheritdoc IPaymentChannel
    function closer() external view returns (address) {
        Phase phase = _existing().phase;
        (address a, address b) = _parties();
        if (phase == Phase.CLOSING_BY_A) return a;
        if (phase == Phase.CLOSING_BY_B) return b;
        return address(0);
    }

    // -----------------------------------------------------------------------------------------------------------
    // For the two kinds of channel
    // -----------------------------------------------------------------------------------------------------------

    /// @dev Where the two parties come from. They never change.
    function _parties() internal view virtual returns (address a, address b);

    /// @dev Whether there is a channel here.
    function _exists() internal view returns (bool) {
        return _ledger.phase != Phase.NONE;
    }

    /// @dev Makes a channel of untouched storage, `depositA` being paid in by A in the same transaction.
    function _initialise(uint256 amount_, uint256 depositA) internal {
        (address a, address b) = _parties();
        if (amount_ == 0) revert ZeroAmount();
        if (amount_ > type(uint88).max) revert AmountTooLarge(amount_, type(uint88).max);
        if (a == address(0) || b == address(0)) revert ZeroParty(a, b);
        if (a == b) revert SameParty(a);
        if (depositA > amount_) revert AmountExceeded(depositA, amount_);

        Phase phase = depositA == amount_ ? Phase.ACTIVE : Phase.EMPTY;
        _ledger = Ledger({balanceA: depositA.toUint88(), balanceB: 0, nonce: 0, closingBlock: 0, phase: phase});
        if (depositA != amount_) _unfunded = amount_ - depositA;
        if (depositA != 0) emit Funded(a, b, depositA, 0, _stateOf(phase));
    }

    // -----------------------------------------------------------------------------------------------------------
    // Checks
    // -----------------------------------------------------------------------------------------------------------

    /// @dev The ledger, provided there is a channel.
    function _existing() private view returns (Ledger memory ledger) {
        ledger = _ledger;
        if (ledger.phase == Phase.NONE) revert NotInitialised();
    }

    /// @dev Whether the caller is A, provided it is A or B.
    function _callerIsA(address a, address b) private view returns (bool) {
        if (msg.sender == a) return true;
        if (msg.sender != b) revert NotParty(msg.sender);
        return false;
    }

    /// @dev That the balances add up to the amount. Only for ACTIVE and CLOSING, in which nothing is missing.
    function _checkSum(Ledger memory ledger, uint256 balanceA_, uint256 balanceB_) private pure {
        uint256 total = _sum(ledger);
        if (balanceA_ > total || balanceB_ != total - balanceA_) revert WrongSum(balanceA_, balanceB_, total);
    }

    /// @dev What every receipt must be, whoever has signed it.
    function _checkReceipt(Ledger memory ledger, uint256 nonce, uint256 balanceA_, uint256 balanceB_) private pure {
        if (nonce > FINAL) revert NonceTooLarge(nonce, FINAL);
        _checkSum(ledger, balanceA_, balanceB_);
    }

    /// @dev That it is a receipt that a party can close on: receipt 0, which the chain knows, or one that the other
    /// party has signed. Only for ACTIVE, in which the ledger is receipt 0.
    function _checkHeld(
        Ledger memory ledger,
        address other,
        uint256 nonce,
        uint256 balanceA_,
        uint256 balanceB_,
        bytes calldata signature
    ) private view {
        _checkReceipt(ledger, nonce, balanceA_, balanceB_);
        if (nonce != 0) {
            _checkSigner(other, nonce, balanceA_, balanceB_, signature);
        } else {
            if (balanceA_ != ledger.balanceA) {
                revert NotPaidIn(balanceA_, balanceB_, ledger.balanceA, ledger.balanceB);
            }
            if (signature.length != 0) revert UnexpectedSignature(signature.length);
        }
    }

    /// @dev That `expected` has signed the receipt, by ECDSA and nothing else.
    function _checkSigner(
        address expected,
        uint256 nonce,
        uint256 balanceA_,
        uint256 balanceB_,
        bytes calldata signature
    ) private view {
        address recovered = ECDSA.recoverCalldata(digest(nonce, balanceA_, balanceB_), signature);
        if (recovered != expected) revert WrongSigner(recovered, expected);
    }

    // -----------------------------------------------------------------------------------------------------------
    // Pieces
    // -----------------------------------------------------------------------------------------------------------

    /// @dev Puts what is closed on into the ledger. Nothing is cut off: the callers have checked that the nonce is at
    /// most {FINAL}, and that the balances add up to the amount, which fits into one of them.
    function _record(Ledger memory ledger, uint256 nonce, uint256 balanceA_, uint256 balanceB_) private view {
        // forge-lint: disable-start(unsafe-typecast)
        ledger.nonce = uint40(nonce);
        ledger.balanceA = uint88(balanceA_);
        ledger.balanceB = uint88(balanceB_);
        // forge-lint: disable-end(unsafe-typecast)
        ledger.closingBlock = block.number.toUint32();
    }

    /// @dev Pays each party its balance. A token may refuse transfers of nothing, and they cost gas.
    function _payOut(address a, address b, Ledger memory ledger) private {
        if (ledger.balanceA != 0) _thd.safeTransfer(a, ledger.balanceA);
        if (ledger.balanceB != 0) _thd.safeTransfer(b, ledger.balanceB);
    }

    function _sum(Ledger memory ledger) private pure returns (uint256) {
        // Two numbers of 88 bits.
        unchecked {
            return uint256(ledger.balanceA) + ledger.balanceB;
        }
    }

    /// @dev The smallest nonce of the proposer's parity after `nonce`: odd for A, even for B.
    function _nextOfParity(uint256 nonce, bool forA) private pure returns (uint256) {
        bool nextIsOdd = nonce % 2 == 0;
        return nextIsOdd == forA ? nonce + 1 : nonce + 2;
    }

    /// @dev The customer's state, provided there is a channel. What a channel is opened into comes first.
    function _stateOf(Phase phase) private pure returns (StateChannel) {
        if (phase == Phase.ACTIVE) return StateChannel.ACTIVE;
        if (phase == Phase.CLOSING_BY_A || phase == Phase.CLOSING_BY_B) return StateChannel.CLOSING;
        if (phase == Phase.EMPTY) return StateChannel.EMPTY;
        if (phase == Phase.CLOSED) return StateChannel.CLOSED;
        revert NotInitialised();
    }
}

// -----------------------------------------------------------------------------------------------------------
// The contract
// -----------------------------------------------------------------------------------------------------------

/// @title A payment channel that stands on its own
/// @notice Deployed with `new`, unfunded. {ChannelFactory} makes the same channel for a fraction of the gas.
/// Its functions are those of {ChannelCore} above.
contract PaymentChannel is ChannelCore {
    address private immutable _a;
    address private immutable _b;

    /// @notice Makes an EMPTY channel.
    /// @dev Throws {ZeroAmount}, {AmountTooLarge}, {ZeroParty}, {SameParty}, {TokenWithoutCode}.
    /// @param _amount What it is to hold, in base units of the token.
    /// @param _partA The first party.
    /// @param _partB The second party.
    /// @param _token The token, THD.
    constructor(uint256 _amount, address _partA, address _partB, IERC20 _token) ChannelCore(_token) {
        // `_initialise` refuses the zero address.
        // slither-disable-start missing-zero-check
        _a = _partA;
        _b = _partB;
        // slither-disable-end missing-zero-check
        _initialise(_amount, 0);
    }

    /// @inheritdoc ChannelCore
    function _parties() internal view override returns (address a, address b) {
        return (_a, _b);
    }
}

// slither-disable-end naming-convention
