// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice `closing` on receipts other than FINAL. Bad signatures: Signatures.t.sol. FINAL: ClosingFinal.t.sol.
abstract contract ClosingTest is ChannelFixture {
    function closing(uint256 nonce, uint256 balanceA, uint256 balanceB, bytes memory signature)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IPaymentChannel.closing, (nonce, balanceA, balanceB, signature));
    }

    function closed(address by, uint256 key, uint256 nonce, uint256 balanceA, uint256 balanceB) private {
        bytes memory signature = key == 0 ? bytes("") : sign(key, nonce, balanceA, balanceB);
        expectEvent();
        emit IPaymentChannel.Closing(a, b, by, nonce, balanceA, balanceB, nonce, false);
        vm.prank(by);
        channel.closing(nonce, balanceA, balanceB, signature);
        assertState(IPaymentChannel.StateChannel.CLOSING);
        assertBalances(balanceA, balanceB);
        vm.assertEq(channel.closer(), by, "closer");
        vm.assertEq(channel.Nonce(), nonce, "Nonce");
        vm.assertEq(channel.closingBlock(), block.number, "closingBlock");
        vm.assertEq(channel.amount(), balanceA + balanceB, "amount");
        vm.assertEq(thd.balanceOf(address(channel)), balanceA + balanceB, "nothing is paid out yet");
    }

    function test_A_closes_on_a_receipt_signed_by_B() public {
        activate();
        vm.roll(1234);
        closed(a, B_KEY, 8, 1 ether, 9 ether);
    }

    function test_B_closes_on_a_receipt_signed_by_A() public {
        activate();
        closed(b, A_KEY, 9, 1 ether, 9 ether);
    }

    function test_either_parity_will_do() public {
        activate();
        uint256 before = vm.snapshotState();
        closed(a, B_KEY, 7, 1 ether, 9 ether);
        vm.revertToState(before);
        closed(a, B_KEY, 8, 1 ether, 9 ether);
    }

    function test_everything_may_be_with_one_party() public {
        activate();
        uint256 before = vm.snapshotState();
        closed(a, B_KEY, 1, AMOUNT, 0);
        vm.revertToState(before);
        closed(a, B_KEY, 1, 0, AMOUNT);
    }

    function test_the_largest_nonce_below_FINAL() public {
        activate();
        closed(a, B_KEY, FINAL - 1, 1 ether, 9 ether);
    }

    function test_refuses_a_receipt_signed_by_the_caller_itself() public {
        activate();
        bytes memory own = sign(A_KEY, 4, 6 ether, 4 ether);
        refuses(
            a, closing(4, 6 ether, 4 ether, own), abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, a, b)
        );
        own = sign(B_KEY, 4, 6 ether, 4 ether);
        refuses(
            b, closing(4, 6 ether, 4 ether, own), abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, b, a)
        );
    }

    function test_refuses_a_receipt_signed_by_a_stranger() public {
        activate();
        bytes memory signature = sign(STRANGER_KEY, 4, 6 ether, 4 ether);
        refuses(
            a,
            closing(4, 6 ether, 4 ether, signature),
            abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, stranger, b)
        );
    }

    function test_refuses_a_sum_other_than_the_amount() public {
        activate();
        uint256[2][5] memory pairs = [
            [uint256(6 ether), 4 ether - 1],
            [uint256(6 ether), 4 ether + 1],
            [uint256(0), 0],
            [AMOUNT + 1, type(uint256).max],
            [type(uint256).max, AMOUNT + 1]
        ];
        for (uint256 i = 0; i < pairs.length; i++) {
            bytes memory signature = sign(B_KEY, 4, pairs[i][0], pairs[i][1]);
            bytes4 selector = IPaymentChannel.WrongSum.selector;
            refuses(
                a,
                closing(4, pairs[i][0], pairs[i][1], signature),
                abi.encodeWithSelector(selector, pairs[i][0], pairs[i][1], AMOUNT)
            );
        }
    }

    function test_refuses_a_nonce_that_does_not_fit() public {
        activate();
        // 2^40 + 4 must not be taken for 4.
        uint256[3] memory nonces = [FINAL + 1, FINAL + 5, type(uint256).max];
        for (uint256 i = 0; i < nonces.length; i++) {
            bytes memory signature = sign(B_KEY, nonces[i], 6 ether, 4 ether);
            bytes4 selector = IPaymentChannel.NonceTooLarge.selector;
            refuses(
                a, closing(nonces[i], 6 ether, 4 ether, signature), abi.encodeWithSelector(selector, nonces[i], FINAL)
            );
        }
    }

    function test_refuses_a_block_number_that_does_not_fit() public {
        // Beyond block 2^32 a channel cannot be closed any more: 1,600 years of blocks of 12 seconds.
        activate();
        bytes memory signature = sign(B_KEY, 4, 6 ether, 4 ether);
        uint256 late = uint256(type(uint32).max) + 1;
        vm.roll(late);
        refuses(
            a,
            closing(4, 6 ether, 4 ether, signature),
            abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 32, late)
        );
    }

    function test_refuses_a_stranger() public {
        activate();
        refusesStranger(closing(4, 6 ether, 4 ether, sign(B_KEY, 4, 6 ether, 4 ether)));
    }

    function test_refuses_every_state_but_ACTIVE() public {
        bytes memory signature = sign(B_KEY, 4, 6 ether, 4 ether);
        refusesOutside(IPaymentChannel.StateChannel.ACTIVE, closing(4, 6 ether, 4 ether, signature));
        refusesOutside(IPaymentChannel.StateChannel.ACTIVE, closing(0, PAID_A, PAID_B, ""));
    }

    function test_the_other_party_cannot_close_again() public {
        activate();
        closeByA();
        bytes memory signature = sign(A_KEY, 6, 6 ether, 4 ether);
        bytes4 selector = IPaymentChannel.WrongState.selector;
        refuses(
            b,
            closing(6, 6 ether, 4 ether, signature),
            abi.encodeWithSelector(selector, IPaymentChannel.StateChannel.ACTIVE, IPaymentChannel.StateChannel.CLOSING)
        );
    }

    function testFuzz_any_receipt(bool byA, uint256 nonce, uint256 balanceA, uint32 blockNumber) public {
        activate();
        vm.roll(blockNumber);
        balanceA = bound(balanceA, 0, AMOUNT);
        closed(byA ? a : b, byA ? B_KEY : A_KEY, bound(nonce, 1, FINAL - 1), balanceA, AMOUNT - balanceA);
    }

    function testFuzz_a_signature_is_good_for_one_receipt_only(uint256 nonce, uint256 balanceA) public {
        activate();
        nonce = bound(nonce, 1, FINAL);
        balanceA = bound(balanceA, 0, AMOUNT);
        vm.assume(nonce != 4 || balanceA != 6 ether);
        bytes memory signature = sign(B_KEY, 4, 6 ether, 4 ether);
        vm.prank(a);
        (bool done,) = address(channel).call(closing(nonce, balanceA, AMOUNT - balanceA, signature));
        vm.assertFalse(done, "closed on a receipt that B has not signed");
    }

    // Receipt 0

    function test_receipt_0_needs_no_signature() public {
        activate();
        uint256 before = vm.snapshotState();
        closed(a, 0, 0, PAID_A, PAID_B);
        vm.revertToState(before);
        closed(b, 0, 0, PAID_A, PAID_B);
    }

    function test_receipt_0_has_the_balances_paid_in() public {
        activate();
        bytes4 selector = IPaymentChannel.NotPaidIn.selector;
        refuses(
            a,
            closing(0, PAID_A + 1, PAID_B - 1, ""),
            abi.encodeWithSelector(selector, PAID_A + 1, PAID_B - 1, PAID_A, PAID_B)
        );
        // Not even when the other party has signed something else with nonce 0.
        refuses(
            a,
            closing(0, PAID_A + 1, PAID_B - 1, sign(B_KEY, 0, PAID_A + 1, PAID_B - 1)),
            abi.encodeWithSelector(selector, PAID_A + 1, PAID_B - 1, PAID_A, PAID_B)
        );
        selector = IPaymentChannel.WrongSum.selector;
        refuses(a, closing(0, PAID_A, PAID_B - 1, ""), abi.encodeWithSelector(selector, PAID_A, PAID_B - 1, AMOUNT));
    }

    function test_receipt_0_comes_with_an_empty_signature() public {
        activate();
        bytes4 selector = IPaymentChannel.UnexpectedSignature.selector;
        bytes memory signature = sign(B_KEY, 0, PAID_A, PAID_B);
        refuses(a, closing(0, PAID_A, PAID_B, signature), abi.encodeWithSelector(selector, 65));
        refuses(a, closing(0, PAID_A, PAID_B, hex"00"), abi.encodeWithSelector(selector, 1));
    }
}

contract ClosingStandAloneTest is ClosingTest, StandAlone {}

contract ClosingClonedTest is ClosingTest, Cloned {}
