// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {Deploy} from "../support/Deploy.sol";
import {StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice The customer's constructor. What the factory's way does instead: ../factory/Open.t.sol.
contract ConstructorTest is StandAlone {
    function refused(uint256 amount, address partA, address partB, address token, bytes memory expected) private {
        bytes memory code = Deploy.paymentChannelCode(amount, partA, partB, IERC20(token));
        address made;
        bytes memory data;
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            data := mload(0x40)
            mstore(data, returndatasize())
            returndatacopy(add(data, 0x20), 0, returndatasize())
            mstore(0x40, and(add(add(data, returndatasize()), 0x3f), not(0x1f)))
        }
        vm.assertEq(made, address(0), "the channel should have been refused");
        vm.assertEq(data, expected, "refused, but with another error");
    }

    function test_a_new_channel_is_EMPTY_and_knows_its_terms() public view {
        assertState(IPaymentChannel.StateChannel.EMPTY);
        vm.assertEq(channel.partA(), a, "partA");
        vm.assertEq(channel.partB(), b, "partB");
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(address(channel.token()), address(thd), "token");
        vm.assertEq(channel.closingBlock(), 0, "closingBlock");
        vm.assertEq(channel.Nonce(), 0, "Nonce");
        vm.assertEq(channel.closer(), address(0), "closer");
        assertBalances(0, 0);
    }

    function test_anyone_may_deploy_it() public {
        vm.prank(stranger);
        IPaymentChannel other = Deploy.paymentChannel(1, a, b, thd);
        vm.assertEq(other.amount(), 1, "amount");
    }

    function test_the_states_have_the_customers_numbers() public pure {
        vm.assertEq(uint256(IPaymentChannel.StateChannel.EMPTY), 0, "EMPTY");
        vm.assertEq(uint256(IPaymentChannel.StateChannel.ACTIVE), 1, "ACTIVE");
        vm.assertEq(uint256(IPaymentChannel.StateChannel.CLOSING), 2, "CLOSING");
        vm.assertEq(uint256(IPaymentChannel.StateChannel.CLOSED), 3, "CLOSED");
    }

    function test_constants() public view {
        vm.assertEq(channel.CHALLENGE_PERIOD(), 24, "CHALLENGE_PERIOD");
        vm.assertEq(channel.FINAL(), FINAL, "FINAL");
    }

    function test_at_least_100_million_THD_fit() public {
        Deploy.paymentChannel(100_000_000 ether, a, b, thd);
    }

    function test_nonces_last_for_years_at_2000_receipts_a_second() public view {
        // Every second nonce is skipped when only one side pays.
        vm.assertGe(channel.FINAL() / 2 / 2000 / 365 days, 8, "years");
    }

    function test_refuses_a_zero_amount() public {
        refused(0, a, b, address(thd), abi.encodeWithSelector(IOpeningErrors.ZeroAmount.selector));
    }

    function test_refuses_an_amount_that_does_not_fit() public {
        bytes4 selector = IOpeningErrors.AmountTooLarge.selector;
        Deploy.paymentChannel(MAX_AMOUNT, a, b, thd);
        refused(MAX_AMOUNT + 1, a, b, address(thd), abi.encodeWithSelector(selector, MAX_AMOUNT + 1, MAX_AMOUNT));
        uint256 most = type(uint256).max;
        refused(most, a, b, address(thd), abi.encodeWithSelector(selector, most, MAX_AMOUNT));
    }

    function test_refuses_a_zero_party() public {
        bytes4 selector = IOpeningErrors.ZeroParty.selector;
        refused(1, address(0), b, address(thd), abi.encodeWithSelector(selector, address(0), b));
        refused(1, a, address(0), address(thd), abi.encodeWithSelector(selector, a, address(0)));
        refused(1, address(0), address(0), address(thd), abi.encodeWithSelector(selector, address(0), address(0)));
    }

    function test_refuses_a_channel_with_oneself() public {
        refused(1, a, a, address(thd), abi.encodeWithSelector(IOpeningErrors.SameParty.selector, a));
    }

    function test_refuses_a_token_without_code() public {
        bytes4 selector = IOpeningErrors.TokenWithoutCode.selector;
        refused(1, a, b, stranger, abi.encodeWithSelector(selector, stranger));
        refused(1, a, b, address(0), abi.encodeWithSelector(selector, address(0)));
    }

    function testFuzz_terms(uint256 amount, address partA, address partB) public {
        amount = bound(amount, 1, MAX_AMOUNT);
        vm.assume(partA != address(0) && partB != address(0) && partA != partB);
        IPaymentChannel made = Deploy.paymentChannel(amount, partA, partB, thd);
        vm.assertEq(made.amount(), amount, "amount");
        vm.assertEq(made.partA(), partA, "partA");
        vm.assertEq(made.partB(), partB, "partB");
    }
}
