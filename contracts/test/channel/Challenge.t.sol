// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice `challenge`. In all of these the channel was closed on receipt 4 with 6 for A and 4 for B, unless the
/// test says otherwise. Bad signatures: Signatures.t.sol.
abstract contract ChallengeTest is ChannelFixture {
    function challenge(uint256 key, uint256 nonce, uint256 balanceA) private view returns (bytes memory) {
        uint256 balanceB = AMOUNT - balanceA;
        return
            abi.encodeCall(IPaymentChannel.challenge, (nonce, balanceA, balanceB, sign(key, nonce, balanceA, balanceB)));
    }

    function challenged(address by, bool closedByA, uint256 nonce, uint256 balanceA) private {
        bytes memory call = challenge(closedByA ? A_KEY : B_KEY, nonce, balanceA);
        expectEvent();
        emit IPaymentChannel.Challenged(a, b, closedByA ? b : a, nonce, balanceA, AMOUNT - balanceA);
        vm.prank(by);
        (bool done,) = address(channel).call(call);
        vm.assertTrue(done, "challenge failed");
        assertPaidOut(closedByA ? 0 : AMOUNT, closedByA ? AMOUNT : 0);
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(channel.closer(), address(0), "closer");
    }

    // What proves the closer wrong

    function test_a_higher_nonce_wins_everything_for_B() public {
        activate();
        closeByA();
        challenged(b, true, 5, 5 ether);
    }

    function test_a_higher_nonce_wins_everything_for_A() public {
        activate();
        closeByB();
        challenged(a, false, 5, 5 ether);
    }

    function test_a_higher_nonce_wins_even_with_the_same_balances() public {
        activate();
        closeByA();
        challenged(b, true, 5, 6 ether);
    }

    function test_the_same_nonce_with_other_balances_wins() public {
        activate();
        closeByA();
        challenged(b, true, 4, 6 ether - 1);
    }

    function test_the_same_nonce_proves_that_a_proposal_was_a_lie() public {
        // A has signed proposal 5 with 3 for itself, and closes as if it had proposed 5.
        activate();
        bytes memory base = sign(B_KEY, 4, 6 ether, 4 ether);
        vm.prank(a);
        channel.closingProposal(4, 6 ether, 4 ether, base, 5 ether, 5 ether);
        challenged(b, true, 5, 3 ether);
    }

    function test_any_signed_receipt_wins_against_receipt_0() public {
        activate();
        vm.prank(a);
        channel.closing(0, PAID_A, PAID_B, "");
        challenged(b, true, 1, 6 ether);
    }

    function test_a_signed_receipt_0_with_other_balances_wins() public {
        // Nobody honest signs nonce 0; who has done so, and closes on what was paid in, has lied.
        activate();
        vm.prank(a);
        channel.closing(0, PAID_A, PAID_B, "");
        challenged(b, true, 0, PAID_A - 1);
    }

    function test_the_largest_nonce_below_FINAL_wins() public {
        activate();
        closeByA();
        challenged(b, true, FINAL - 1, 6 ether);
    }

    // What proves nothing

    function test_refuses_a_lower_nonce() public {
        activate();
        closeByA();
        bytes4 selector = IPaymentChannel.ReceiptNotNewer.selector;
        refuses(b, challenge(A_KEY, 3, 5 ether), abi.encodeWithSelector(selector, 3, 4));
        refuses(b, challenge(A_KEY, 0, 5 ether), abi.encodeWithSelector(selector, 0, 4));
    }

    function test_refuses_the_very_receipt_closed_on() public {
        activate();
        closeByA();
        refuses(b, challenge(A_KEY, 4, 6 ether), abi.encodeWithSelector(IPaymentChannel.SameReceipt.selector, 4));
    }

    function test_refuses_the_very_proposal_closed_on() public {
        activate();
        bytes memory base = sign(B_KEY, 4, 6 ether, 4 ether);
        vm.prank(a);
        channel.closingProposal(4, 6 ether, 4 ether, base, 5 ether, 5 ether);
        refuses(b, challenge(A_KEY, 5, 5 ether), abi.encodeWithSelector(IPaymentChannel.SameReceipt.selector, 5));
    }

    function test_refuses_a_receipt_that_the_closer_has_not_signed() public {
        activate();
        closeByA();
        bytes4 selector = IPaymentChannel.WrongSigner.selector;
        refuses(b, challenge(B_KEY, 5, 5 ether), abi.encodeWithSelector(selector, b, a));
        refuses(b, challenge(STRANGER_KEY, 5, 5 ether), abi.encodeWithSelector(selector, stranger, a));
    }

    function test_FINAL_is_never_accepted() public {
        // So that having signed a FINAL, which was then not posted, cannot be punished.
        activate();
        closeByA();
        bytes memory expected = abi.encodeWithSelector(IPaymentChannel.FinalNotAccepted.selector);
        refuses(b, challenge(A_KEY, FINAL, 5 ether), expected);
    }

    function test_refuses_a_nonce_that_does_not_fit() public {
        activate();
        closeByA();
        bytes4 selector = IPaymentChannel.NonceTooLarge.selector;
        refuses(b, challenge(A_KEY, FINAL + 1, 5 ether), abi.encodeWithSelector(selector, FINAL + 1, FINAL));
        uint256 most = type(uint256).max;
        refuses(b, challenge(A_KEY, most, 5 ether), abi.encodeWithSelector(selector, most, FINAL));
    }

    function test_refuses_a_receipt_with_another_sum_than_the_amount() public {
        activate();
        closeByA();
        bytes memory signature = sign(A_KEY, 5, 5 ether, 5 ether + 1);
        refuses(
            b,
            abi.encodeCall(IPaymentChannel.challenge, (5, 5 ether, 5 ether + 1, signature)),
            abi.encodeWithSelector(IPaymentChannel.WrongSum.selector, 5 ether, 5 ether + 1, AMOUNT)
        );
        // Sums that wrap around to the amount.
        uint256 most = type(uint256).max;
        signature = sign(A_KEY, 5, AMOUNT + 1, most);
        refuses(
            b,
            abi.encodeCall(IPaymentChannel.challenge, (5, AMOUNT + 1, most, signature)),
            abi.encodeWithSelector(IPaymentChannel.WrongSum.selector, AMOUNT + 1, most, AMOUNT)
        );
        // On the nonce closed on, too: A has "other balances", but B's share alone differs.
        signature = sign(A_KEY, 4, 6 ether, 4 ether + 1);
        refuses(
            b,
            abi.encodeCall(IPaymentChannel.challenge, (4, 6 ether, 4 ether + 1, signature)),
            abi.encodeWithSelector(IPaymentChannel.WrongSum.selector, 6 ether, 4 ether + 1, AMOUNT)
        );
    }

    // Who and when

    function test_anyone_may_challenge_and_gets_nothing() public {
        activate();
        closeByA();
        challenged(stranger, true, 5, 5 ether);
    }

    function test_even_the_closer_may() public {
        activate();
        closeByA();
        challenged(a, true, 5, 5 ether);
    }

    function test_up_to_the_last_block_of_the_period() public {
        activate();
        vm.roll(1000);
        closeByA();
        vm.roll(1000 + PERIOD - 1);
        challenged(b, true, 5, 5 ether);
    }

    function test_refuses_from_the_end_of_the_period_on() public {
        activate();
        vm.roll(1000);
        closeByA();
        bytes4 selector = IPaymentChannel.ChallengePeriodOver.selector;
        vm.roll(1000 + PERIOD);
        refuses(b, challenge(A_KEY, 5, 5 ether), abi.encodeWithSelector(selector, 1000 + PERIOD, 1000 + PERIOD));
        vm.roll(type(uint40).max);
        refuses(b, challenge(A_KEY, 5, 5 ether), abi.encodeWithSelector(selector, type(uint40).max, 1000 + PERIOD));
    }

    function test_refuses_every_state_but_CLOSING() public {
        refusesOutside(IPaymentChannel.StateChannel.CLOSING, challenge(A_KEY, 5, 5 ether));
    }

    function test_a_channel_is_won_only_once() public {
        bring(Stage.CHALLENGED);
        bytes4 selector = IPaymentChannel.WrongState.selector;
        bytes memory expected =
            abi.encodeWithSelector(selector, IPaymentChannel.StateChannel.CLOSING, IPaymentChannel.StateChannel.CLOSED);
        refuses(b, challenge(A_KEY, 6, 5 ether), expected);
        refuses(b, abi.encodeCall(IPaymentChannel.withdraw, ()), expected);
    }

    function testFuzz_only_what_outdates_or_contradicts_wins(
        bool byA,
        uint256 closedOn,
        uint256 closedA,
        uint256 shown,
        uint256 shownA,
        bool sameNonce
    ) public {
        activate();
        closedOn = bound(closedOn, 1, FINAL - 1);
        shown = sameNonce ? closedOn : bound(shown, 0, FINAL - 1);
        closedA = bound(closedA, 0, AMOUNT);
        shownA = bound(shownA, 0, AMOUNT);
        bytes memory signature = sign(byA ? B_KEY : A_KEY, closedOn, closedA, AMOUNT - closedA);
        vm.prank(byA ? a : b);
        channel.closing(closedOn, closedA, AMOUNT - closedA, signature);

        bytes memory call = challenge(byA ? A_KEY : B_KEY, shown, shownA);
        vm.prank(stranger);
        (bool won,) = address(channel).call(call);
        vm.assertTrue(won == (shown > closedOn || (shown == closedOn && shownA != closedA)), "won or not");
    }
}

contract ChallengeStandAloneTest is ChallengeTest, StandAlone {}

contract ChallengeClonedTest is ChallengeTest, Cloned {}
