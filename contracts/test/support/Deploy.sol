// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {vm} from "./Vm.sol";

/// @notice What the tests call on THD.
interface ITHD is IERC20, IERC20Permit {
    function mint(address to, uint256 value) external;
}

/// @title Deploys the contracts under test
/// @notice Tests import interfaces only, and take the contracts from what forge has built. So the contracts alone go
/// through the slow IR pipeline of the compiler and the tests through the fast one, and what is tested is byte for
/// byte what is committed under artifacts/ (../Artifacts.t.sol).
library Deploy {
    function thd(address owner) internal returns (ITHD) {
        return ITHD(vm.deployCode("src/THD.sol:THD", abi.encode(owner)));
    }

    function factory(IERC20 token) internal returns (IChannelFactory) {
        return IChannelFactory(vm.deployCode("src/ChannelFactory.sol:ChannelFactory", abi.encode(token)));
    }

    function paymentChannel(uint256 amount, address partA, address partB, IERC20 token)
        internal
        returns (IPaymentChannel)
    {
        bytes memory args = abi.encode(amount, partA, partB, token);
        return IPaymentChannel(vm.deployCode("src/PaymentChannel.sol:PaymentChannel", args));
    }

    /// @dev The creation code with its arguments, for tests that need to see how it fails.
    function paymentChannelCode(uint256 amount, address partA, address partB, IERC20 token)
        internal
        view
        returns (bytes memory)
    {
        bytes memory code = vm.getCode("src/PaymentChannel.sol:PaymentChannel");
        return bytes.concat(code, abi.encode(amount, partA, partB, token));
    }
}
