// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {Cloned} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

contract OpenWithPermitTest is Cloned {
    bytes32 private constant SALT = keccak256("a salt");
    uint256 private immutable _deadline = block.timestamp + 1 hours;

    struct Permit {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function permit(uint256 key, uint256 value) private view returns (Permit memory p) {
        (p.v, p.r, p.s) = signPermit(key, address(factory), value, _deadline);
    }

    function openWithPermit(uint256 amount, uint256 deposit, Permit memory p) private view returns (bytes memory) {
        return abi.encodeCall(IChannelFactory.openWithPermit, (amount, b, deposit, SALT, _deadline, p.v, p.r, p.s));
    }

    function opened(uint256 deposit, Permit memory p) private {
        address expected = factory.channelAddress(a, b, SALT);
        vm.expectEmit(true, true, true, true, address(factory));
        emit IChannelFactory.Opened(a, b, expected, AMOUNT);
        vm.prank(a);
        channel = IPaymentChannel(factory.openWithPermit(AMOUNT, b, deposit, SALT, _deadline, p.v, p.r, p.s));
        vm.assertEq(address(channel), expected, "where channelAddress says");
        vm.assertEq(channel.partA(), a, "the caller is partA");
        assertState(deposit == AMOUNT ? IPaymentChannel.StateChannel.ACTIVE : IPaymentChannel.StateChannel.EMPTY);
        assertBalances(deposit, 0);
        vm.assertEq(thd.balanceOf(address(channel)), deposit, "THD of the channel");
        vm.assertEq(thd.allowance(a, address(factory)), 0, "nothing left of the allowance");
    }

    function test_opens_without_an_allowance() public {
        opened(AMOUNT, permit(A_KEY, AMOUNT));
    }

    function test_a_part() public {
        opened(7 ether, permit(A_KEY, 7 ether));
    }

    function test_no_deposit_at_all() public {
        opened(0, permit(A_KEY, 0));
    }

    function test_a_permit_that_somebody_else_has_submitted_does_not_make_it_fail() public {
        Permit memory p = permit(A_KEY, AMOUNT);
        vm.prank(stranger);
        thd.permit(a, address(factory), AMOUNT, _deadline, p.v, p.r, p.s);
        opened(AMOUNT, p);
    }

    function test_nobody_can_open_with_the_permit_of_another() public {
        bytes memory call = openWithPermit(AMOUNT, AMOUNT, permit(A_KEY, AMOUNT));
        vm.prank(stranger);
        (bool done,) = address(factory).call(call);
        vm.assertFalse(done, "spent somebody else's permit");
        vm.assertEq(thd.balanceOf(a), WEALTH, "THD of A");
        vm.assertEq(thd.balanceOf(stranger), WEALTH, "THD of the stranger");
    }

    function test_refuses_an_expired_permit() public {
        bytes memory call = openWithPermit(AMOUNT, AMOUNT, permit(A_KEY, AMOUNT));
        vm.warp(_deadline + 1);
        bytes memory reason = abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, _deadline);
        bytes4 selector = IOpeningErrors.PermitRefused.selector;
        refuses(address(factory), a, call, abi.encodeWithSelector(selector, 0, AMOUNT, reason));
    }

    function test_refuses_a_permit_for_another_sum() public {
        Permit memory p = permit(A_KEY, AMOUNT - 1);
        address recovered = ecrecover(permitDigest(a, address(factory), AMOUNT, _deadline), p.v, p.r, p.s);
        bytes memory reason = abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, recovered, a);
        refuses(
            address(factory),
            a,
            openWithPermit(AMOUNT, AMOUNT, p),
            abi.encodeWithSelector(IOpeningErrors.PermitRefused.selector, 0, AMOUNT, reason)
        );
    }

    function test_refuses_what_open_refuses() public {
        refuses(
            address(factory),
            a,
            openWithPermit(AMOUNT, AMOUNT + 1, permit(A_KEY, AMOUNT + 1)),
            abi.encodeWithSelector(IOpeningErrors.AmountExceeded.selector, AMOUNT + 1, AMOUNT)
        );
        refuses(
            address(factory),
            a,
            openWithPermit(0, 0, permit(A_KEY, 0)),
            abi.encodeWithSelector(IOpeningErrors.ZeroAmount.selector)
        );
    }
}
