// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice The same thing twice, or one way of paying out after another: nobody is paid twice.
abstract contract RepeatsTest is ChannelFixture {
    /// @dev With THD of somebody else in it, so that there would be something to pay out.
    function nothingMore(Stage stage) private {
        bring(stage);
        vm.prank(stranger);
        vm.assertTrue(thd.transfer(address(channel), AMOUNT), "transfer");
        (uint256 ofA, uint256 ofB) = (thd.balanceOf(a), thd.balanceOf(b));
        vm.roll(block.number + PERIOD);
        bytes[6] memory calls = [
            abi.encodeCall(IPaymentChannel.cancel, ()),
            abi.encodeCall(IPaymentChannel.withdraw, ()),
            abi.encodeCall(IPaymentChannel.closing, (0, PAID_A, PAID_B, "")),
            abi.encodeCall(IPaymentChannel.closing, (FINAL, AMOUNT, 0, sign(B_KEY, FINAL, AMOUNT, 0))),
            abi.encodeCall(IPaymentChannel.closingProposal, (0, PAID_A, PAID_B, "", PAID_A, PAID_B)),
            abi.encodeCall(IPaymentChannel.challenge, (9, AMOUNT, 0, sign(A_KEY, 9, AMOUNT, 0)))
        ];
        address[3] memory callers = [a, b, stranger];
        for (uint256 i = 0; i < calls.length; i++) {
            for (uint256 j = 0; j < callers.length; j++) {
                vm.prank(callers[j]);
                (bool done,) = address(channel).call(calls[i]);
                vm.assertFalse(done, "a CLOSED channel did something");
            }
        }
        vm.assertEq(thd.balanceOf(a), ofA, "THD of A");
        vm.assertEq(thd.balanceOf(b), ofB, "THD of B");
        vm.assertEq(thd.balanceOf(address(channel)), AMOUNT, "THD of the channel");
    }

    function test_nothing_after_cancel() public {
        nothingMore(Stage.CANCELLED);
    }

    function test_nothing_after_withdraw() public {
        nothingMore(Stage.WITHDRAWN);
    }

    function test_nothing_after_challenge() public {
        nothingMore(Stage.CHALLENGED);
    }

    function test_nothing_after_FINAL() public {
        nothingMore(Stage.FINALISED);
    }

    function test_a_closing_cannot_be_made_newer_to_win_time() public {
        // Neither party moves closingBlock once it stands.
        activate();
        vm.roll(1000);
        closeByA();
        vm.roll(1010);
        bytes[4] memory calls = [
            abi.encodeCall(IPaymentChannel.closing, (6, 6 ether, 4 ether, sign(B_KEY, 6, 6 ether, 4 ether))),
            abi.encodeCall(IPaymentChannel.closing, (6, 6 ether, 4 ether, sign(A_KEY, 6, 6 ether, 4 ether))),
            abi.encodeCall(IPaymentChannel.closingProposal, (0, PAID_A, PAID_B, "", PAID_A, PAID_B)),
            abi.encodeCall(IPaymentChannel.closing, (0, PAID_A, PAID_B, ""))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            vm.prank(i % 2 == 0 ? a : b);
            (bool done,) = address(channel).call(calls[i]);
            vm.assertFalse(done, "closed twice");
        }
        vm.assertEq(channel.closingBlock(), 1000, "closingBlock");
    }
}

contract RepeatsStandAloneTest is RepeatsTest, StandAlone {}

contract RepeatsClonedTest is RepeatsTest, Cloned {}
