// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice `closing` on a receipt with nonce FINAL, which both parties are paid out on at once.
abstract contract ClosingFinalTest is ChannelFixture {
    function finalised(address by, uint256 key, uint256 balanceA, uint256 balanceB) private {
        bytes memory signature = sign(key, FINAL, balanceA, balanceB);
        expectEvent();
        emit IPaymentChannel.Finalised(a, b, balanceA, balanceB);
        vm.prank(by);
        channel.closing(FINAL, balanceA, balanceB, signature);
        assertPaidOut(balanceA, balanceB);
        vm.assertEq(channel.Nonce(), FINAL, "Nonce");
        vm.assertEq(channel.closingBlock(), block.number, "closingBlock");
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(channel.closer(), address(0), "closer");
    }

    function test_FINAL_is_the_largest_nonce() public view {
        vm.assertEq(channel.FINAL(), type(uint40).max, "FINAL");
    }

    function test_A_posts_what_B_has_signed() public {
        activate();
        finalised(a, B_KEY, 6 ether, 4 ether);
    }

    function test_B_posts_what_A_has_signed() public {
        activate();
        finalised(b, A_KEY, 6 ether, 4 ether);
    }

    function test_a_share_of_nothing() public {
        activate();
        uint256 before = vm.snapshotState();
        finalised(a, B_KEY, AMOUNT, 0);
        vm.revertToState(before);
        finalised(a, B_KEY, 0, AMOUNT);
    }

    function test_refuses_a_FINAL_that_only_the_caller_has_signed() public {
        activate();
        bytes memory own = sign(A_KEY, FINAL, AMOUNT, 0);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closing, (FINAL, AMOUNT, 0, own)),
            abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, a, b)
        );
    }

    function test_refuses_a_wrong_sum() public {
        activate();
        bytes memory signature = sign(B_KEY, FINAL, AMOUNT, 1);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closing, (FINAL, AMOUNT, 1, signature)),
            abi.encodeWithSelector(IPaymentChannel.WrongSum.selector, AMOUNT, 1, AMOUNT)
        );
    }

    function test_refuses_a_stranger_though_both_have_signed() public {
        activate();
        refusesStranger(
            abi.encodeCall(IPaymentChannel.closing, (FINAL, 6 ether, 4 ether, sign(B_KEY, FINAL, 6 ether, 4 ether)))
        );
    }

    function test_refuses_every_state_but_ACTIVE() public {
        bytes memory signature = sign(B_KEY, FINAL, 6 ether, 4 ether);
        refusesOutside(
            IPaymentChannel.StateChannel.ACTIVE,
            abi.encodeCall(IPaymentChannel.closing, (FINAL, 6 ether, 4 ether, signature))
        );
    }

    function test_FINAL_does_not_cut_a_challenge_period_short() public {
        // Once somebody closes, a FINAL receipt comes too late: the period runs, and receipts decide.
        activate();
        closeByA();
        bytes memory signature = sign(A_KEY, FINAL, 0, AMOUNT);
        bytes4 selector = IPaymentChannel.WrongState.selector;
        refuses(
            b,
            abi.encodeCall(IPaymentChannel.closing, (FINAL, 0, AMOUNT, signature)),
            abi.encodeWithSelector(selector, IPaymentChannel.StateChannel.ACTIVE, IPaymentChannel.StateChannel.CLOSING)
        );
    }

    function testFuzz_any_balances(bool byA, uint256 balanceA) public {
        activate();
        balanceA = bound(balanceA, 0, AMOUNT);
        finalised(byA ? a : b, byA ? B_KEY : A_KEY, balanceA, AMOUNT - balanceA);
    }
}

contract ClosingFinalStandAloneTest is ClosingFinalTest, StandAlone {}

contract ClosingFinalClonedTest is ClosingFinalTest, Cloned {}
