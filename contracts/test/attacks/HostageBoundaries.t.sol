// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice A payment of 1 on top of receipt 4 (6 for A, 4 for B), cut off after each of its messages, in both directions.
/// Whoever gets out as it should loses at most the payment, and nothing that the other holds can punish it.
abstract contract HostageBoundariesTest is ChannelFixture {
    /// @dev How far the payment has come: what the two hold.
    enum Boundary {
        NOTHING_SENT,
        PROPOSAL_LOST,
        PROPOSAL_RECEIVED,
        ANSWER_LOST,
        ANSWER_RECEIVED
    }

    struct Held {
        uint256 nonce;
        uint256 shareA;
        bytes signature;
    }

    uint256 private constant BASE_A = 6 ether;

    /// @dev What each has signed so far, and the other could have got hold of.
    Held[] private _signedByA;
    Held[] private _signedByB;

    function signs(bool byA, uint256 nonce, uint256 shareA) private {
        bytes memory signature = sign(byA ? A_KEY : B_KEY, nonce, shareA, AMOUNT - shareA);
        (byA ? _signedByA : _signedByB).push(Held(nonce, shareA, signature));
    }

    /// @dev The payment's nonce and A's share in it.
    function payment(bool payerIsA) private pure returns (uint256 nonce, uint256 shareA) {
        return payerIsA ? (5, BASE_A - 1 ether) : (6, BASE_A + 1 ether);
    }

    /// @dev Everything up to the boundary. A lost message counts as signed: the other may have it after all.
    function begin(bool payerIsA, Boundary boundary) private {
        activate();
        signs(true, 4, BASE_A);
        signs(false, 4, BASE_A);
        (uint256 nonce, uint256 shareA) = payment(payerIsA);
        if (boundary >= Boundary.PROPOSAL_LOST) signs(payerIsA, nonce, shareA);
        if (boundary >= Boundary.ANSWER_LOST) signs(!payerIsA, nonce, shareA);
    }

    /// @dev As a node does: on the newest receipt it holds, or on its own proposal if that is unanswered.
    function exit(bool byA, bool payerIsA, Boundary boundary) private {
        Held memory base = (byA ? _signedByB : _signedByA)[0];
        (uint256 nonce, uint256 shareA) = payment(payerIsA);
        bool isPayer = byA == payerIsA;
        bool unanswered = isPayer && boundary >= Boundary.PROPOSAL_LOST && boundary <= Boundary.ANSWER_LOST;
        bool agreed = isPayer ? boundary == Boundary.ANSWER_RECEIVED : boundary >= Boundary.PROPOSAL_RECEIVED;
        vm.prank(byA ? a : b);
        if (unanswered) {
            channel.closingProposal(4, BASE_A, AMOUNT - BASE_A, base.signature, shareA, AMOUNT - shareA);
            vm.assertEq(channel.Nonce(), nonce, "the nonce of the proposal");
        } else if (agreed) {
            channel.closing(nonce, shareA, AMOUNT - shareA, (byA ? _signedByB : _signedByA)[1].signature);
        } else {
            channel.closing(4, BASE_A, AMOUNT - BASE_A, base.signature);
        }
    }

    /// @dev Shows everything that anyone has ever signed.
    function punishes(Held[] storage held) private returns (bool punished) {
        for (uint256 i = 0; i < held.length; i++) {
            Held memory h = held[i];
            (bool done,) = address(channel)
                .call(abi.encodeCall(IPaymentChannel.challenge, (h.nonce, h.shareA, AMOUNT - h.shareA, h.signature)));
            punished = punished || done;
        }
    }

    function everyBoundary(bool byA, bool payerIsA) private {
        for (uint8 i = 0; i <= uint8(type(Boundary).max); i++) {
            uint256 before = vm.snapshotState();
            begin(payerIsA, Boundary(i));
            exit(byA, payerIsA, Boundary(i));
            vm.assertFalse(punishes(_signedByA) || punishes(_signedByB), "an honest party was punished");
            vm.roll(block.number + PERIOD);
            channel.withdraw();
            uint256 got = byA ? channel.balanceA() : channel.balanceB();
            uint256 had = byA ? BASE_A : AMOUNT - BASE_A;
            vm.assertGe(got, byA == payerIsA ? had - 1 ether : had, "lost more than the payment");
            assertPaidOut(channel.balanceA(), channel.balanceB());
            vm.revertToState(before);
        }
    }

    function test_the_payer_A_gets_out_after_every_message() public {
        everyBoundary(true, true);
    }

    function test_the_payer_B_gets_out_after_every_message() public {
        everyBoundary(false, false);
    }

    function test_the_payee_A_gets_out_after_every_message() public {
        everyBoundary(true, false);
    }

    function test_the_payee_B_gets_out_after_every_message() public {
        everyBoundary(false, true);
    }

    function test_going_back_to_the_base_is_punished_once_the_payment_is_signed() public {
        // The other half: of both, at each boundary, who closes on 4 after signing 5 loses everything.
        for (uint8 i = uint8(Boundary.PROPOSAL_LOST); i <= uint8(type(Boundary).max); i++) {
            for (uint256 closer = 0; closer < 2; closer++) {
                uint256 before = vm.snapshotState();
                bool byA = closer == 0;
                begin(true, Boundary(i));
                vm.prank(byA ? a : b);
                channel.closing(4, BASE_A, AMOUNT - BASE_A, (byA ? _signedByB : _signedByA)[0].signature);
                bool hasSigned = (byA ? _signedByA : _signedByB).length == 2;
                vm.assertTrue(punishes(byA ? _signedByA : _signedByB) == hasSigned, "punished or not");
                if (hasSigned) assertPaidOut(byA ? 0 : AMOUNT, byA ? AMOUNT : 0);
                vm.revertToState(before);
            }
        }
    }

    function test_two_payments_that_cross() public {
        // A has proposed 5 and B has proposed 6, both on 4; neither answers. Each gets out at the price of its own.
        for (uint256 i = 0; i < 2; i++) {
            uint256 before = vm.snapshotState();
            begin(true, Boundary.PROPOSAL_RECEIVED);
            signs(false, 6, BASE_A + 1 ether);
            bool byA = i == 0;
            exit(byA, byA, Boundary.PROPOSAL_RECEIVED);
            vm.assertFalse(punishes(_signedByA) || punishes(_signedByB), "an honest party was punished");
            assertBalances(byA ? 5 ether : 7 ether, byA ? 5 ether : 3 ether);
            vm.revertToState(before);
        }
    }
}

contract HostageBoundariesStandAloneTest is HostageBoundariesTest, StandAlone {}

contract HostageBoundariesClonedTest is HostageBoundariesTest, Cloned {}
