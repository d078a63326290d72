// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IOpeningErrors} from "../interfaces/IOpeningErrors.sol";

/// @title How tokens get into a channel
/// @notice Always from the caller, never from anybody else: an allowance given to a channel or to the factory is of no
/// use to others.
library Deposits {
    using SafeERC20 for IERC20;

    /// @dev Pulls `value` from the caller into `channel`, and makes sure that the channel then holds what it owes.
    /// @param owed What the two parties have paid into the channel, this payment included.
    function pull(IERC20 token, address channel, uint256 value, uint256 owed) internal {
        token.safeTransferFrom(msg.sender, channel, value);
        uint256 held = token.balanceOf(channel);
        if (held < owed) revert IOpeningErrors.TokenShortfall(held, owed);
    }

    /// @dev Has the token turn the caller's EIP-2612 permit for this contract into an allowance. Permits are public
    /// as soon as the transaction is, so somebody may have submitted this one already: its nonce is then used up
    /// and the token refuses it, but the allowance is there.
    function permit(IERC20 token, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) internal {
        // Nothing is left to do when the token takes it.
        // solhint-disable-next-line no-empty-blocks
        try IERC20Permit(address(token)).permit(msg.sender, address(this), value, deadline, v, r, s) {}
        catch (bytes memory reason) {
            uint256 allowance = token.allowance(msg.sender, address(this));
            if (allowance < value) revert IOpeningErrors.PermitRefused(allowance, value, reason);
        }
    }
}
