// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice THD sent to a channel directly, by mistake or to confuse it. It counts for nothing, and stays there.
abstract contract DonationsTest is ChannelFixture {
    function donate(address to, uint256 value) internal {
        vm.prank(stranger);
        vm.assertTrue(thd.transfer(to, value), "transfer");
    }

    /// @dev What the parties have is as if the donation had never been; the stranger's THD lies in the channel.
    function assertLeft(uint256 toA, uint256 toB, uint256 donated) private view {
        assertState(IPaymentChannel.StateChannel.CLOSED);
        vm.assertEq(thd.balanceOf(address(channel)), donated, "stays where it was sent");
        vm.assertEq(thd.balanceOf(a), WEALTH - PAID_A + toA, "THD of A");
        vm.assertEq(thd.balanceOf(b), WEALTH - PAID_B + toB, "THD of B");
    }

    function test_it_is_no_payment() public {
        donate(address(channel), AMOUNT);
        assertState(IPaymentChannel.StateChannel.EMPTY);
        assertBalances(0, 0);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closing, (0, AMOUNT, 0, "")),
            abi.encodeWithSelector(
                IPaymentChannel.WrongState.selector,
                IPaymentChannel.StateChannel.ACTIVE,
                IPaymentChannel.StateChannel.EMPTY
            )
        );
    }

    function test_it_changes_no_payout() public {
        for (uint256 i = 0; i < 3; i++) {
            uint256 before = vm.snapshotState();
            donate(address(channel), 1 ether);
            activate();
            donate(address(channel), 1 ether);
            if (i == 2) {
                bytes memory signature = sign(B_KEY, FINAL, 6 ether, 4 ether);
                vm.prank(a);
                channel.closing(FINAL, 6 ether, 4 ether, signature);
            } else {
                closeByA();
                donate(address(channel), 1 ether);
                if (i == 0) {
                    vm.roll(block.number + PERIOD);
                    channel.withdraw();
                } else {
                    channel.challenge(5, 5 ether, 5 ether, sign(A_KEY, 5, 5 ether, 5 ether));
                }
            }
            assertLeft(i == 1 ? 0 : 6 ether, i == 1 ? AMOUNT : 4 ether, i == 2 ? 2 ether : 3 ether);
            vm.revertToState(before);
        }
    }

    function test_it_does_not_block_cancel() public {
        donate(address(channel), 1 ether);
        pay(a, PAID_A);
        pay(b, PAID_B - 1);
        vm.prank(a);
        channel.cancel();
        vm.assertEq(thd.balanceOf(a), WEALTH, "THD of A");
        vm.assertEq(thd.balanceOf(b), WEALTH, "THD of B");
        vm.assertEq(thd.balanceOf(address(channel)), 1 ether, "stays where it was sent");
    }

    function test_it_makes_room_for_no_more_than_the_amount() public {
        donate(address(channel), AMOUNT);
        bytes4 selector = IOpeningErrors.AmountExceeded.selector;
        refuses(
            a, abi.encodeCall(IPaymentChannel.fund, (AMOUNT + 1)), abi.encodeWithSelector(selector, AMOUNT + 1, AMOUNT)
        );
    }
}

contract DonationsStandAloneTest is DonationsTest, StandAlone {}

contract DonationsClonedTest is DonationsTest, Cloned {
    function test_it_can_be_there_before_the_channel() public {
        // The address is known before, so THD can be.
        bytes32 salt = keccak256("a salt");
        address expected = factory.channelAddress(a, b, salt);
        donate(expected, AMOUNT);
        vm.prank(a);
        channel = IPaymentChannel(factory.open(AMOUNT, b, 0, salt));
        vm.assertEq(address(channel), expected, "address");
        assertState(IPaymentChannel.StateChannel.EMPTY);
        assertBalances(0, 0);
        vm.assertEq(thd.balanceOf(address(channel)), AMOUNT, "THD of the channel");
    }
}
