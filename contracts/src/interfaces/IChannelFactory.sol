// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IOpeningErrors} from "./IOpeningErrors.sol";

/// @title Opens payment channels cheaply
/// @notice Each channel is an ERC-1167 clone of one {template}, made with CREATE2, initialised and paid into in one
/// transaction.
///
/// **What proves a channel genuine** is its address: that {channelAddress} gives it. A look at its code is not
/// enough, nor is what it answers. Anybody can deploy the clone's code at another address with a storage of their
/// own, written by their own constructor, that looks fully paid in; but no other constructor leads to this address.
interface IChannelFactory is IOpeningErrors {
    /// @notice A channel has been opened. If there was a deposit, the channel's own {IPaymentChannel-Funded} follows.
    /// @param partA Who opened it.
    /// @param partB The other party.
    /// @param channel The channel.
    /// @param amount What it is to hold.
    event Opened(address indexed partA, address indexed partB, address channel, uint256 amount);

    /// @notice Opens a channel between the caller, as A, and `partB`, and pays the caller's deposit into it, by the
    /// allowance that the caller has given this factory. If the deposit is the whole amount the channel is ACTIVE.
    /// @dev Emits {Opened}. Throws {ZeroAmount}, {AmountTooLarge}, {ZeroParty}, {SameParty}, {AmountExceeded},
    /// {TokenShortfall}; OpenZeppelin's `FailedDeployment()` if there is already a channel between the two with this
    /// salt.
    /// @param amount What the channel is to hold.
    /// @param partB The other party.
    /// @param deposit What the caller pays in at once, 0 to `amount`.
    /// @param salt Makes the channel's address. It must be one that was never used between the two parties, on any
    /// chain with this factory: see {channelAddress}.
    /// @return channel The channel's address.
    function open(uint256 amount, address partB, uint256 deposit, bytes32 salt) external returns (address channel);

    /// @notice {open} with an EIP-2612 permit (spender: this factory; value: `deposit`) instead of an allowance.
    /// A permit that somebody else has already submitted does not make it fail.
    /// @dev Emits {Opened}. Throws what {open} throws, and {PermitRefused}.
    /// @param amount What the channel is to hold.
    /// @param partB The other party.
    /// @param deposit What the caller pays in at once, 0 to `amount`.
    /// @param salt Makes the channel's address, as in {open}.
    /// @param deadline The permit's deadline.
    /// @param v The permit's signature.
    /// @param r The permit's signature.
    /// @param s The permit's signature.
    /// @return channel The channel's address.
    function openWithPermit(
        uint256 amount,
        address partB,
        uint256 deposit,
        bytes32 salt,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (address channel);

    /// @notice Where the channel with this salt is, or will be. Only `partA` can open it there: the parties are part
    /// of the code that the address is made from.
    ///
    /// A testnet started anew has the same chain id and factory, so the same salt leads to the same address, and a
    /// receipt of the channel that once was there is as good as new: never use a salt twice.
    /// @param partA The party that opens the channel.
    /// @param partB The other party.
    /// @param salt The salt passed to {open}.
    function channelAddress(address partA, address partB, bytes32 salt) external view returns (address);

    /// @notice The contract that all channels are clones of. It is not a channel itself.
    function template() external view returns (address);

    /// @notice The token that the channels hold, THD.
    function token() external view returns (IERC20);
}
