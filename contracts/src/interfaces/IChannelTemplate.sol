// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title What a clone of the factory's template has beside {IPaymentChannel}
/// @notice Only {IChannelFactory} uses it.
interface IChannelTemplate {
    /// @notice Thrown when somebody other than the factory that made the template tries to initialise a proxy of it.
    /// @param caller Who called.
    error NotFactory(address caller);

    /// @notice Thrown when a channel is initialised a second time.
    error AlreadyInitialised();

    /// @notice Makes a channel of a fresh clone. Only the factory calls it, in the transaction that makes the clone.
    /// @dev Emits {IPaymentChannel-Funded} if there is a deposit. Throws {NotFactory}, {AlreadyInitialised}, and for
    /// the terms {IOpeningErrors-ZeroAmount}, {IOpeningErrors-AmountTooLarge}, {IOpeningErrors-ZeroParty},
    /// {IOpeningErrors-SameParty}, {IOpeningErrors-AmountExceeded}.
    /// @param _amount What the channel is to hold.
    /// @param _deposit What the factory pays in for A, in the same transaction.
    function initialise(uint256 _amount, uint256 _deposit) external;
}
