// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {Vm, vm} from "../support/Vm.sol";

/// @notice Every function in every state by every caller: who may do what, and with which error the others are refused.
/// The arguments are always good ones, so that nothing but state and caller decides.
abstract contract StatesTest is ChannelFixture {
    enum Action {
        FUND,
        FUND_WITH_PERMIT,
        CANCEL,
        CLOSING,
        CLOSING_FINAL,
        CLOSING_PROPOSAL,
        CHALLENGE,
        WITHDRAW
    }

    IPaymentChannel.StateChannel private constant EMPTY = IPaymentChannel.StateChannel.EMPTY;
    IPaymentChannel.StateChannel private constant ACTIVE = IPaymentChannel.StateChannel.ACTIVE;
    IPaymentChannel.StateChannel private constant CLOSING = IPaymentChannel.StateChannel.CLOSING;
    IPaymentChannel.StateChannel private constant CLOSED = IPaymentChannel.StateChannel.CLOSED;

    /// @dev The call, with signatures of the other party, or of the closer.
    function call(Action action, uint256 key) private returns (bytes memory) {
        uint256 other = key == B_KEY ? A_KEY : B_KEY;
        if (action == Action.FUND) {
            vm.prank(vm.addr(key));
            thd.approve(address(channel), 1);
            return abi.encodeCall(IPaymentChannel.fund, (1));
        }
        if (action == Action.FUND_WITH_PERMIT) {
            (uint8 v, bytes32 r, bytes32 s) = signPermit(key, address(channel), 1, block.timestamp);
            return abi.encodeCall(IPaymentChannel.fundWithPermit, (1, block.timestamp, v, r, s));
        }
        if (action == Action.CANCEL) return abi.encodeCall(IPaymentChannel.cancel, ());
        if (action == Action.CLOSING) {
            return abi.encodeCall(IPaymentChannel.closing, (4, 6 ether, 4 ether, sign(other, 4, 6 ether, 4 ether)));
        }
        if (action == Action.CLOSING_FINAL) {
            bytes memory signature = sign(other, FINAL, 6 ether, 4 ether);
            return abi.encodeCall(IPaymentChannel.closing, (FINAL, 6 ether, 4 ether, signature));
        }
        if (action == Action.CLOSING_PROPOSAL) {
            bytes memory base = sign(other, 4, 6 ether, 4 ether);
            return abi.encodeCall(IPaymentChannel.closingProposal, (4, 6 ether, 4 ether, base, 6 ether, 4 ether));
        }
        if (action == Action.CHALLENGE) {
            uint256 closer = channel.closer() == b ? B_KEY : A_KEY;
            return abi.encodeCall(IPaymentChannel.challenge, (5, 5 ether, 5 ether, sign(closer, 5, 5 ether, 5 ether)));
        }
        if (channel.state() == CLOSING) vm.roll(channel.closingBlock() + PERIOD);
        return abi.encodeCall(IPaymentChannel.withdraw, ());
    }

    function required(Action action) private pure returns (IPaymentChannel.StateChannel) {
        if (action <= Action.CANCEL) return EMPTY;
        return action <= Action.CLOSING_PROPOSAL ? ACTIVE : CLOSING;
    }

    /// @dev Where the action leads to from the state that it requires. A payment of 1 leaves much missing.
    function next(Action action) private pure returns (IPaymentChannel.StateChannel) {
        if (action <= Action.FUND_WITH_PERMIT) return EMPTY;
        return action == Action.CLOSING || action == Action.CLOSING_PROPOSAL ? CLOSING : CLOSED;
    }

    function anyoneMay(Action action) private pure returns (bool) {
        return action == Action.CHALLENGE || action == Action.WITHDRAW;
    }

    function check(Action action, Stage stage, uint256 key) private {
        bring(stage);
        address caller = vm.addr(key);
        IPaymentChannel.StateChannel actual = channel.state();
        vm.assertEq(uint256(actual), uint256(stateOf(stage)), "the stage");
        bytes memory data = call(action, key);
        if (actual != required(action)) {
            bytes4 selector = IPaymentChannel.WrongState.selector;
            refuses(caller, data, abi.encodeWithSelector(selector, required(action), actual));
        } else if (key == STRANGER_KEY && !anyoneMay(action)) {
            refusesStranger(data);
        } else {
            vm.recordLogs();
            vm.prank(caller);
            (bool done,) = address(channel).call(data);
            vm.assertTrue(done, "the call was refused");
            assertState(next(action));
            vm.assertEq(eventsOfChannel(), 1, "one event for each change");
            return;
        }
        assertState(actual);
    }

    /// @dev How many events the channel has emitted, each with the two parties as its topics.
    function eventsOfChannel() private returns (uint256 count) {
        bytes32 topicA = bytes32(uint256(uint160(a)));
        bytes32 topicB = bytes32(uint256(uint160(b)));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].emitter != address(channel)) continue;
            vm.assertEq(logs[i].topics.length, 3, "topics");
            vm.assertEq(logs[i].topics[1], topicA, "partA");
            vm.assertEq(logs[i].topics[2], topicB, "partB");
            count++;
        }
    }

    function everyStateAndCaller(Action action) private {
        uint256[3] memory keys = [A_KEY, B_KEY, STRANGER_KEY];
        for (uint8 stage = 0; stage <= uint8(type(Stage).max); stage++) {
            for (uint256 i = 0; i < keys.length; i++) {
                uint256 before = vm.snapshotState();
                check(action, Stage(stage), keys[i]);
                vm.revertToState(before);
            }
        }
    }

    function test_fund() public {
        everyStateAndCaller(Action.FUND);
    }

    function test_fundWithPermit() public {
        everyStateAndCaller(Action.FUND_WITH_PERMIT);
    }

    function test_cancel() public {
        everyStateAndCaller(Action.CANCEL);
    }

    function test_closing() public {
        everyStateAndCaller(Action.CLOSING);
    }

    function test_closing_on_FINAL() public {
        everyStateAndCaller(Action.CLOSING_FINAL);
    }

    function test_closingProposal() public {
        everyStateAndCaller(Action.CLOSING_PROPOSAL);
    }

    function test_challenge() public {
        everyStateAndCaller(Action.CHALLENGE);
    }

    function test_withdraw() public {
        everyStateAndCaller(Action.WITHDRAW);
    }

    function test_anyone_reads_in_every_state() public {
        for (uint8 stage = 0; stage <= uint8(type(Stage).max); stage++) {
            uint256 before = vm.snapshotState();
            bring(Stage(stage));
            vm.prank(stranger);
            vm.assertEq(uint256(channel.state()), uint256(stateOf(Stage(stage))), "state");
            vm.assertEq(channel.partA(), a, "partA");
            vm.assertEq(channel.partB(), b, "partB");
            vm.assertEq(channel.amount(), AMOUNT, "amount");
            vm.assertEq(address(channel.token()), address(thd), "token");
            bool closingNow = channel.state() == CLOSING;
            vm.assertTrue((channel.closer() != address(0)) == closingNow, "closer");
            bool wasClosed = closingNow || Stage(stage) > Stage.CANCELLED;
            vm.assertTrue((channel.closingBlock() != 0) == wasClosed, "closingBlock");
            vm.assertTrue((channel.Nonce() != 0) == wasClosed, "Nonce");
            uint256 shares = channel.balanceA() + channel.balanceB();
            bool whole = stateOf(Stage(stage)) != EMPTY && Stage(stage) != Stage.CANCELLED;
            vm.assertTrue((shares == AMOUNT) == whole, "the shares add up to the amount from ACTIVE on");
            vm.revertToState(before);
        }
    }
}

contract StatesStandAloneTest is StatesTest, StandAlone {}

contract StatesClonedTest is StatesTest, Cloned {}
