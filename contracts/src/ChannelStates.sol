// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "./interfaces/IPaymentChannel.sol";

/// @title The states of many channels, read in one call
/// @notice Never deployed: its creation code is sent to `eth_call` without a recipient, and what it "deploys" is the
/// answer. A node asks the chain once for hundreds of its channels.
///
/// The answer is one word with the block's number, and then one word for each channel: what the channel's own storage
/// word is (`ChannelCore.Ledger`), or 0 for an address that does not answer as a channel does. From its most
/// significant byte: 1 byte phase ({EMPTY} to {CLOSED}), 4 bytes closing block, 5 bytes nonce, 11 bytes share of B, 11
/// bytes share of A. While EMPTY or ACTIVE, the shares are what was paid in, and nonce and closing block are 0.
contract ChannelStates {
    /// @notice The phase of a channel that is not fully paid in.
    uint256 public constant EMPTY = 1;
    /// @notice The phase of a channel in use.
    uint256 public constant ACTIVE = 2;
    /// @notice The phase of a channel that A closes.
    uint256 public constant CLOSING_BY_A = 3;
    /// @notice The phase of a channel that B closes.
    uint256 public constant CLOSING_BY_B = 4;
    /// @notice The phase of a channel that is paid out.
    uint256 public constant CLOSED = 5;

    /// @dev The gas of one question to a channel: several times what it takes. Without a bound, a contract that is no
    /// channel could take all of it, and the others would not be read.
    uint256 private constant GAS = 25_000;

    /// @notice Answers, as its code, with the words described above.
    /// @param channels The channels, in the order of the answer.
    constructor(address[] memory channels) {
        uint256[] memory words = new uint256[](channels.length + 1);
        words[0] = block.number;
        for (uint256 i = 0; i < channels.length; ++i) {
            words[i + 1] = _word(channels[i]);
        }
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            return(add(words, 32), mul(mload(words), 32))
        }
    }

    /// @dev The word of one channel.
    function _word(address channel) private view returns (uint256) {
        (bool exists, uint256 state) =
            _ask(channel, IPaymentChannel.state.selector, uint256(IPaymentChannel.StateChannel.CLOSED));
        if (!exists) return 0;
        (bool hasA, uint256 a) = _ask(channel, IPaymentChannel.balanceA.selector, type(uint88).max);
        (bool hasB, uint256 b) = _ask(channel, IPaymentChannel.balanceB.selector, type(uint88).max);
        if (!hasA || !hasB) return 0;
        uint256 shares = (b << 88) | a;
        if (state == uint256(IPaymentChannel.StateChannel.EMPTY)) return (EMPTY << 248) | shares;
        if (state == uint256(IPaymentChannel.StateChannel.ACTIVE)) return (ACTIVE << 248) | shares;

        (bool hasNonce, uint256 nonce) = _ask(channel, IPaymentChannel.Nonce.selector, type(uint40).max);
        (bool hasBlock, uint256 closed) = _ask(channel, IPaymentChannel.closingBlock.selector, type(uint32).max);
        if (!hasNonce || !hasBlock) return 0;
        shares |= (closed << 216) | (nonce << 176);
        if (state == uint256(IPaymentChannel.StateChannel.CLOSED)) return (CLOSED << 248) | shares;

        (bool hasCloser, uint256 closer) = _ask(channel, IPaymentChannel.closer.selector, type(uint160).max);
        (bool hasPartA, uint256 partA) = _ask(channel, IPaymentChannel.partA.selector, type(uint160).max);
        if (!hasCloser || !hasPartA) return 0;
        return ((closer == partA ? CLOSING_BY_A : CLOSING_BY_B) << 248) | shares;
    }

    /// @dev Calls a function without arguments; not `ok` if it answers with anything but one word of at most `most`.
    function _ask(address channel, bytes4 selector, uint256 most) private view returns (bool ok, uint256 word) {
        uint256 given = GAS;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(0, selector)
            let success := staticcall(given, channel, 0, 4, 0, 32)
            word := mload(0)
            ok := and(and(success, eq(returndatasize(), 32)), iszero(gt(word, most)))
        }
    }
}
