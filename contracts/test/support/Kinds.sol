// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "./ChannelFixture.sol";
import {Deploy} from "./Deploy.sol";
import {vm} from "./Vm.sol";

/// @notice Runs a suite on the customer's contract, deployed with `new`.
abstract contract StandAlone is ChannelFixture {
    function make(uint256 amount, address partA, address partB, IERC20 token)
        internal
        override
        returns (IPaymentChannel)
    {
        return Deploy.paymentChannel(amount, partA, partB, token);
    }
}

/// @notice Runs a suite on the factory's clones.
abstract contract Cloned is ChannelFixture {
    uint256 private _made;

    function make(uint256 amount, address partA, address partB, IERC20 token)
        internal
        override
        returns (IPaymentChannel)
    {
        IChannelFactory maker = address(token) == address(thd) ? factory : Deploy.factory(token);
        vm.prank(partA);
        return IPaymentChannel(maker.open(amount, partB, 0, bytes32(++_made)));
    }
}
