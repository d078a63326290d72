// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {FalseToken, FeeToken, HookToken, SilentToken} from "../support/Tokens.sol";
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

    function test_THD_sent_by_mistake_is_no_payment() public {
        vm.prank(stranger);
        vm.assertTrue(thd.transfer(address(channel), AMOUNT), "transfer");
        assertState(IPaymentChannel.StateChannel.EMPTY);
        activate();
        closeByA();
        vm.roll(block.number + PERIOD);
        channel.withdraw();
        vm.assertEq(thd.balanceOf(address(channel)), AMOUNT, "stays where it was sent by mistake");
        vm.assertEq(thd.balanceOf(a), WEALTH - PAID_A + 6 ether, "THD of A");
        vm.assertEq(thd.balanceOf(b), WEALTH - PAID_B + 4 ether, "THD of B");
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

    // Awkward tokens

    function test_refuses_a_token_that_takes_a_fee() public {
        FeeToken token = new FeeToken();
        channel = make(AMOUNT, a, b, token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        uint256 held = AMOUNT - AMOUNT / 100;
        refuses(a, fund(AMOUNT), abi.encodeWithSelector(IOpeningErrors.TokenShortfall.selector, held, AMOUNT));
    }

    function test_refuses_a_token_that_says_false() public {
        FalseToken token = new FalseToken();
        channel = make(AMOUNT, a, b, token);
        bytes4 selector = SafeERC20.SafeERC20FailedOperation.selector;
        refuses(a, fund(1), abi.encodeWithSelector(selector, address(token)));
    }

    function test_works_with_a_token_that_says_nothing() public {
        SilentToken token = new SilentToken();
        channel = make(AMOUNT, a, b, IERC20(address(token)));
        token.mint(a, AMOUNT);
        vm.prank(a);
        channel.fund(AMOUNT);
        vm.assertEq(token.balanceOf(address(channel)), AMOUNT, "tokens of the channel");

        // It refuses transfers of nothing, and a share may be nothing.
        uint256 before = vm.snapshotState();
        for (uint256 shareA = 0; shareA <= AMOUNT; shareA += AMOUNT) {
            bytes memory signature = sign(B_KEY, FINAL, shareA, AMOUNT - shareA);
            vm.prank(a);
            channel.closing(FINAL, shareA, AMOUNT - shareA, signature);
            vm.assertEq(token.balanceOf(a), shareA, "tokens of A");
            vm.assertEq(token.balanceOf(b), AMOUNT - shareA, "tokens of B");
            vm.revertToState(before);
        }
    }

    function test_a_payment_counts_before_the_token_is_called() public {
        // In the middle of A's payment somebody, allowed to, tries the function that pays out to both. The channel
        // knows of the payment already, cannot pay that much, and the call fails.
        HookToken token = new HookToken();
        channel = make(AMOUNT, a, address(token), token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        token.arm(address(channel), abi.encodeCall(IPaymentChannel.cancel, ()));
        vm.prank(a);
        channel.fund(7 ether);
        vm.assertFalse(token.hookSucceeded(), "cancel went through");
        assertState(IPaymentChannel.StateChannel.EMPTY);
        assertBalances(7 ether, 0);
        vm.assertEq(token.balanceOf(address(channel)), 7 ether, "tokens of the channel");
    }
}

contract FundStandAloneTest is FundTest, StandAlone {}

contract FundClonedTest is FundTest, Cloned {}
