// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice Somebody sees a transaction on its way and gets one of their own in first. The worst that this does is make
/// it fail, with everything where it was.
abstract contract FrontRunningTest is ChannelFixture {
    function wrongState(IPaymentChannel.StateChannel required, IPaymentChannel.StateChannel actual)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IPaymentChannel.WrongState.selector, required, actual);
    }

    function test_fund_by_the_other_partys_fund() public {
        vm.prank(a);
        thd.approve(address(channel), AMOUNT);
        pay(b, PAID_B);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.fund, (AMOUNT)),
            abi.encodeWithSelector(IOpeningErrors.AmountExceeded.selector, AMOUNT, PAID_A)
        );
        vm.assertEq(thd.balanceOf(a), WEALTH, "THD of A");
        // It is for A to say whether it wants to pay less.
        pay(a, PAID_A);
        assertState(IPaymentChannel.StateChannel.ACTIVE);
    }

    function test_fund_by_cancel() public {
        vm.prank(a);
        thd.approve(address(channel), PAID_A);
        vm.prank(b);
        channel.cancel();
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.fund, (PAID_A)),
            wrongState(IPaymentChannel.StateChannel.EMPTY, IPaymentChannel.StateChannel.CLOSED)
        );
        vm.assertEq(thd.balanceOf(a), WEALTH, "THD of A");
    }

    function test_cancel_by_the_last_payment() public {
        // B wants to give up; A pays in what is missing first. B's money is then in receipt 0, and comes out by closing.
        pay(b, PAID_B);
        pay(a, PAID_A);
        refuses(
            b,
            abi.encodeCall(IPaymentChannel.cancel, ()),
            wrongState(IPaymentChannel.StateChannel.EMPTY, IPaymentChannel.StateChannel.ACTIVE)
        );
        vm.prank(b);
        channel.closing(0, PAID_A, PAID_B, "");
        vm.roll(block.number + PERIOD);
        channel.withdraw();
        assertPaidOut(PAID_A, PAID_B);
    }

    function test_fundWithPermit_by_its_own_permit() public {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(A_KEY, address(channel), PAID_A, block.timestamp);
        vm.prank(stranger);
        thd.permit(a, address(channel), PAID_A, block.timestamp, v, r, s);
        // The allowance that it gave is the channel's, and the channel pulls from its caller only.
        refusesStranger(abi.encodeCall(IPaymentChannel.fund, (PAID_A)));
        vm.prank(a);
        channel.fundWithPermit(PAID_A, block.timestamp, v, r, s);
        assertBalances(PAID_A, 0);
    }

    function test_closing_by_the_other_partys_closing() public {
        // A is about to close on 6; B gets in first, on 4. A has what it needs to punish it.
        activate();
        bytes memory sixByB = sign(B_KEY, 6, 7 ether, 3 ether);
        closeByB();
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closing, (6, 7 ether, 3 ether, sixByB)),
            wrongState(IPaymentChannel.StateChannel.ACTIVE, IPaymentChannel.StateChannel.CLOSING)
        );
        vm.prank(a);
        channel.challenge(6, 7 ether, 3 ether, sixByB);
        assertPaidOut(AMOUNT, 0);
    }

    function test_FINAL_by_a_closing() public {
        // A is about to post FINAL; B closes on the newest receipt first. A waits 24 blocks, and gets its share.
        activate();
        bytes memory finalByB = sign(B_KEY, FINAL, 6 ether, 4 ether);
        closeByB();
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closing, (FINAL, 6 ether, 4 ether, finalByB)),
            wrongState(IPaymentChannel.StateChannel.ACTIVE, IPaymentChannel.StateChannel.CLOSING)
        );
        vm.roll(block.number + PERIOD);
        channel.withdraw();
        assertPaidOut(6 ether, 4 ether);
    }

    function test_challenge_by_somebody_who_copies_it() public {
        activate();
        closeByA();
        bytes memory five = sign(A_KEY, 5, 5 ether, 5 ether);
        vm.prank(stranger);
        channel.challenge(5, 5 ether, 5 ether, five);
        refuses(
            b,
            abi.encodeCall(IPaymentChannel.challenge, (5, 5 ether, 5 ether, five)),
            wrongState(IPaymentChannel.StateChannel.CLOSING, IPaymentChannel.StateChannel.CLOSED)
        );
        assertPaidOut(0, AMOUNT);
    }

    function test_withdraw_by_somebody_who_copies_it() public {
        activate();
        closeByA();
        vm.roll(block.number + PERIOD);
        vm.prank(stranger);
        channel.withdraw();
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.withdraw, ()),
            wrongState(IPaymentChannel.StateChannel.CLOSING, IPaymentChannel.StateChannel.CLOSED)
        );
        assertPaidOut(6 ether, 4 ether);
    }
}

contract FrontRunningStandAloneTest is FrontRunningTest, StandAlone {}

contract FrontRunningClonedTest is FrontRunningTest, Cloned {
    bytes32 private constant SALT = keccak256("a salt");

    function test_open_by_another_open_with_its_salt() public {
        address mine = factory.channelAddress(a, b, SALT);
        address[2] memory others = [stranger, b];
        for (uint256 i = 0; i < others.length; i++) {
            vm.prank(others[i]);
            address theirs = factory.open(AMOUNT, others[i] == b ? a : b, 0, SALT);
            vm.assertNotEq(theirs, mine, "address");
        }
        vm.prank(a);
        vm.assertEq(factory.open(AMOUNT, b, 0, SALT), mine, "address");
    }

    function test_openWithPermit_by_its_own_permit() public {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(A_KEY, address(factory), AMOUNT, block.timestamp);
        vm.prank(stranger);
        thd.permit(a, address(factory), AMOUNT, block.timestamp, v, r, s);
        // The allowance is the factory's: nobody opens a channel with A's money but A.
        vm.prank(b);
        (bool done,) = address(factory).call(abi.encodeCall(IChannelFactory.open, (AMOUNT, a, AMOUNT, SALT)));
        vm.assertFalse(done, "B opened with A's THD");
        vm.prank(a);
        factory.openWithPermit(AMOUNT, b, AMOUNT, SALT, block.timestamp, v, r, s);
        vm.assertEq(thd.balanceOf(factory.channelAddress(a, b, SALT)), AMOUNT, "THD of the channel");
    }
}
