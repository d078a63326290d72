// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {ChannelCore} from "./PaymentChannel.sol";
import {IChannelTemplate} from "./interfaces/IChannelTemplate.sol";

/// @title The code behind the channels of one {ChannelFactory}
/// @notice A channel is an ERC-1167 clone of this contract with its two parties appended to its code, 20 bytes each.
/// This contract itself never is one: nothing can be paid into it or closed, and nothing read but what is the same
/// everywhere (the constants and the receipts' hashes).
contract ChannelTemplate is ChannelCore, IChannelTemplate {
    /// @dev Who may initialise clones: otherwise anybody could put a proxy of their own before the genuine template,
    /// initialise it as paid in, and pay nothing.
    address private immutable _factory;

    /// @notice Makes the template of the factory that calls this.
    /// @dev Throws {TokenWithoutCode}.
    /// @param _token The token, THD.
    constructor(IERC20 _token) ChannelCore(_token) {
        _factory = msg.sender;
    }

    // The names with an underscore are those of the interface.
    // slither-disable-start naming-convention

    /// @inheritdoc IChannelTemplate
    function initialise(uint256 _amount, uint256 _deposit) external {
        if (msg.sender != _factory) revert NotFactory(msg.sender);
        if (_exists()) revert AlreadyInitialised();
        _initialise(_amount, _deposit);
    }

    // slither-disable-end naming-convention

    /// @inheritdoc ChannelCore
    // slither-disable-next-line assembly
    function _parties() internal view override returns (address a, address b) {
        // A clone's code is the 45 bytes of the proxy and then abi.encodePacked(a, b). The two addresses are copied
        // to the scratch space; each is the upper 160 bits of the word that begins with it. (`Clones.fetchCloneArgs`
        // reads the same bytes through an array in memory, for 430 gas more in every transaction.)
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            extcodecopy(address(), 0x00, 0x2d, 0x28)
            a := shr(96, mload(0x00))
            b := shr(96, mload(0x14))
        }
    }
}
