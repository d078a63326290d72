// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice `message` and `digest` against EIP-712 spelt out. Against other implementations: ../vectors/.
abstract contract DigestTest is ChannelFixture {
    function expectedMessage(uint256 nonce, uint256 balanceA, uint256 balanceB) private pure returns (bytes32) {
        return keccak256(
            abi.encode(keccak256("Receipt(uint256 nonce,uint256 balanceA,uint256 balanceB)"), nonce, balanceA, balanceB)
        );
    }

    function expectedDigest(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Thunder"),
                keccak256("1"),
                block.chainid,
                address(channel)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function testFuzz_message_is_the_struct_hash(uint256 nonce, uint256 balanceA, uint256 balanceB) public view {
        bytes32 expected = expectedMessage(nonce, balanceA, balanceB);
        vm.assertEq(channel.message(nonce, balanceA, balanceB), expected, "message");
    }

    function testFuzz_digest_binds_it_to_this_contract_and_chain(
        uint64 chainId,
        uint256 nonce,
        uint256 balanceA,
        uint256 balanceB
    ) public {
        vm.chainId(bound(chainId, 1, type(uint64).max - 1));
        bytes32 expected = expectedDigest(expectedMessage(nonce, balanceA, balanceB));
        vm.assertEq(channel.digest(nonce, balanceA, balanceB), expected, "digest");
    }

    function test_digest_follows_the_chain_id_of_the_call() public {
        bytes32 here = channel.digest(1, 2, 3);
        vm.chainId(block.chainid + 1);
        bytes32 there = channel.digest(1, 2, 3);
        vm.assertNotEq(here, there, "digest");
        vm.assertEq(there, expectedDigest(expectedMessage(1, 2, 3)), "digest on the other chain");
    }

    function test_message_and_digest_can_be_asked_in_any_state() public {
        bytes32 message = channel.message(1, 2, 3);
        bytes32 digest = channel.digest(1, 2, 3);
        for (uint8 i = 0; i <= uint8(type(Stage).max); i++) {
            uint256 before = vm.snapshotState();
            bring(Stage(i));
            vm.prank(stranger);
            vm.assertEq(channel.message(1, 2, 3), message, "message");
            vm.prank(stranger);
            vm.assertEq(channel.digest(1, 2, 3), digest, "digest");
            vm.revertToState(before);
        }
    }

    function test_wallets_can_ask_for_the_domain() public view {
        (, string memory name, string memory version, uint256 chainId, address verifyingContract,,) =
            EIP712(address(channel)).eip712Domain();
        vm.assertEq(name, "Thunder", "name");
        vm.assertEq(version, "1", "version");
        vm.assertEq(chainId, block.chainid, "chainId");
        vm.assertEq(verifyingContract, address(channel), "verifyingContract");
    }
}

contract DigestStandAloneTest is DigestTest, StandAlone {}

contract DigestClonedTest is DigestTest, Cloned {}
