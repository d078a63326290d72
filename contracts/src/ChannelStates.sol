// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title What many channels say of their states, in one call
/// @notice Never deployed: its creation code is sent to `eth_call` without a recipient, and what it "deploys" is the
/// answer. A node with many channels asks the chain once for hundreds of them.
contract ChannelStates {
    /// @notice What stands for an address that says nothing that could be a state.
    uint8 public constant NONE = 255;

    /// @dev What a channel is given to answer with: several times what it takes. Without a bound, one that is none
    /// could take all of it, and the others would say nothing.
    uint256 private constant GAS = 50_000;

    /// @notice Answers, as its code, with one byte for each channel: what `state()` returns, or {NONE}.
    /// @param channels The channels, in the order of the answer.
    constructor(address[] memory channels) {
        bytes memory states = new bytes(channels.length);
        for (uint256 i = 0; i < channels.length; ++i) {
            (bool success, uint256 size, uint256 state) = _state(channels[i]);
            states[i] = bytes1(success && size == 32 && state < NONE ? uint8(state) : NONE);
        }
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            return(add(states, 32), mload(states))
        }
    }

    /// @dev Calls `state()`, and reads no more than 32 bytes of what comes.
    function _state(address channel) private view returns (bool success, uint256 size, uint256 state) {
        uint256 given = GAS;
        // c19d93fb is the selector of state().
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(0, shl(224, 0xc19d93fb))
            success := staticcall(given, channel, 0, 4, 0, 32)
            size := returndatasize()
            state := mload(0)
        }
    }
}
