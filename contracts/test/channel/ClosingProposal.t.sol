// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice `closingProposal`. Bad signatures: Signatures.t.sol. What it is for, from end to end: Hostage.t.sol.
abstract contract ClosingProposalTest is ChannelFixture {
    /// @dev A receipt that the caller holds, and what it proposes on top of it.
    struct Proposal {
        uint256 nonce;
        uint256 baseA;
        uint256 proposedA;
    }

    function proposal(Proposal memory p, bytes memory signature) private pure returns (bytes memory) {
        return abi.encodeCall(
            IPaymentChannel.closingProposal,
            (p.nonce, p.baseA, AMOUNT - p.baseA, signature, p.proposedA, AMOUNT - p.proposedA)
        );
    }

    /// @dev The call with the other party's signature; none on receipt 0.
    function proposal(bool byA, Proposal memory p) private view returns (bytes memory) {
        if (p.nonce == 0) return proposal(p, "");
        return proposal(p, sign(byA ? B_KEY : A_KEY, p.nonce, p.baseA, AMOUNT - p.baseA));
    }

    function closed(bool byA, Proposal memory p, uint256 proposalNonce) private {
        uint256 before = vm.snapshotState();
        address caller = byA ? a : b;
        bytes memory call = proposal(byA, p);
        uint256 proposedB = AMOUNT - p.proposedA;
        expectEvent();
        emit IPaymentChannel.Closing(a, b, caller, proposalNonce, p.proposedA, proposedB, p.nonce, true);
        vm.prank(caller);
        (bool done,) = address(channel).call(call);
        vm.assertTrue(done, "closingProposal failed");
        assertState(IPaymentChannel.StateChannel.CLOSING);
        assertBalances(p.proposedA, proposedB);
        vm.assertEq(channel.closer(), caller, "closer");
        vm.assertEq(channel.Nonce(), proposalNonce, "Nonce");
        vm.assertEq(channel.closingBlock(), block.number, "closingBlock");
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(thd.balanceOf(address(channel)), AMOUNT, "nothing is paid out yet");
        vm.revertToState(before);
    }

    function refused(bool byA, Proposal memory p, bytes memory expected) private {
        refuses(byA ? a : b, proposal(byA, p), expected);
    }

    // Parity

    function test_a_proposal_of_A_has_the_next_odd_nonce() public {
        activate();
        closed(true, Proposal({nonce: 4, baseA: 6 ether, proposedA: 5 ether}), 5);
        closed(true, Proposal({nonce: 5, baseA: 6 ether, proposedA: 5 ether}), 7);
    }

    function test_a_proposal_of_B_has_the_next_even_nonce() public {
        activate();
        closed(false, Proposal({nonce: 4, baseA: 6 ether, proposedA: 7 ether}), 6);
        closed(false, Proposal({nonce: 5, baseA: 6 ether, proposedA: 7 ether}), 6);
    }

    // Base 0

    function test_a_proposal_can_build_on_receipt_0() public {
        activate();
        closed(true, Proposal({nonce: 0, baseA: PAID_A, proposedA: PAID_A - 1}), 1);
        closed(false, Proposal({nonce: 0, baseA: PAID_A, proposedA: PAID_A + 1}), 2);
    }

    function test_a_base_of_nonce_0_has_the_balances_paid_in() public {
        activate();
        bytes4 selector = IPaymentChannel.NotPaidIn.selector;
        refused(
            true,
            Proposal({nonce: 0, baseA: PAID_A + 1, proposedA: PAID_A}),
            abi.encodeWithSelector(selector, PAID_A + 1, PAID_B - 1, PAID_A, PAID_B)
        );
        // Not even when the other party has signed something else with nonce 0.
        refuses(
            a,
            proposal(
                Proposal({nonce: 0, baseA: PAID_A + 1, proposedA: PAID_A}), sign(B_KEY, 0, PAID_A + 1, PAID_B - 1)
            ),
            abi.encodeWithSelector(selector, PAID_A + 1, PAID_B - 1, PAID_A, PAID_B)
        );
    }

    function test_a_base_of_nonce_0_comes_with_an_empty_signature() public {
        activate();
        refuses(
            a,
            proposal(Proposal({nonce: 0, baseA: PAID_A, proposedA: 0}), sign(B_KEY, 0, PAID_A, PAID_B)),
            abi.encodeWithSelector(IPaymentChannel.UnexpectedSignature.selector, 65)
        );
    }

    // Conceding

    function test_a_proposal_must_concede() public {
        activate();
        bytes4 selector = IPaymentChannel.ProposalDoesNotConcede.selector;
        refused(
            true,
            Proposal({nonce: 4, baseA: 6 ether, proposedA: 6 ether + 1}),
            abi.encodeWithSelector(selector, 6 ether, 6 ether + 1)
        );
        refused(
            false,
            Proposal({nonce: 4, baseA: 6 ether, proposedA: 6 ether - 1}),
            abi.encodeWithSelector(selector, 4 ether, 4 ether + 1)
        );
    }

    function test_a_proposal_may_concede_nothing_or_everything() public {
        activate();
        closed(true, Proposal({nonce: 4, baseA: 6 ether, proposedA: 6 ether}), 5);
        closed(true, Proposal({nonce: 4, baseA: 6 ether, proposedA: 0}), 5);
        closed(false, Proposal({nonce: 4, baseA: 6 ether, proposedA: 6 ether}), 6);
        closed(false, Proposal({nonce: 4, baseA: 6 ether, proposedA: AMOUNT}), 6);
    }

    // Sums

    function test_refuses_a_base_with_another_sum_than_the_amount() public {
        activate();
        bytes memory signature = sign(B_KEY, 4, 6 ether, 5 ether);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closingProposal, (4, 6 ether, 5 ether, signature, 5 ether, 5 ether)),
            abi.encodeWithSelector(IPaymentChannel.WrongSum.selector, 6 ether, 5 ether, AMOUNT)
        );
    }

    function test_refuses_a_proposal_with_another_sum_than_the_amount() public {
        activate();
        uint256[2][4] memory pairs = [
            [uint256(5 ether), 5 ether - 1],
            [uint256(5 ether), 5 ether + 1],
            [uint256(0), 0],
            [AMOUNT + 1, type(uint256).max]
        ];
        bytes memory signature = sign(B_KEY, 4, 6 ether, 4 ether);
        for (uint256 i = 0; i < pairs.length; i++) {
            (uint256 proposedA, uint256 proposedB) = (pairs[i][0], pairs[i][1]);
            refuses(
                a,
                abi.encodeCall(IPaymentChannel.closingProposal, (4, 6 ether, 4 ether, signature, proposedA, proposedB)),
                abi.encodeWithSelector(IPaymentChannel.WrongSum.selector, proposedA, proposedB, AMOUNT)
            );
        }
    }

    // FINAL

    function test_FINAL_is_no_base() public {
        activate();
        bytes memory expected = abi.encodeWithSelector(IPaymentChannel.FinalNotAccepted.selector);
        refused(true, Proposal({nonce: FINAL, baseA: 6 ether, proposedA: 5 ether}), expected);
        refused(false, Proposal({nonce: FINAL, baseA: 6 ether, proposedA: 7 ether}), expected);
    }

    function test_refuses_a_base_nonce_that_does_not_fit() public {
        activate();
        bytes4 selector = IPaymentChannel.NonceTooLarge.selector;
        refused(
            true,
            Proposal({nonce: FINAL + 1, baseA: 6 ether, proposedA: 5 ether}),
            abi.encodeWithSelector(selector, FINAL + 1, FINAL)
        );
        refused(
            true,
            Proposal({nonce: type(uint256).max, baseA: 6 ether, proposedA: 5 ether}),
            abi.encodeWithSelector(selector, type(uint256).max, FINAL)
        );
    }

    function test_the_proposals_nonce_stays_below_FINAL() public {
        // FINAL is odd: the last nonce of A is FINAL - 2, that of B is FINAL - 1.
        activate();
        closed(true, Proposal({nonce: FINAL - 3, baseA: 6 ether, proposedA: 5 ether}), FINAL - 2);
        closed(false, Proposal({nonce: FINAL - 2, baseA: 6 ether, proposedA: 7 ether}), FINAL - 1);
        closed(false, Proposal({nonce: FINAL - 3, baseA: 6 ether, proposedA: 7 ether}), FINAL - 1);
        bytes4 selector = IPaymentChannel.ProposalNonceTooLarge.selector;
        bytes memory expected = abi.encodeWithSelector(selector, FINAL);
        refused(true, Proposal({nonce: FINAL - 1, baseA: 6 ether, proposedA: 5 ether}), expected);
        refused(true, Proposal({nonce: FINAL - 2, baseA: 6 ether, proposedA: 5 ether}), expected);
        expected = abi.encodeWithSelector(selector, FINAL + 1);
        refused(false, Proposal({nonce: FINAL - 1, baseA: 6 ether, proposedA: 7 ether}), expected);
    }

    // Who and when

    function test_refuses_a_base_signed_by_the_caller_itself() public {
        activate();
        bytes4 selector = IPaymentChannel.WrongSigner.selector;
        Proposal memory p = Proposal({nonce: 4, baseA: 6 ether, proposedA: 6 ether});
        refuses(a, proposal(p, sign(A_KEY, 4, 6 ether, 4 ether)), abi.encodeWithSelector(selector, a, b));
        refuses(b, proposal(p, sign(B_KEY, 4, 6 ether, 4 ether)), abi.encodeWithSelector(selector, b, a));
    }

    function test_refuses_a_stranger() public {
        activate();
        refusesStranger(proposal(true, Proposal({nonce: 4, baseA: 6 ether, proposedA: 5 ether})));
    }

    function test_refuses_every_state_but_ACTIVE() public {
        bytes memory call = proposal(true, Proposal({nonce: 4, baseA: 6 ether, proposedA: 5 ether}));
        refusesOutside(IPaymentChannel.StateChannel.ACTIVE, call);
    }

    function testFuzz_any_proposal(bool byA, uint256 nonce, uint256 baseA, uint256 proposedA) public {
        activate();
        nonce = bound(nonce, 1, FINAL - 3);
        baseA = bound(baseA, 0, AMOUNT);
        proposedA = byA ? bound(proposedA, 0, baseA) : bound(proposedA, baseA, AMOUNT);
        uint256 proposalNonce = nonce + 1;
        if (proposalNonce % 2 != (byA ? 1 : 0)) proposalNonce += 1;
        closed(byA, Proposal({nonce: nonce, baseA: baseA, proposedA: proposedA}), proposalNonce);
    }
}

contract ClosingProposalStandAloneTest is ClosingProposalTest, StandAlone {}

contract ClosingProposalClonedTest is ClosingProposalTest, Cloned {}
