// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title THD, the token of Thunder
/// @notice A testnet token: 18 decimals, EIP-2612 permits, and an owner that can mint.
contract THD is ERC20, ERC20Permit, Ownable {
    /// @notice Makes the token, with nothing minted.
    /// @param initialOwner Who may mint.
    constructor(address initialOwner) ERC20("Thunder", "THD") ERC20Permit("Thunder") Ownable(initialOwner) {}

    /// @notice Mints THD. Only the owner may.
    /// @param to Who gets them.
    /// @param value How many, in base units (10^-18 THD).
    function mint(address to, uint256 value) external onlyOwner {
        _mint(to, value);
    }
}
