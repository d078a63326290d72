// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {vm} from "../support/Vm.sol";
import {ChannelHandler, ClonedHandler, StandAloneHandler} from "./ChannelHandler.sol";

/// @notice What must hold whatever the calls, by the numbers of contract.md. Number 2, the order of the states, is
/// checked by the handler after each call.
abstract contract ChannelInvariants {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    uint256 private constant AMOUNT = 10 ether;
    uint256 private constant WEALTH = 1_000_000_000 ether;

    ChannelHandler internal handler;

    event log_named_uint(string key, uint256 value);

    /// @dev Tells forge what to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](10);
        selectors[0] = ChannelHandler.fund.selector;
        selectors[1] = ChannelHandler.fund.selector;
        selectors[2] = ChannelHandler.cancel.selector;
        selectors[3] = ChannelHandler.closing.selector;
        selectors[4] = ChannelHandler.closingProposal.selector;
        selectors[5] = ChannelHandler.challenge.selector;
        selectors[6] = ChannelHandler.withdraw.selector;
        selectors[7] = ChannelHandler.donate.selector;
        selectors[8] = ChannelHandler.mine.selector;
        selectors[9] = ChannelHandler.reopen.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice The invariants mean little if the handler's transactions never go through.
    function test_the_handler_gets_every_transaction_through() public {
        for (uint256 i = 0; i < 2000; i++) {
            uint256 x = uint256(keccak256(abi.encode("step", i)));
            uint256 y = uint256(keccak256(abi.encode("more", i)));
            if (i % 9 <= 1) handler.fund(x, y, x % 2 == 0);
            if (i % 9 == 2) handler.cancel(x);
            if (i % 9 == 3) handler.closing(x >> 8, y, y >> 8, x);
            if (i % 9 == 4) handler.closingProposal(x >> 8, y, y >> 8, x, y >> 16);
            if (i % 9 == 5) handler.challenge(x >> 8, y, y >> 8, x);
            if (i % 9 == 6) handler.withdraw(x);
            if (i % 9 == 7) handler.mine(x);
            if (i % 9 == 8) handler.reopen();
        }
        string[8] memory kinds =
            ["fund", "cancel", "closing", "closingProposal", "final", "challenge", "withdraw", "reopen"];
        for (uint256 i = 0; i < kinds.length; i++) {
            vm.assertGe(handler.count(kinds[i]), 3, kinds[i]);
            emit log_named_uint(kinds[i], handler.count(kinds[i]));
        }
    }

    /// @notice Invariant 1: the channel holds what was paid in until it is CLOSED, and nothing afterwards, but for
    /// what was sent to it by mistake.
    function invariant_1_the_channel_holds_what_was_paid_in() public view {
        (,,, uint256 held) = handler.amounts();
        bool closed = handler.state() == IPaymentChannel.StateChannel.CLOSED;
        vm.assertEq(held, (closed ? 0 : handler.paidIn()) + handler.donated(), "THD of the channel");
    }

    /// @notice Invariant 1: what is paid out is what was paid in, the amount exactly if the channel was ever ACTIVE.
    function invariant_1_the_payout_is_the_amount() public view {
        (uint256 amount, uint256 balanceA, uint256 balanceB,) = handler.amounts();
        vm.assertEq(amount, AMOUNT, "the amount never changes");
        IPaymentChannel.StateChannel state = handler.state();
        if (state == IPaymentChannel.StateChannel.EMPTY) vm.assertLt(handler.paidIn(), AMOUNT, "EMPTY");
        else if (handler.everActive()) vm.assertEq(handler.paidIn(), AMOUNT, "ACTIVE once");
        vm.assertEq(balanceA + balanceB, handler.paidIn(), "the shares");

        (uint256 ofA, uint256 ofB,,) = handler.wealth();
        uint256 locked = state == IPaymentChannel.StateChannel.CLOSED ? 0 : handler.paidIn();
        vm.assertEq(ofA + ofB + locked, handler.wealthBefore(), "what A and B have, the channel's included");
    }

    /// @notice Invariant 6: no one but A and B ever receives THD.
    function invariant_6_nobody_else_receives_THD() public view {
        (uint256 ofA, uint256 ofB, uint256 ofStranger, uint256 ofOthers) = handler.wealth();
        (,,, uint256 held) = handler.amounts();
        uint256 given = handler.donated() + handler.stranded();
        vm.assertEq(ofStranger, WEALTH - given, "the stranger only ever gives");
        vm.assertEq(ofOthers, 0, "factory, template, handler, token");
        vm.assertEq(ofA + ofB + ofStranger + held + handler.stranded(), handler.supply(), "all THD there is");
    }
}

contract StandAloneInvariantsTest is ChannelInvariants {
    function setUp() public {
        handler = new StandAloneHandler();
    }
}

contract ClonedInvariantsTest is ChannelInvariants {
    function setUp() public {
        handler = new ClonedHandler();
    }
}
