// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice The contract against digests.json, which other implementations have made; README.md explains the file.
abstract contract DigestVectorsTest is ChannelFixture {
    struct Vector {
        string name;
        uint256 nonce;
        uint256 balanceA;
        uint256 balanceB;
        bytes32 structHash;
        bytes32 domainSeparator;
        bytes32 digest;
    }

    function test_message_digest_and_signature_of_every_vector() public {
        string memory json = vm.readFile(string.concat(vm.projectRoot(), "/test/vectors/digests.json"));
        uint256 count;
        while (vm.keyExistsJson(json, path(count, ""))) check(json, count++);
        vm.assertGe(count, 20, "how many vectors were checked");
    }

    function check(string memory json, uint256 i) private {
        Vector memory vector = Vector({
            name: vm.parseJsonString(json, path(i, ".name")),
            nonce: vm.parseJsonUint(json, path(i, ".nonce")),
            balanceA: vm.parseJsonUint(json, path(i, ".balanceA")),
            balanceB: vm.parseJsonUint(json, path(i, ".balanceB")),
            structHash: vm.parseJsonBytes32(json, path(i, ".structHash")),
            domainSeparator: vm.parseJsonBytes32(json, path(i, ".domainSeparator")),
            digest: vm.parseJsonBytes32(json, path(i, ".digest"))
        });
        checkHashes(
            vector,
            vm.parseJsonAddress(json, path(i, ".verifyingContract")),
            vm.parseJsonUint(json, path(i, ".chainId"))
        );

        bytes memory signature = vm.parseJsonBytes(json, path(i, ".signature"));
        address signer = vm.parseJsonAddress(json, path(i, ".signer"));
        uint256 key = vm.parseJsonUint(json, path(i, ".privateKey"));
        vm.assertEq(vm.addr(key), signer, vector.name);
        vm.assertEq(signDigest(key, vector.digest), signature, vector.name);
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        vm.assertEq(ecrecover(vector.digest, uint8(signature[64]), r, s), signer, vector.name);
    }

    function checkHashes(Vector memory vector, address verifyingContract, uint256 chainId) private {
        vm.etch(verifyingContract, address(channel).code);
        vm.chainId(chainId);
        IPaymentChannel there = IPaymentChannel(verifyingContract);
        bytes32 structHash = there.message(vector.nonce, vector.balanceA, vector.balanceB);
        vm.assertEq(structHash, vector.structHash, vector.name);
        vm.assertEq(there.digest(vector.nonce, vector.balanceA, vector.balanceB), vector.digest, vector.name);
        bytes memory signed = abi.encodePacked(hex"1901", vector.domainSeparator, vector.structHash);
        vm.assertEq(keccak256(signed), vector.digest, vector.name);
    }

    function path(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".vectors[", vm.toString(i), "]", field);
    }
}

contract DigestVectorsStandAloneTest is DigestVectorsTest, StandAlone {}

contract DigestVectorsClonedTest is DigestVectorsTest, Cloned {}
