// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

abstract contract CancelTest is ChannelFixture {
    function cancelled(address by, uint256 ofA, uint256 ofB) private {
        expectEvent();
        emit IPaymentChannel.Cancelled(a, b, ofA, ofB);
        vm.prank(by);
        channel.cancel();
        assertState(IPaymentChannel.StateChannel.CLOSED);
        assertBalances(ofA, ofB);
        vm.assertEq(channel.amount(), AMOUNT, "amount");
        vm.assertEq(thd.balanceOf(address(channel)), 0, "THD left in the channel");
        vm.assertEq(thd.balanceOf(a), WEALTH, "THD of A");
        vm.assertEq(thd.balanceOf(b), WEALTH, "THD of B");
    }

    function test_pays_back_what_each_has_put_in() public {
        pay(a, 2 ether);
        pay(b, 3 ether);
        cancelled(a, 2 ether, 3 ether);
    }

    function test_either_party_may() public {
        pay(a, 2 ether);
        cancelled(b, 2 ether, 0);
    }

    function test_a_channel_with_nothing_in_it() public {
        cancelled(b, 0, 0);
    }

    function test_refuses_a_stranger() public {
        refusesStranger(abi.encodeCall(IPaymentChannel.cancel, ()));
    }

    function test_refuses_every_state_but_EMPTY() public {
        refusesOutside(IPaymentChannel.StateChannel.EMPTY, abi.encodeCall(IPaymentChannel.cancel, ()));
    }

    function testFuzz_pays_back_any_sums(uint256 ofA, uint256 ofB) public {
        ofA = bound(ofA, 0, AMOUNT - 1);
        ofB = bound(ofB, 0, AMOUNT - 1 - ofA);
        pay(a, ofA);
        pay(b, ofB);
        cancelled(b, ofA, ofB);
    }
}

contract CancelStandAloneTest is CancelTest, StandAlone {}

contract CancelClonedTest is CancelTest, Cloned {}
