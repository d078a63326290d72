// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @title A, B and a stranger, doing what they like
/// @notice Each function is one transaction by one of the three, with arguments that are neither always right nor
/// hopeless: nonces and shares come from small ranges, so that receipts meet and contradict each other, and most
/// signatures are by the one that has to sign. When a channel is CLOSED, `reopen` makes the next one.
///
/// It keeps what must hold at the side, and checks after each transaction which state it led from and to.
abstract contract ChannelHandler is ChannelFixture {
    /// @dev What the parties have paid into the present channel, and what was sent to it by mistake.
    uint256 public paidIn;
    uint256 public donated;
    /// @dev What lies for ever in former channels, where it was sent by mistake.
    uint256 public stranded;
    /// @dev What A and B had together when the present channel was made.
    uint256 public wealthBefore;
    bool public everActive;

    /// @dev How often each kind of transaction went through, to see that a run was worth something.
    mapping(string => uint256) public count;

    constructor() {
        setUp();
        wealthBefore = thd.balanceOf(a) + thd.balanceOf(b);
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

    function closing(uint256 who, uint256 signer, uint256 nonce, uint256 shareA) external {
        uint256 key = keyOf(who);
        (uint256 n, uint256 balanceA, bytes memory signature) = receipt(otherOf(key, signer), nonce, shareA);
        bytes memory call = abi.encodeCall(IPaymentChannel.closing, (n, balanceA, AMOUNT - balanceA, signature));
        send(key, n == FINAL ? "final" : "closing", call);
    }

    function closingProposal(uint256 who, uint256 signer, uint256 nonce, uint256 shareA, uint256 proposedA) external {
        uint256 key = keyOf(who);
        (uint256 n, uint256 balanceA, bytes memory signature) = receipt(otherOf(key, signer), nonce, shareA);
        // Mostly a proposal that concedes.
        if (proposedA % 4 == 0) proposedA = bound(proposedA, 0, AMOUNT);
        else proposedA = key == A_KEY ? bound(proposedA, 0, balanceA) : bound(proposedA, balanceA, AMOUNT);
        send(
            key,
            "closingProposal",
            abi.encodeCall(
                IPaymentChannel.closingProposal,
                (n, balanceA, AMOUNT - balanceA, signature, proposedA, AMOUNT - proposedA)
            )
        );
    }

    function challenge(uint256 who, uint256 signer, uint256 nonce, uint256 shareA) external {
        uint256 key = channel.closer() == a ? A_KEY : B_KEY;
        if (signer % 4 == 0) key = keyOf(signer / 4);
        (uint256 n, uint256 balanceA, bytes memory signature) = receipt(key, nonce, shareA);
        bytes memory call = abi.encodeCall(IPaymentChannel.challenge, (n, balanceA, AMOUNT - balanceA, signature));
        send(keyOf(who), "challenge", call);
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
        vm.roll(block.number + bound(blocks, 1, PERIOD));
    }

    function reopen() external {
        if (channel.state() != IPaymentChannel.StateChannel.CLOSED) return;
        stranded += donated;
        (paidIn, donated, everActive) = (0, 0, false);
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

    // -----------------------------------------------------------------------------------------------------------
    // Pieces
    // -----------------------------------------------------------------------------------------------------------

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

    /// @dev Receipt 0 as the chain knows it, a FINAL now and then, or one of a few with small nonces.
    function receipt(uint256 key, uint256 nonce, uint256 shareA)
        private
        view
        returns (uint256 n, uint256 balanceA, bytes memory signature)
    {
        if (nonce % 10 == 0) return (0, channel.balanceA(), "");
        n = nonce % 20 == 1 ? FINAL : bound(nonce, 1, 9);
        balanceA = bound(shareA, 0, 10) * AMOUNT / 10;
        signature = sign(key, n, balanceA, AMOUNT - balanceA);
    }

    function keyOf(uint256 who) private pure returns (uint256) {
        uint256[5] memory keys = [A_KEY, B_KEY, A_KEY, B_KEY, STRANGER_KEY];
        return keys[who % 5];
    }

    /// @dev Mostly the other party, as it should be; sometimes anybody.
    function otherOf(uint256 key, uint256 signer) private pure returns (uint256) {
        if (signer % 4 == 0) return keyOf(signer / 4);
        return key == A_KEY ? B_KEY : A_KEY;
    }
}

contract StandAloneHandler is ChannelHandler, StandAlone {}

contract ClonedHandler is ChannelHandler, Cloned {}
