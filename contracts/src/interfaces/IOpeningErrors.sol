// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title What can be wrong when a channel is made or money is paid into it
/// @notice Thrown by a channel itself and, on the way to a new channel, through {IChannelFactory}.
interface IOpeningErrors {
    /// @notice Thrown when a channel is to hold nothing at all.
    error ZeroAmount();

    /// @notice Thrown when the channel's amount does not fit the type that balances are kept in.
    /// @param amount The amount asked for, in base units of THD.
    /// @param max The largest amount that a channel can hold.
    error AmountTooLarge(uint256 amount, uint256 max);

    /// @notice Thrown when one of the two parties is the zero address.
    /// @param partA The first party given.
    /// @param partB The second party given.
    error ZeroParty(address partA, address partB);

    /// @notice Thrown when both parties are the same address.
    /// @param party That address.
    error SameParty(address party);

    /// @notice Thrown when there is no contract at the token's address: transfers there would seem to succeed.
    /// @param token The address given as the token.
    error TokenWithoutCode(address token);

    /// @notice Thrown when a payment would bring what is paid in above the channel's amount.
    /// @param value The payment.
    /// @param missing What is still missing from the amount.
    error AmountExceeded(uint256 value, uint256 missing);

    /// @notice Thrown when less than the payment arrived, as with a token that takes a fee on transfers.
    /// @param held The channel's token balance after the payment.
    /// @param owed What the two parties would have paid in.
    error TokenShortfall(uint256 held, uint256 owed);

    /// @notice Thrown when the token refuses the permit and the allowance that it would have given is not there
    /// either. (If the allowance is there, somebody else has submitted the permit, and it has served its purpose.)
    /// @param allowance The spender's allowance.
    /// @param needed The allowance that the payment needs.
    /// @param reason What the token's `permit` reverted with.
    error PermitRefused(uint256 allowance, uint256 needed, bytes reason);
}
