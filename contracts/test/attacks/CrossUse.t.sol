// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice A signature made for one thing, used for another: a receipt as FINAL and back, a permit as a receipt and back.
abstract contract CrossUseTest is ChannelFixture {
    function recover(bytes32 digest, bytes memory signature) private pure returns (address) {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        return ecrecover(digest, uint8(signature[64]), r, s);
    }

    /// @dev That B's `signature` closes nothing as a receipt with `nonce`, nor is a base, nor wins a challenge.
    function worthlessAs(uint256 nonce, bytes memory signature) private {
        address recovered = recover(channel.digest(nonce, 5 ether, 5 ether), signature);
        bytes memory expected = abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, recovered, b);
        bytes memory notFinal = abi.encodeWithSelector(IPaymentChannel.FinalNotAccepted.selector);
        uint256 before = vm.snapshotState();
        refuses(a, abi.encodeCall(IPaymentChannel.closing, (nonce, 5 ether, 5 ether, signature)), expected);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closingProposal, (nonce, 5 ether, 5 ether, signature, 4 ether, 6 ether)),
            nonce == FINAL ? notFinal : expected
        );
        closeByB();
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.challenge, (nonce, 5 ether, 5 ether, signature)),
            nonce == FINAL ? notFinal : expected
        );
        vm.revertToState(before);
    }

    function test_a_receipt_as_FINAL() public {
        activate();
        worthlessAs(FINAL, sign(B_KEY, 5, 5 ether, 5 ether));
        worthlessAs(FINAL, sign(B_KEY, FINAL - 1, 5 ether, 5 ether));
    }

    function test_FINAL_as_a_receipt() public {
        activate();
        bytes memory signature = sign(B_KEY, FINAL, 5 ether, 5 ether);
        worthlessAs(5, signature);
        worthlessAs(FINAL - 1, signature);
    }

    function test_a_permit_as_a_receipt() public {
        activate();
        bytes32 permit = permitDigest(b, address(channel), 5 ether, block.timestamp);
        worthlessAs(5, signDigest(B_KEY, permit));
        worthlessAs(FINAL, signDigest(B_KEY, permit));
    }

    function test_a_receipt_as_a_permit() public {
        (bytes32 r, bytes32 s) = abi.decode(sign(B_KEY, 5, 5 ether, 5 ether), (bytes32, bytes32));
        for (uint8 v = 27; v <= 28; v++) {
            vm.prank(stranger);
            (bool done,) =
                address(thd).call(abi.encodeCall(thd.permit, (b, address(channel), 5 ether, block.timestamp, v, r, s)));
            vm.assertFalse(done, "a receipt gave an allowance");
        }
        vm.assertEq(thd.allowance(b, address(channel)), 0, "allowance");
    }

    function test_a_signature_on_a_transaction_like_message_is_no_receipt() public {
        // EIP-191 text, as wallets sign it ("personal sign"), of the receipt's own digest.
        activate();
        bytes32 text =
            keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", channel.digest(5, 5 ether, 5 ether)));
        worthlessAs(5, signDigest(B_KEY, text));
    }

    function testFuzz_a_signature_is_good_for_its_nonce_and_shares_only(uint256 nonce, uint256 other, uint256 shareA)
        public
    {
        activate();
        nonce = bound(nonce, 1, FINAL);
        other = bound(other, 1, FINAL);
        shareA = bound(shareA, 0, AMOUNT);
        vm.assume(nonce != other || shareA != 5 ether);
        bytes memory signature = sign(B_KEY, nonce, shareA, AMOUNT - shareA);
        address recovered = recover(channel.digest(other, 5 ether, 5 ether), signature);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closing, (other, 5 ether, 5 ether, signature)),
            abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, recovered, b)
        );
    }
}

contract CrossUseStandAloneTest is CrossUseTest, StandAlone {}

contract CrossUseClonedTest is CrossUseTest, Cloned {}
