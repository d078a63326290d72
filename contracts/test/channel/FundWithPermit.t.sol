// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

abstract contract FundWithPermitTest is ChannelFixture {
    uint256 private immutable _deadline = block.timestamp + 1 hours;

    function fundWithPermit(uint256 key, uint256 value) private view returns (bytes memory) {
        return fundWithPermit(key, value, value);
    }

    function fundWithPermit(uint256 key, uint256 value, uint256 permitted) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(key, address(channel), permitted, _deadline);
        return abi.encodeCall(IPaymentChannel.fundWithPermit, (value, _deadline, v, r, s));
    }

    function test_pays_in_without_an_allowance() public {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(B_KEY, address(channel), 3 ether, _deadline);
        expectEvent();
        emit IPaymentChannel.Funded(a, b, 0, 3 ether, IPaymentChannel.StateChannel.EMPTY);
        vm.prank(b);
        channel.fundWithPermit(3 ether, _deadline, v, r, s);
        assertBalances(0, 3 ether);
        vm.assertEq(thd.balanceOf(address(channel)), 3 ether, "THD of the channel");
        vm.assertEq(thd.allowance(b, address(channel)), 0, "nothing left of the allowance");
    }

    function test_makes_the_channel_ACTIVE_when_nothing_is_missing() public {
        pay(a, 7 ether);
        (uint8 v, bytes32 r, bytes32 s) = signPermit(B_KEY, address(channel), 3 ether, _deadline);
        vm.prank(b);
        channel.fundWithPermit(3 ether, _deadline, v, r, s);
        assertState(IPaymentChannel.StateChannel.ACTIVE);
    }

    function test_a_permit_that_somebody_else_has_submitted_does_not_make_it_fail() public {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(A_KEY, address(channel), 7 ether, _deadline);
        vm.prank(stranger);
        thd.permit(a, address(channel), 7 ether, _deadline, v, r, s);
        vm.prank(a);
        channel.fundWithPermit(7 ether, _deadline, v, r, s);
        assertBalances(7 ether, 0);
    }

    function test_refuses_a_permit_of_somebody_else() public {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(B_KEY, address(channel), 1 ether, _deadline);
        address recovered = ecrecover(permitDigest(a, address(channel), 1 ether, _deadline), v, r, s);
        bytes memory reason = abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, recovered, a);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.fundWithPermit, (1 ether, _deadline, v, r, s)),
            abi.encodeWithSelector(IOpeningErrors.PermitRefused.selector, 0, 1 ether, reason)
        );
    }

    function test_refuses_an_expired_permit() public {
        bytes memory call = fundWithPermit(A_KEY, 1 ether);
        vm.warp(_deadline + 1);
        bytes memory reason = abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, _deadline);
        refuses(a, call, abi.encodeWithSelector(IOpeningErrors.PermitRefused.selector, 0, 1 ether, reason));
    }

    function test_refuses_a_bad_permit_and_too_small_an_allowance() public {
        bytes memory call = fundWithPermit(A_KEY, 1 ether);
        vm.warp(_deadline + 1);
        vm.prank(a);
        thd.approve(address(channel), 1 ether - 1);
        bytes memory reason = abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, _deadline);
        bytes4 selector = IOpeningErrors.PermitRefused.selector;
        refuses(a, call, abi.encodeWithSelector(selector, 1 ether - 1, 1 ether, reason));
    }

    function test_refuses_a_stranger() public {
        refusesStranger(fundWithPermit(STRANGER_KEY, 1));
    }

    function test_nobody_can_pay_in_with_the_permit_of_another() public {
        // A's permit is public; a stranger, or B, who shows it does not spend A's THD.
        bytes memory call = fundWithPermit(A_KEY, 1 ether);
        address[2] memory others = [stranger, b];
        for (uint256 i = 0; i < 2; i++) {
            vm.prank(others[i]);
            (bool done,) = address(channel).call(call);
            vm.assertFalse(done, "spent somebody else's permit");
        }
        vm.assertEq(thd.balanceOf(a), WEALTH, "THD of A");
    }

    function test_refuses_every_state_but_EMPTY() public {
        for (uint8 i = 0; i <= uint8(type(Stage).max); i++) {
            IPaymentChannel.StateChannel actual = stateOf(Stage(i));
            if (actual == IPaymentChannel.StateChannel.EMPTY) continue;
            uint256 before = vm.snapshotState();
            bring(Stage(i));
            bytes4 selector = IPaymentChannel.WrongState.selector;
            refuses(
                a,
                fundWithPermit(A_KEY, 1),
                abi.encodeWithSelector(selector, IPaymentChannel.StateChannel.EMPTY, actual)
            );
            vm.revertToState(before);
        }
    }

    function test_the_sum_never_passes_the_amount() public {
        bytes4 selector = IOpeningErrors.AmountExceeded.selector;
        refuses(a, fundWithPermit(A_KEY, AMOUNT + 1), abi.encodeWithSelector(selector, AMOUNT + 1, AMOUNT));
    }
}

contract FundWithPermitStandAloneTest is FundWithPermitTest, StandAlone {}

contract FundWithPermitClonedTest is FundWithPermitTest, Cloned {}
