// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

abstract contract WithdrawTest is ChannelFixture {
    bytes private constant WITHDRAW = abi.encodeCall(IPaymentChannel.withdraw, ());

    function withdrawn(address by, uint256 toA, uint256 toB) private {
        uint256 nonce = channel.Nonce();
        expectEvent();
        emit IPaymentChannel.Withdrawn(a, b, toA, toB);
        vm.prank(by);
        channel.withdraw();
        assertPaidOut(toA, toB);
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(channel.Nonce(), nonce, "Nonce");
        vm.assertEq(channel.closer(), address(0), "closer");
    }

    function test_pays_both_in_one_transaction() public {
        activate();
        closeByA();
        vm.roll(block.number + PERIOD);
        withdrawn(a, 6 ether, 4 ether);
    }

    function test_after_a_closing_by_B() public {
        activate();
        closeByB();
        vm.roll(block.number + PERIOD);
        withdrawn(b, 6 ether, 4 ether);
    }

    function test_anyone_may_and_gets_nothing() public {
        activate();
        closeByA();
        vm.roll(block.number + PERIOD);
        withdrawn(stranger, 6 ether, 4 ether);
    }

    function test_a_share_of_nothing() public {
        activate();
        uint256 before = vm.snapshotState();
        for (uint256 toA = 0; toA <= AMOUNT; toA += AMOUNT) {
            bytes memory signature = sign(B_KEY, 4, toA, AMOUNT - toA);
            vm.prank(a);
            channel.closing(4, toA, AMOUNT - toA, signature);
            vm.roll(block.number + PERIOD);
            withdrawn(b, toA, AMOUNT - toA);
            vm.revertToState(before);
        }
    }

    function test_refuses_while_the_period_runs() public {
        activate();
        vm.roll(1000);
        closeByA();
        bytes4 selector = IPaymentChannel.ChallengePeriodNotOver.selector;
        uint256[3] memory blocks = [uint256(1000), 1001, 1000 + PERIOD - 1];
        for (uint256 i = 0; i < blocks.length; i++) {
            vm.roll(blocks[i]);
            refuses(a, WITHDRAW, abi.encodeWithSelector(selector, blocks[i], 1000 + PERIOD));
        }
    }

    function test_in_the_first_block_after_the_period() public {
        activate();
        vm.roll(1000);
        closeByA();
        vm.roll(1000 + PERIOD);
        withdrawn(a, 6 ether, 4 ether);
        vm.assertEq(channel.closingBlock(), 1000, "closingBlock");
    }

    function test_a_closing_in_the_last_block_that_fits() public {
        activate();
        vm.roll(type(uint32).max);
        closeByA();
        vm.roll(type(uint32).max + PERIOD);
        withdrawn(a, 6 ether, 4 ether);
    }

    function test_refuses_every_state_but_CLOSING() public {
        refusesOutside(IPaymentChannel.StateChannel.CLOSING, WITHDRAW);
    }

    function testFuzz_challenge_or_withdraw_but_never_both(uint256 blocks) public {
        activate();
        closeByA();
        uint256 closingBlock = channel.closingBlock();
        vm.roll(closingBlock + bound(blocks, 0, 3 * PERIOD));
        bytes memory signature = sign(A_KEY, 5, 5 ether, 5 ether);
        uint256 before = vm.snapshotState();
        (bool canChallenge,) =
            address(channel).call(abi.encodeCall(IPaymentChannel.challenge, (5, 5 ether, 5 ether, signature)));
        vm.revertToState(before);
        (bool canWithdraw,) = address(channel).call(WITHDRAW);
        vm.assertTrue(canChallenge == (block.number < closingBlock + PERIOD), "challenge");
        vm.assertTrue(canWithdraw != canChallenge, "withdraw");
    }
}

contract WithdrawStandAloneTest is WithdrawTest, StandAlone {}

contract WithdrawClonedTest is WithdrawTest, Cloned {}
