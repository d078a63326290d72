// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {ChannelCore} from "./ChannelCore.sol";

/// @title A payment channel that stands on its own
/// @notice Deployed with `new`, unfunded. {ChannelFactory} makes the same channel for a fraction of the gas.
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
