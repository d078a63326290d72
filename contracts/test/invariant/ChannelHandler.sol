// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";
import {OffChain} from "./OffChain.sol";

/// @title A, B, a stranger and a watchtower, honest or not, doing what they like
/// @notice Each function is one message between the two, or one transaction. Transactions of honest parties must go
/// through; the others post any receipt ever signed, or lie, and may fail. When a channel is CLOSED, `reopen` makes the
/// next one between the same two.
///
/// It keeps what must hold at the side, and checks after each transaction which state it led from and to.
abstract contract ChannelHandler is OffChain {
    /// @dev What the parties have paid into the present channel, and what was sent to it by mistake.
    uint256 public paidIn;
    uint256 public donated;
    /// @dev What lies for ever in former channels, where it was sent by mistake.
    uint256 public stranded;
    /// @dev What A and B had together when the present channel was made.
    uint256 public wealthBefore;
    bool public everActive;
    /// @dev Whether the present channel was closed by a party as the protocol says.
    bool public closedHonestly;

    /// @dev How often each kind of transaction went through, to see that a run was worth something.
    mapping(string => uint256) public count;

    constructor() {
        setUp();
        wealthBefore = thd.balanceOf(a) + thd.balanceOf(b);
    }

    modifier whileActive() {
        if (channel.state() == IPaymentChannel.StateChannel.ACTIVE) _;
    }

    // -----------------------------------------------------------------------------------------------------------
    // Messages
    // -----------------------------------------------------------------------------------------------------------

    function offer(bool byA, uint256 price) external whileActive {
        if (propose(byA, price)) count["offer"]++;
    }

    function reply(bool byA, uint256 lost) external whileActive {
        if (answer(byA, lost % 4 == 0)) count["reply"]++;
    }

    function agreeToEnd(bool byA, uint256 seldom) external whileActive {
        if (seldom % 4 == 0 && signFinal(byA)) count["agreeToEnd"]++;
    }

    /// @dev Seldom, so that many channels have no liar in them.
    function signAnything(bool byA, uint256 seldom, uint256 nonce, uint256 shareA) external whileActive {
        if (seldom % 8 != 0) return;
        nonce = nonce % 16 == 0 ? FINAL - nonce / 16 % 2 : bound(nonce, 0, 9);
        lie(byA, nonce, bound(shareA, 0, 10) * AMOUNT / 10);
        count["lie"]++;
    }

    function signOnTheOtherChain(bool byA, uint256 nonce, uint256 shareA) external whileActive {
        if (_foreign.length > 8) return;
        signElsewhere(byA, nonce % 8 == 0 ? FINAL : bound(nonce, 1, 9), bound(shareA, 0, 10) * AMOUNT / 10);
    }

    // -----------------------------------------------------------------------------------------------------------
    // Transactions
    // -----------------------------------------------------------------------------------------------------------

    function fund(uint256 who, uint256 value, bool withPermit) external {
        uint256 key = keyOf(who);
        // Often all that is missing, else any sum, too much included.
        uint256 missing = AMOUNT - channel.balanceA() - channel.balanceB();
        value = value % 2 == 0 ? missing : bound(value, 0, AMOUNT);
        bytes memory call = abi.encodeCall(IPaymentChannel.fund, (value));
        if (withPermit) {
            (uint8 v, bytes32 r, bytes32 s) = signPermit(key, address(channel), value, block.timestamp);
            call = abi.encodeCall(IPaymentChannel.fundWithPermit, (value, block.timestamp, v, r, s));
        } else {
            vm.prank(vm.addr(key));
            thd.approve(address(channel), value);
        }
        if (send(key, "fund", call)) paidIn += value;
    }

    function cancel(uint256 who) external {
        // Seldom: it ends the channel before anything else can happen.
        if (who % 7 == 0) send(keyOf(who / 7), "cancel", abi.encodeCall(IPaymentChannel.cancel, ()));
    }

    /// @dev An honest party closes: on the newest receipt that it holds, or on its own unanswered proposal.
    function closeHonestly(bool byA) external whileActive {
        if (side(byA).lies) return;
        (bytes memory call, uint256 shareA) = exit(byA);
        bool proposing = isProposing(byA);
        bool done = send(byA ? A_KEY : B_KEY, proposing ? "closingProposal" : "closing", call);
        vm.assertTrue(done, "an honest party could not close");
        vm.assertEq(channel.balanceA(), shareA, "not on what it holds");
        closedHonestly = true;
        count[proposing ? "honest closingProposal" : "honest closing"]++;
    }

    /// @dev A party posts the end that the other has signed, which must go through.
    function end(bool byA) external whileActive {
        for (uint256 i = 0; i < _receipts.length; i++) {
            Receipt memory r = _receipts[i];
            if (r.nonce != FINAL || r.byA == byA) continue;
            bytes memory call =
                abi.encodeCall(IPaymentChannel.closing, (FINAL, r.shareA, AMOUNT - r.shareA, r.signature));
            vm.assertTrue(send(byA ? A_KEY : B_KEY, "final", call), "a FINAL was refused");
            return;
        }
    }

    /// @dev Anybody posts anything: receipt 0, or any receipt ever signed here or elsewhere.
    function close(uint256 who, uint256 which) external {
        Receipt memory receipt = pick(which);
        bytes memory call = abi.encodeCall(
            IPaymentChannel.closing, (receipt.nonce, receipt.shareA, AMOUNT - receipt.shareA, receipt.signature)
        );
        send(keyOf(who), receipt.nonce == FINAL ? "final" : "closing", call);
    }

    /// @dev The same as a base, with an invented proposal on top of it that often concedes.
    function closeOnProposal(uint256 who, uint256 which, uint256 proposedA) external {
        Receipt memory receipt = pick(which);
        uint256 key = keyOf(who);
        if (proposedA % 4 == 0) proposedA = bound(proposedA, 0, AMOUNT);
        else if (key == A_KEY) proposedA = bound(proposedA, 0, receipt.shareA);
        else proposedA = bound(proposedA, receipt.shareA, AMOUNT);
        bytes memory call = abi.encodeCall(
            IPaymentChannel.closingProposal,
            (receipt.nonce, receipt.shareA, AMOUNT - receipt.shareA, receipt.signature, proposedA, AMOUNT - proposedA)
        );
        send(key, "closingProposal", call);
    }

    function challenge(uint256 who, uint256 which) external {
        send(keyOf(who), "challenge", challengeWith(pick(which)));
    }

    /// @dev Knows every receipt ever signed here, and shows one that wins if there is one.
    function watch() external {
        if (channel.state() != IPaymentChannel.StateChannel.CLOSING) return;
        for (uint256 i = 0; i < _receipts.length; i++) {
            if (!wins(_receipts[i])) continue;
            vm.assertTrue(send(STRANGER_KEY, "challenge", challengeWith(_receipts[i])), "a winning receipt lost");
            count["watch"]++;
            return;
        }
    }

    function withdraw(uint256 who) external {
        send(keyOf(who), "withdraw", abi.encodeCall(IPaymentChannel.withdraw, ()));
    }

    /// @dev THD sent to the channel by mistake, by the stranger.
    function donate(uint256 value) external {
        value = bound(value, 0, AMOUNT);
        vm.prank(stranger);
        vm.assertTrue(thd.transfer(address(channel), value), "transfer");
        donated += value;
    }

    function mine(uint256 blocks) external {
        vm.roll(block.number + bound(blocks, 1, PERIOD / 2));
    }

    function reopen() external {
        if (channel.state() != IPaymentChannel.StateChannel.CLOSED) return;
        stranded += donated;
        (paidIn, donated, everActive, closedHonestly) = (0, 0, false, false);
        forget();
        channel = make(AMOUNT, a, b, thd);
        wealthBefore = thd.balanceOf(a) + thd.balanceOf(b);
        count["reopen"]++;
    }

    // -----------------------------------------------------------------------------------------------------------
    // What the invariants look at
    // -----------------------------------------------------------------------------------------------------------

    function state() external view returns (IPaymentChannel.StateChannel) {
        return channel.state();
    }

    function amounts() external view returns (uint256 amount, uint256 balanceA, uint256 balanceB, uint256 held) {
        return (channel.amount(), channel.balanceA(), channel.balanceB(), thd.balanceOf(address(channel)));
    }

    function wealth() external view returns (uint256 ofA, uint256 ofB, uint256 ofStranger, uint256 ofOthers) {
        ofOthers = thd.balanceOf(address(factory)) + thd.balanceOf(factory.template()) + thd.balanceOf(address(this))
            + thd.balanceOf(address(thd));
        return (thd.balanceOf(a), thd.balanceOf(b), thd.balanceOf(stranger), ofOthers);
    }

    function supply() external view returns (uint256) {
        return thd.totalSupply();
    }

    /// @notice Invariant 3: of every receipt ever signed here, exactly those win a challenge that the rules say, and none
    /// against somebody honest who has closed as it should.
    function checkChallenges() external {
        for (uint256 i = 0; i < _receipts.length; i++) {
            bool punished = attempt(STRANGER_KEY, challengeWith(_receipts[i]));
            vm.assertTrue(punished == wins(_receipts[i]), "challenge: neither more nor less than the rules say");
            bool closerIsA = channel.closer() == a;
            if (closedHonestly && !side(closerIsA).lies) vm.assertFalse(punished, "an honest party was punished");
        }
    }

    /// @notice Invariant 4: an honest party can close without the other's help, at no more than the price of the payment
    /// that it has proposed itself, and nothing ever signed can punish it.
    function checkExit(bool byA) external whileActive {
        if (side(byA).lies) return;
        (bytes memory call, uint256 shareA) = exit(byA);
        (, uint256 heldA,) = held(byA);
        if (!isProposing(byA)) vm.assertEq(shareA, heldA, "pays for nothing");
        vm.prank(byA ? a : b);
        (bool done,) = address(channel).call(call);
        vm.assertTrue(done, "an honest party could not close");
        vm.assertEq(channel.balanceA(), shareA, "its share");
        for (uint256 i = 0; i < _receipts.length; i++) {
            vm.assertFalse(attempt(STRANGER_KEY, challengeWith(_receipts[i])), "an honest party could be punished");
        }
    }

    /// @notice Invariant 5: no signature made elsewhere closes this channel, is a base, or wins a challenge.
    function checkForeign() external {
        for (uint256 i = 0; i < _foreign.length; i++) {
            Receipt memory r = _foreign[i];
            uint256 key = r.byA ? B_KEY : A_KEY;
            (uint256 x, uint256 y) = (r.shareA, AMOUNT - r.shareA);
            vm.assertFalse(
                attempt(key, abi.encodeCall(IPaymentChannel.closing, (r.nonce, x, y, r.signature))), "foreign: closing"
            );
            vm.assertFalse(
                attempt(key, abi.encodeCall(IPaymentChannel.closingProposal, (r.nonce, x, y, r.signature, x, y))),
                "foreign: closingProposal"
            );
            vm.assertFalse(attempt(key, challengeWith(r)), "foreign: challenge");
        }
    }

    // -----------------------------------------------------------------------------------------------------------
    // Pieces
    // -----------------------------------------------------------------------------------------------------------

    /// @dev The rules of `challenge`, spelt out a second time.
    function wins(Receipt memory receipt) private view returns (bool) {
        if (channel.state() != IPaymentChannel.StateChannel.CLOSING) return false;
        if (block.number >= channel.closingBlock() + 24) return false;
        if (receipt.nonce == FINAL || channel.closer() != (receipt.byA ? a : b)) return false;
        uint256 closedOn = channel.Nonce();
        return receipt.nonce > closedOn || (receipt.nonce == closedOn && receipt.shareA != channel.balanceA());
    }

    function challengeWith(Receipt memory receipt) private pure returns (bytes memory) {
        return abi.encodeCall(
            IPaymentChannel.challenge, (receipt.nonce, receipt.shareA, AMOUNT - receipt.shareA, receipt.signature)
        );
    }

    /// @dev Whether the call would go through. Leaves nothing behind.
    function attempt(uint256 key, bytes memory call) private returns (bool done) {
        (bool kept, bytes memory answerData) = address(this).call(abi.encodeCall(this.attemptAndRevert, (key, call)));
        vm.assertFalse(kept, "an attempt leaves something behind");
        return abi.decode(answerData, (bool));
    }

    function attemptAndRevert(uint256 key, bytes calldata call) external {
        vm.prank(vm.addr(key));
        (bool done,) = address(channel).call(call);
        bytes memory data = abi.encode(done);
        assembly ("memory-safe") {
            revert(add(data, 0x20), mload(data))
        }
    }

    /// @dev Sends a transaction, which may fail, and checks which step it made.
    function send(uint256 key, string memory what, bytes memory call) private returns (bool done) {
        IPaymentChannel.StateChannel from = channel.state();
        vm.prank(vm.addr(key));
        (done,) = address(channel).call(call);
        IPaymentChannel.StateChannel to = channel.state();
        if (done) count[what]++;
        if (to == IPaymentChannel.StateChannel.ACTIVE) everActive = true;
        vm.assertTrue(isStep(what, done, from, to), string.concat("a step that no state machine allows: ", what));
    }

    /// @dev Invariant 2: EMPTY to ACTIVE to CLOSING to CLOSED, EMPTY to CLOSED by cancel, ACTIVE to CLOSED by FINAL.
    function isStep(string memory what, bool done, IPaymentChannel.StateChannel from, IPaymentChannel.StateChannel to)
        private
        pure
        returns (bool)
    {
        if (!done) return to == from;
        bytes32 kind = keccak256(bytes(what));
        if (kind == keccak256("fund")) {
            return from == IPaymentChannel.StateChannel.EMPTY && to <= IPaymentChannel.StateChannel.ACTIVE;
        }
        if (kind == keccak256("cancel")) {
            return from == IPaymentChannel.StateChannel.EMPTY && to == IPaymentChannel.StateChannel.CLOSED;
        }
        if (kind == keccak256("final")) {
            return from == IPaymentChannel.StateChannel.ACTIVE && to == IPaymentChannel.StateChannel.CLOSED;
        }
        if (kind == keccak256("closing") || kind == keccak256("closingProposal")) {
            return from == IPaymentChannel.StateChannel.ACTIVE && to == IPaymentChannel.StateChannel.CLOSING;
        }
        return from == IPaymentChannel.StateChannel.CLOSING && to == IPaymentChannel.StateChannel.CLOSED;
    }

    function pick(uint256 which) private view returns (Receipt memory) {
        uint256 all = _receipts.length + _foreign.length;
        if (all == 0 || which % 10 == 0) return Receipt(channel, true, 0, channel.balanceA(), "");
        which = which / 10 % all;
        return which < _receipts.length ? _receipts[which] : _foreign[which - _receipts.length];
    }

    function keyOf(uint256 who) private pure returns (uint256) {
        uint256[5] memory keys = [A_KEY, B_KEY, A_KEY, B_KEY, STRANGER_KEY];
        return keys[who % 5];
    }
}

contract StandAloneHandler is ChannelHandler, StandAlone {}

contract ClonedHandler is ChannelHandler, Cloned {}
