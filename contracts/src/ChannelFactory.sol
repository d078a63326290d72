// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {ChannelTemplate} from "./ChannelTemplate.sol";
import {IChannelFactory} from "./interfaces/IChannelFactory.sol";
import {IChannelTemplate} from "./interfaces/IChannelTemplate.sol";
import {Deposits} from "./libraries/Deposits.sol";

/// @title Opens payment channels cheaply
/// @notice See {IChannelFactory}. It keeps no state, holds no tokens, and nobody owns it.
contract ChannelFactory is IChannelFactory {
    using Deposits for IERC20;

    /// @inheritdoc IChannelFactory
    IERC20 public immutable token;

    /// @inheritdoc IChannelFactory
    address public immutable template;

    /// @notice Makes a factory, and its template, for channels in one token.
    /// @dev Throws {TokenWithoutCode}.
    /// @param _token The token, THD.
    constructor(IERC20 _token) {
        token = _token;
        template = address(new ChannelTemplate(_token));
    }

    /// @inheritdoc IChannelFactory
    function open(uint256 amount, address partB, uint256 deposit, bytes32 salt) public returns (address channel) {
        channel = Clones.cloneDeterministicWithImmutableArgs(template, _args(msg.sender, partB), salt);
        emit Opened(msg.sender, partB, channel, amount);
        IChannelTemplate(channel).initialise(amount, deposit);
        if (deposit != 0) token.pull(channel, deposit, deposit);
    }

    // A token that calls back from its permit finds no channel yet: `open` has not begun.
    // slither-disable-start reentrancy-events

    /// @inheritdoc IChannelFactory
    function openWithPermit(
        uint256 amount,
        address partB,
        uint256 deposit,
        bytes32 salt,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (address channel) {
        token.permit(deposit, deadline, v, r, s);
        return open(amount, partB, deposit, salt);
    }

    // slither-disable-end reentrancy-events

    /// @inheritdoc IChannelFactory
    function channelAddress(address partA, address partB, bytes32 salt) external view returns (address) {
        return Clones.predictDeterministicAddressWithImmutableArgs(template, _args(partA, partB), salt);
    }

    /// @dev What a channel's code ends with; {ChannelTemplate} reads it.
    function _args(address partA, address partB) private pure returns (bytes memory) {
        return abi.encodePacked(partA, partB);
    }
}
