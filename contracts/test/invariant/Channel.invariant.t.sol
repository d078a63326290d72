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
        bytes4[20] memory all = [
            ChannelHandler.fund.selector,
            ChannelHandler.fund.selector,
            ChannelHandler.cancel.selector,
            ChannelHandler.offer.selector,
            ChannelHandler.offer.selector,
            ChannelHandler.reply.selector,
            ChannelHandler.reply.selector,
            ChannelHandler.agreeToEnd.selector,
            ChannelHandler.signAnything.selector,
            ChannelHandler.signOnTheOtherChain.selector,
            ChannelHandler.closeHonestly.selector,
            ChannelHandler.close.selector,
            ChannelHandler.closeOnProposal.selector,
            ChannelHandler.challenge.selector,
            ChannelHandler.watch.selector,
            ChannelHandler.end.selector,
            ChannelHandler.withdraw.selector,
            ChannelHandler.donate.selector,
            ChannelHandler.mine.selector,
            ChannelHandler.reopen.selector
        ];
        bytes4[] memory selectors = new bytes4[](all.length);
        for (uint256 i = 0; i < all.length; i++) {
            selectors[i] = all[i];
        }
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice The invariants mean little if the handler's transactions never go through.
    function test_the_handler_gets_every_transaction_through() public {
        for (uint256 i = 0; i < 12000; i++) {
            uint256 x = uint256(keccak256(abi.encode("step", i)));
            uint256 y = uint256(keccak256(abi.encode("more", i)));
            uint256 kind = uint256(keccak256(abi.encode("kind", i))) % 16;
            bool byA = x % 2 == 0;
            if (kind <= 1) handler.fund(x >> 8, y, byA);
            if (kind == 2) handler.cancel(x - x % 7);
            if (kind <= 4) handler.offer(byA, y);
            if (kind <= 6) handler.reply(byA, y);
            if (kind == 7) handler.agreeToEnd(byA, 0);
            if (kind == 7 && y % 2 == 0) handler.end(!byA);
            if (kind == 8) handler.signAnything(byA, y, x >> 8, y >> 8);
            if (kind == 9) handler.closeHonestly(byA);
            if (kind == 10) handler.close(x >> 8, y);
            if (kind == 11) handler.closeOnProposal(x >> 8, y, x >> 16);
            if (kind == 12) handler.challenge(x >> 8, y);
            if (kind == 13 && byA) handler.watch();
            if (kind == 14) handler.withdraw(x);
            if (kind == 14) handler.mine(y);
            if (kind == 15) handler.reopen();
        }
        string[14] memory kinds = [
            "fund",
            "cancel",
            "offer",
            "reply",
            "agreeToEnd",
            "lie",
            "honest closing",
            "honest closingProposal",
            "closingProposal",
            "final",
            "challenge",
            "watch",
            "withdraw",
            "reopen"
        ];
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

    /// @notice Invariant 3: who closes on the newest receipt that both have signed, and has no proposal out, or on its own
    /// unanswered proposal, can't be punished; who closes on an older one can, within 24 blocks.
    function invariant_3_exactly_the_dishonest_can_be_punished() public {
        handler.checkChallenges();
    }

    /// @notice Invariant 4: someone whose proposal goes unanswered can always close, without risk, at its price.
    function invariant_4_the_honest_can_always_get_out() public {
        // Each leaves the channel closed; forge takes the state back after an invariant, and this one in between.
        uint256 before = vm.snapshotState();
        handler.checkExit(true);
        vm.revertToState(before);
        handler.checkExit(false);
        vm.revertToState(before);
    }

    /// @notice Invariant 5: no signature made for one channel is worth anything in another, or on another chain.
    function invariant_5_foreign_signatures_are_worthless() public {
        handler.checkForeign();
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
