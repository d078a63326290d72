// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice The hostage problem from end to end, in both directions: one side pays, and the other never answers.
/// The last agreed receipt is 4 with 6 for A and 4 for B; the payment unanswered is of 1.
abstract contract HostageTest is ChannelFixture {
    bytes private _fourByA;
    bytes private _fourByB;

    modifier agreedOnFour() {
        activate();
        _fourByA = sign(A_KEY, 4, 6 ether, 4 ether);
        _fourByB = sign(B_KEY, 4, 6 ether, 4 ether);
        _;
    }

    function settle(uint256 toA, uint256 toB) private {
        vm.roll(block.number + PERIOD);
        channel.withdraw();
        assertPaidOut(toA, toB);
    }

    function refusesToPunish(address punisher, uint256 nonce, uint256 balanceA, bytes memory signature) private {
        vm.prank(punisher);
        (bool done,) = address(channel)
            .call(abi.encodeCall(IPaymentChannel.challenge, (nonce, balanceA, AMOUNT - balanceA, signature)));
        vm.assertFalse(done, "an honest party was punished");
    }

    function test_the_problem_closing_on_the_agreed_receipt_loses_everything() public agreedOnFour {
        bytes memory proposal = sign(A_KEY, 5, 5 ether, 5 ether);
        vm.prank(a);
        channel.closing(4, 6 ether, 4 ether, _fourByB);
        channel.challenge(5, 5 ether, 5 ether, proposal);
        assertPaidOut(0, AMOUNT);
    }

    function test_A_gets_out_at_the_price_of_its_payment() public agreedOnFour {
        bytes memory proposal = sign(A_KEY, 5, 5 ether, 5 ether);
        vm.prank(a);
        channel.closingProposal(4, 6 ether, 4 ether, _fourByB, 5 ether, 5 ether);
        refusesToPunish(b, 5, 5 ether, proposal);
        refusesToPunish(b, 4, 6 ether, _fourByA);
        settle(5 ether, 5 ether);
    }

    function test_B_gets_out_at_the_price_of_its_payment() public agreedOnFour {
        bytes memory proposal = sign(B_KEY, 6, 7 ether, 3 ether);
        vm.prank(b);
        channel.closingProposal(4, 6 ether, 4 ether, _fourByA, 7 ether, 3 ether);
        refusesToPunish(a, 6, 7 ether, proposal);
        refusesToPunish(a, 4, 6 ether, _fourByB);
        settle(7 ether, 3 ether);
    }

    function test_A_gets_out_of_its_first_payment() public agreedOnFour {
        bytes memory proposal = sign(A_KEY, 1, PAID_A - 1 ether, PAID_B + 1 ether);
        vm.prank(a);
        channel.closingProposal(0, PAID_A, PAID_B, "", PAID_A - 1 ether, PAID_B + 1 ether);
        refusesToPunish(b, 1, PAID_A - 1 ether, proposal);
        settle(PAID_A - 1 ether, PAID_B + 1 ether);
    }

    function test_B_gets_out_of_its_first_payment() public agreedOnFour {
        bytes memory proposal = sign(B_KEY, 2, PAID_A + 1 ether, PAID_B - 1 ether);
        vm.prank(b);
        channel.closingProposal(0, PAID_A, PAID_B, "", PAID_A + 1 ether, PAID_B - 1 ether);
        refusesToPunish(a, 2, PAID_A + 1 ether, proposal);
        settle(PAID_A + 1 ether, PAID_B - 1 ether);
    }

    function test_it_is_no_way_around_a_newer_receipt_of_ones_own() public agreedOnFour {
        // 5, paying 1, was answered. A goes back to 4 and proposes nothing: its own signature on 5 tells otherwise.
        bytes memory five = sign(A_KEY, 5, 5 ether, 5 ether);
        vm.prank(a);
        channel.closingProposal(4, 6 ether, 4 ether, _fourByB, 6 ether, 4 ether);
        channel.challenge(5, 5 ether, 5 ether, five);
        assertPaidOut(0, AMOUNT);
    }

    function test_going_past_a_receipt_of_the_others_costs_the_other_nothing() public agreedOnFour {
        // B has paid 1 with receipt 6 on base 5, and A has signed it: 6 for A. A closes on 5 instead, with nonce 7,
        // out of reach of its signature on 6. It only gives up what B has paid.
        bytes memory five = sign(B_KEY, 5, 5 ether, 5 ether);
        bytes memory six = sign(A_KEY, 6, 6 ether, 4 ether);
        vm.prank(a);
        channel.closingProposal(5, 5 ether, 5 ether, five, 5 ether, 5 ether);
        vm.assertEq(channel.Nonce(), 7, "Nonce");
        refusesToPunish(b, 6, 6 ether, six);
        vm.assertLt(4 ether, channel.balanceB(), "what B gets against what it agreed to");
    }

    function test_the_one_that_leaves_a_payment_unanswered_cannot_lose_either() public agreedOnFour {
        // B holds A's proposal, and may close on it.
        bytes memory proposal = sign(A_KEY, 5, 5 ether, 5 ether);
        vm.prank(b);
        channel.closing(5, 5 ether, 5 ether, proposal);
        refusesToPunish(a, 4, 6 ether, _fourByB);
        settle(5 ether, 5 ether);
    }
}

contract HostageStandAloneTest is HostageTest, StandAlone {}

contract HostageClonedTest is HostageTest, Cloned {}
