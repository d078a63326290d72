// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice A party's account that has code, and vouches for every signature, as ERC-1271 lets it.
contract Voucher {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return this.isValidSignature.selector;
    }
}

/// @notice Only ECDSA, low s, 65 bytes: in each of the three functions that take a signature.
abstract contract SignaturesTest is ChannelFixture {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev Tries `closing` and `closingProposal` by A, and `challenge` of a closing by B; always on receipt 5 with
    /// 5 for each, to be signed by B.
    function refusedEverywhere(bytes memory signature, bytes memory expected) private {
        uint256 before = vm.snapshotState();
        activate();
        refuses(a, abi.encodeCall(IPaymentChannel.closing, (5, 5 ether, 5 ether, signature)), expected);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closingProposal, (5, 5 ether, 5 ether, signature, 4 ether, 6 ether)),
            expected
        );
        closeByB();
        refuses(a, abi.encodeCall(IPaymentChannel.challenge, (5, 5 ether, 5 ether, signature)), expected);
        vm.revertToState(before);
    }

    function test_the_signature_that_is_spoilt_below_is_good() public {
        activate();
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        vm.prank(a);
        channel.closing(5, 5 ether, 5 ether, signature);
    }

    function test_refuses_any_length_but_65() public {
        bytes memory good = sign(B_KEY, 5, 5 ether, 5 ether);
        bytes4 selector = ECDSA.ECDSAInvalidSignatureLength.selector;
        refusedEverywhere("", abi.encodeWithSelector(selector, 0));
        refusedEverywhere(bytes.concat(good, hex"00"), abi.encodeWithSelector(selector, 66));
        bytes memory short = new bytes(64);
        for (uint256 i = 0; i < 64; i++) {
            short[i] = good[i];
        }
        refusedEverywhere(short, abi.encodeWithSelector(selector, 64));
        refusedEverywhere(bytes.concat(good, good), abi.encodeWithSelector(selector, 130));
        refusedEverywhere(bytes.concat(good, new bytes(5000)), abi.encodeWithSelector(selector, 5065));
    }

    function test_refuses_the_compact_form_of_ERC_2098() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(B_KEY, channel.digest(5, 5 ether, 5 ether));
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));
        refusedEverywhere(
            abi.encodePacked(r, vs), abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, 64)
        );
    }

    function test_refuses_a_high_s() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(B_KEY, channel.digest(5, 5 ether, 5 ether));
        bytes32 high = bytes32(ORDER - uint256(s));
        vm.assertEq(ecrecover(channel.digest(5, 5 ether, 5 ether), v ^ 7, r, high), b, "the twin is B's as well");
        refusedEverywhere(
            abi.encodePacked(r, high, v ^ 7), abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high)
        );
    }

    function test_refuses_a_v_other_than_27_and_28() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(B_KEY, channel.digest(5, 5 ether, 5 ether));
        bytes memory expected = abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector);
        refusedEverywhere(abi.encodePacked(r, s, v - 27), expected);
        refusedEverywhere(abi.encodePacked(r, s, uint8(29)), expected);
        refusedEverywhere(abi.encodePacked(r, s, uint8(0)), expected);
        refusedEverywhere(abi.encodePacked(r, s, uint8(1)), expected);
        activate();
        for (uint256 other = 0; other <= type(uint8).max; other++) {
            if (other == 27 || other == 28) continue;
            bytes memory signature = abi.encodePacked(r, s, uint8(other));
            refuses(a, abi.encodeCall(IPaymentChannel.closing, (5, 5 ether, 5 ether, signature)), expected);
        }
    }

    function test_the_other_v_is_somebody_elses_signature() public {
        bytes32 digest = channel.digest(5, 5 ether, 5 ether);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(B_KEY, digest);
        address recovered = ecrecover(digest, v ^ 7, r, s);
        bytes memory expected = abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, recovered, b);
        refusedEverywhere(abi.encodePacked(r, s, v ^ 7), expected);
    }

    function testFuzz_random_bytes_are_nobodys_signature(bytes32 r, bytes32 s, uint8 v) public {
        activate();
        bytes memory signature = abi.encodePacked(r, s, v);
        vm.prank(a);
        (bool done,) = address(channel).call(abi.encodeCall(IPaymentChannel.closing, (5, 5 ether, 5 ether, signature)));
        vm.assertFalse(done, "closed on random bytes");
    }

    function testFuzz_a_signature_with_one_bit_flipped_is_refused(uint256 bit) public {
        activate();
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        bit = bound(bit, 0, 65 * 8 - 1);
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        vm.prank(a);
        (bool done,) = address(channel).call(abi.encodeCall(IPaymentChannel.closing, (5, 5 ether, 5 ether, signature)));
        vm.assertFalse(done, "closed on a spoilt signature");
    }

    function test_refuses_the_signature_of_nobody() public {
        bytes memory expected = abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector);
        refusedEverywhere(new bytes(65), expected);
        refusedEverywhere(abi.encodePacked(bytes32(0), bytes32(uint256(1)), uint8(27)), expected);
    }

    function test_refuses_a_signature_on_the_bare_message() public {
        // What a literal reading of the customer's page would sign: good in every channel, on every chain.
        bytes32 bare = channel.message(5, 5 ether, 5 ether);
        bytes memory signature = signDigest(B_KEY, bare);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(B_KEY, bare);
        address recovered = ecrecover(channel.digest(5, 5 ether, 5 ether), v, r, s);
        refusedEverywhere(signature, abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, recovered, b));
    }

    function test_ERC_1271_is_never_asked() public {
        vm.etch(b, type(Voucher).runtimeCode);
        bytes memory signature = sign(STRANGER_KEY, 5, 5 ether, 5 ether);
        refusedEverywhere(signature, abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, stranger, b));
    }

    function test_an_account_with_code_is_still_bound_by_its_key() public {
        // EIP-7702: B's account gets code after B has signed.
        activate();
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        vm.etch(b, hex"00");
        vm.prank(a);
        channel.closing(5, 5 ether, 5 ether, signature);
        assertState(IPaymentChannel.StateChannel.CLOSING);
    }
}

contract SignaturesStandAloneTest is SignaturesTest, StandAlone {}

contract SignaturesClonedTest is SignaturesTest, Cloned {}
