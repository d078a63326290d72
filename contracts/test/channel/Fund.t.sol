// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

abstract contract FundTest is ChannelFixture {
    function fund(uint256 value) private pure returns (bytes memory) {
        return abi.encodeCall(IPaymentChannel.fund, (value));
    }

    function test_A_pays_in_a_part_and_the_channel_stays_EMPTY() public {
        vm.prank(a);
        thd.approve(address(channel), 7 ether);
        expectEvent();
        emit IPaymentChannel.Funded(a, b, 7 ether, 0, IPaymentChannel.StateChannel.EMPTY);
        vm.prank(a);
        channel.fund(7 ether);
        assertState(IPaymentChannel.StateChannel.EMPTY);
        assertBalances(7 ether, 0);
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(thd.balanceOf(address(channel)), 7 ether, "THD of the channel");
        vm.assertEq(thd.balanceOf(a), WEALTH - 7 ether, "THD of A");
    }

    function test_B_pays_in_the_rest_and_the_channel_is_ACTIVE() public {
        pay(a, 7 ether);
        vm.prank(b);
        thd.approve(address(channel), 3 ether);
        expectEvent();
        emit IPaymentChannel.Funded(a, b, 7 ether, 3 ether, IPaymentChannel.StateChannel.ACTIVE);
        vm.prank(b);
        channel.fund(3 ether);
        assertState(IPaymentChannel.StateChannel.ACTIVE);
        assertBalances(7 ether, 3 ether);
        vm.assertEq(channel.Nonce(), 0, "Nonce");
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(thd.balanceOf(address(channel)), AMOUNT, "THD of the channel");
    }

    function test_either_party_can_pay_in_everything() public {
        uint256 before = vm.snapshotState();
        pay(a, AMOUNT);
        assertState(IPaymentChannel.StateChannel.ACTIVE);
        assertBalances(AMOUNT, 0);
        vm.revertToState(before);
        pay(b, AMOUNT);
        assertState(IPaymentChannel.StateChannel.ACTIVE);
        assertBalances(0, AMOUNT);
    }

    function test_one_party_can_pay_in_several_times() public {
        pay(b, 1 ether);
        pay(b, 2 ether);
        pay(a, 3 ether);
        assertBalances(3 ether, 3 ether);
        assertState(IPaymentChannel.StateChannel.EMPTY);
    }

    function test_paying_nothing_changes_nothing() public {
        pay(a, 0);
        assertState(IPaymentChannel.StateChannel.EMPTY);
        assertBalances(0, 0);
    }

    function test_the_sum_never_passes_the_amount() public {
        bytes4 selector = IOpeningErrors.AmountExceeded.selector;
        refuses(a, fund(AMOUNT + 1), abi.encodeWithSelector(selector, AMOUNT + 1, AMOUNT));
        pay(a, 7 ether);
        refuses(b, fund(3 ether + 1), abi.encodeWithSelector(selector, 3 ether + 1, 3 ether));
        refuses(a, fund(type(uint256).max), abi.encodeWithSelector(selector, type(uint256).max, 3 ether));
    }

    function test_refuses_a_stranger() public {
        refusesStranger(fund(1));
    }

    function test_refuses_every_state_but_EMPTY() public {
        refusesOutside(IPaymentChannel.StateChannel.EMPTY, fund(1));
    }

    function test_passes_on_what_the_token_says() public {
        bytes4 selector = IERC20Errors.ERC20InsufficientAllowance.selector;
        refuses(a, fund(5), abi.encodeWithSelector(selector, address(channel), 0, 5));
    }

    function testFuzz_any_split(uint256 amount, uint256 firstOfA, uint256 ofB) public {
        amount = bound(amount, 1, MAX_AMOUNT);
        firstOfA = bound(firstOfA, 0, amount);
        ofB = bound(ofB, 0, amount - firstOfA);
        uint256 lastOfA = amount - firstOfA - ofB;
        channel = make(amount, a, b, thd);

        pay(a, firstOfA);
        if (channel.state() == IPaymentChannel.StateChannel.EMPTY) pay(b, ofB);
        if (channel.state() == IPaymentChannel.StateChannel.EMPTY) pay(a, lastOfA);

        assertState(IPaymentChannel.StateChannel.ACTIVE);
        assertBalances(amount - ofB, ofB);
        vm.assertEq(channel.amount(), amount, "amount");
        vm.assertEq(thd.balanceOf(address(channel)), amount, "THD of the channel");
    }
}

contract FundStandAloneTest is FundTest, StandAlone {}

contract FundClonedTest is FundTest, Cloned {}
