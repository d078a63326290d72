// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Deploy} from "../support/Deploy.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice No signature made for one channel is worth anything in another contract or on another chain.
abstract contract ReplayTest is ChannelFixture {
    /// @dev Tries a signature of B on receipt 5, made elsewhere, in each function that takes one.
    function worthless(bytes memory signature) internal {
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

    function test_a_receipt_of_a_parallel_channel_between_the_same_two() public {
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        channel = make(AMOUNT, a, b, thd);
        worthless(signature);
    }

    function test_a_receipt_of_the_closed_channel_before_between_the_same_two() public {
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        activate();
        closeByA();
        vm.roll(block.number + PERIOD);
        channel.withdraw();
        channel = make(AMOUNT, a, b, thd);
        worthless(signature);
    }

    function test_a_receipt_of_the_other_kind_of_channel() public {
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        IChannelFactory other = Deploy.factory(thd);
        vm.prank(a);
        channel = IPaymentChannel(other.open(AMOUNT, b, 0, keccak256("a salt")));
        worthless(signature);
        signature = sign(B_KEY, 5, 5 ether, 5 ether);
        channel = Deploy.paymentChannel(AMOUNT, a, b, thd);
        worthless(signature);
    }

    function test_after_a_chain_split() public {
        // The channel is ACTIVE on both sides of the split, under one address; the id of one side changes.
        // Constants: the compiler may read block.chainid anew wherever a variable that holds it is used.
        uint256 here = 1000;
        vm.chainId(here);
        bytes memory old = sign(B_KEY, 5, 5 ether, 5 ether);
        vm.chainId(here + 1);
        bytes memory there = sign(B_KEY, 7, 4 ether, 6 ether);
        uint256 before = vm.snapshotState();
        worthless(old);
        vm.revertToState(before);
        // On the side that keeps its id, old receipts close, and those signed since on the other do not.
        vm.chainId(here);
        activate();
        vm.prank(a);
        (bool done,) = address(channel).call(abi.encodeCall(IPaymentChannel.closing, (7, 4 ether, 6 ether, there)));
        vm.assertFalse(done, "closed on a receipt of the other side");
        vm.prank(a);
        channel.closing(5, 5 ether, 5 ether, old);
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

contract ReplayClonedTest is ReplayTest, Cloned {
    bytes32 private constant SALT = keccak256("a salt");

    function openWith(IChannelFactory opener) private returns (IPaymentChannel) {
        vm.prank(a);
        return IPaymentChannel(opener.open(AMOUNT, b, 0, SALT));
    }

    function test_a_receipt_of_another_factory_with_the_same_salt() public {
        channel = openWith(Deploy.factory(thd));
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        channel = openWith(factory);
        worthless(signature);
    }

    function test_a_receipt_of_the_mirrored_channel_with_the_same_salt() public {
        vm.prank(b);
        channel = IPaymentChannel(factory.open(AMOUNT, a, 0, SALT));
        bytes memory signature = sign(B_KEY, 5, 5 ether, 5 ether);
        channel = openWith(factory);
        worthless(signature);
    }

    function test_a_chain_begun_anew_brings_old_receipts_back() public {
        // What no contract can help: the same id, factory and salt, and so the same digest. Never use a salt twice.
        uint256 genesis = vm.snapshotState();
        bytes32 digest = openWith(factory).digest(5, 5 ether, 5 ether);
        vm.revertToState(genesis);
        vm.assertEq(openWith(factory).digest(5, 5 ether, 5 ether), digest, "digest");
        vm.revertToState(genesis);
        vm.prank(a);
        address other = factory.open(AMOUNT, b, 0, keccak256("a fresh salt"));
        vm.assertNotEq(IPaymentChannel(other).digest(5, 5 ether, 5 ether), digest, "digest with a fresh salt");
    }
}
