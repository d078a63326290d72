// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice No signature made for one channel is worth anything in another contract or on another chain.
abstract contract ReplayTest is ChannelFixture {
    /// @dev Tries a signature of B on receipt 5, made elsewhere, in each function that takes one.
    function worthless(bytes memory signature) private {
        (bytes32 r, bytes32 s, uint8 v) = (_word(signature, 0), _word(signature, 32), uint8(signature[64]));
        address recovered = ecrecover(channel.digest(5, 5 ether, 5 ether), v, r, s);
        bytes memory expected = abi.encodeWithSelector(IPaymentChannel.WrongSigner.selector, recovered, b);
        activate();
        refuses(a, abi.encodeCall(IPaymentChannel.closing, (5, 5 ether, 5 ether, signature)), expected);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closingProposal, (5, 5 ether, 5 ether, signature, 4 ether, 6 ether)),
            expected
        );
        closeByB();
        refuses(a, abi.encodeCall(IPaymentChannel.challenge, (5, 5 ether, 5 ether, signature)), expected);
    }

    function test_a_receipt_of_another_channel_between_the_same_two() public {
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        channel = make(AMOUNT, a, b, thd);
        worthless(signature);
    }

    function test_a_receipt_of_another_chain() public {
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        vm.chainId(block.chainid + 1);
        worthless(signature);
    }

    function test_a_FINAL_of_another_channel() public {
        bytes memory signature = sign(B_KEY, FINAL, AMOUNT, 0);
        channel = make(AMOUNT, a, b, thd);
        activate();
        vm.prank(a);
        (bool done,) = address(channel).call(abi.encodeCall(IPaymentChannel.closing, (FINAL, AMOUNT, 0, signature)));
        vm.assertFalse(done, "paid out on a receipt of another channel");
    }

    function test_a_receipt_signed_here_is_good_here() public {
        uint256 here = block.chainid;
        vm.chainId(here + 1);
        vm.chainId(here);
        activate();
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        vm.prank(a);
        channel.closing(5, 5 ether, 5 ether, signature);
    }

    function _word(bytes memory data, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), offset))
        }
    }
}

contract ReplayStandAloneTest is ReplayTest, StandAlone {}

contract ReplayClonedTest is ReplayTest, Cloned {}
