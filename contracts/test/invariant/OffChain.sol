// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {vm} from "../support/Vm.sol";

/// @title What A and B sign to each other, as nodes do or as liars do
/// @notice Every receipt ever signed is kept, for anybody to post. An honest party follows the protocol: it proposes on
/// top of the newest receipt that it holds, in its own parity, one proposal at a time; it answers the other's only if
/// that takes the place of its own. A liar has signed something else at least once in the present channel.
abstract contract OffChain is ChannelFixture {
    struct Receipt {
        IPaymentChannel channel;
        bool byA;
        uint256 nonce;
        uint256 shareA;
        bytes signature;
    }

    /// @dev What one party has in its hands. `held` is the newest receipt that the other has signed, 0 if none.
    struct Side {
        Receipt held;
        Receipt proposal;
        bool hasSignedFinal;
        bool lies;
    }

    /// @dev Every receipt ever signed in the present channel, and some signed elsewhere: in the channel before it between
    /// the same two, and on the other side of a chain split.
    Receipt[] internal _receipts;
    Receipt[] internal _foreign;
    uint256 private immutable _here = block.chainid;
    Side internal _sideA;
    Side internal _sideB;

    function side(bool ofA) internal view returns (Side storage) {
        return ofA ? _sideA : _sideB;
    }

    function isProposing(bool byA) internal view returns (bool) {
        Side storage own = side(byA);
        return own.proposal.nonce > own.held.nonce;
    }

    function held(bool byA) internal view returns (uint256 nonce, uint256 shareA, bytes memory signature) {
        Receipt storage receipt = side(byA).held;
        if (receipt.nonce == 0) return (0, channel.balanceA(), "");
        return (receipt.nonce, receipt.shareA, receipt.signature);
    }

    function signed(bool byA, uint256 nonce, uint256 shareA) internal view returns (Receipt memory) {
        bytes memory signature = sign(byA ? A_KEY : B_KEY, nonce, shareA, AMOUNT - shareA);
        return Receipt(channel, byA, nonce, shareA, signature);
    }

    // -----------------------------------------------------------------------------------------------------------
    // Honest
    // -----------------------------------------------------------------------------------------------------------

    function propose(bool byA, uint256 price) internal returns (bool) {
        if (isProposing(byA) || side(byA).hasSignedFinal) return false;
        (uint256 nonce, uint256 shareA,) = held(byA);
        uint256 share = byA ? shareA : AMOUNT - shareA;
        if (share == 0) return false;
        price = bound(price, 1, share);
        nonce += (nonce % 2 == 0) == byA ? 1 : 2;
        side(byA).proposal = signed(byA, nonce, byA ? shareA - price : shareA + price);
        _receipts.push(side(byA).proposal);
        return true;
    }

    /// @dev The party signs what the other has proposed; the answer may get lost.
    function answer(bool byA, bool lost) internal returns (bool) {
        Receipt memory proposal = side(!byA).proposal;
        if (proposal.nonce <= side(byA).held.nonce || side(byA).hasSignedFinal) return false;
        if (isProposing(byA) && side(byA).proposal.nonce > proposal.nonce) return false;
        if (proposal.nonce == 0) return false;
        side(byA).held = proposal;
        Receipt memory receipt = signed(byA, proposal.nonce, proposal.shareA);
        _receipts.push(receipt);
        if (!lost) side(!byA).held = receipt;
        return true;
    }

    /// @dev Signs the end, with the shares of the newest receipt held, and then nothing any more.
    function signFinal(bool byA) internal returns (bool) {
        if (isProposing(byA) || isProposing(!byA) || side(byA).hasSignedFinal) return false;
        (, uint256 shareA,) = held(byA);
        side(byA).hasSignedFinal = true;
        _receipts.push(signed(byA, FINAL, shareA));
        return true;
    }

    /// @dev How an honest party closes, and the shares that come of it.
    function exit(bool byA) internal view returns (bytes memory call, uint256 shareA) {
        (uint256 nonce, uint256 baseA, bytes memory signature) = held(byA);
        if (!isProposing(byA)) {
            return (abi.encodeCall(IPaymentChannel.closing, (nonce, baseA, AMOUNT - baseA, signature)), baseA);
        }
        shareA = side(byA).proposal.shareA;
        call = abi.encodeCall(
            IPaymentChannel.closingProposal, (nonce, baseA, AMOUNT - baseA, signature, shareA, AMOUNT - shareA)
        );
    }

    // -----------------------------------------------------------------------------------------------------------
    // Not honest, or elsewhere
    // -----------------------------------------------------------------------------------------------------------

    function lie(bool byA, uint256 nonce, uint256 shareA) internal {
        side(byA).lies = true;
        _receipts.push(signed(byA, nonce, shareA));
    }

    /// @dev Signed on the other side of a chain split, where the channel has the same address.
    function signElsewhere(bool byA, uint256 nonce, uint256 shareA) internal {
        vm.chainId(_here + 1);
        Receipt memory receipt = signed(byA, nonce, shareA);
        vm.chainId(_here);
        _foreign.push(receipt);
    }

    /// @dev Makes the receipts of the channel that is over foreign, the newest few of them, and begins anew.
    function forget() internal {
        uint256 first = _receipts.length > 4 ? _receipts.length - 4 : 0;
        delete _foreign;
        for (uint256 i = first; i < _receipts.length; i++) {
            _foreign.push(_receipts[i]);
        }
        delete _receipts;
        delete _sideA;
        delete _sideB;
    }
}
