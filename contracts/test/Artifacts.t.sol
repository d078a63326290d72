// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {vm} from "./support/Vm.sol";

/// @notice What these tests run is what is committed under artifacts/, and what the node is built with.
contract ArtifactsTest {
    function same(string memory name) private view {
        string memory json = vm.readFile(string.concat(vm.projectRoot(), "/artifacts/", name, ".json"));
        bytes memory built = vm.getCode(string.concat("src/", name, ".sol:", name));
        vm.assertTrue(
            keccak256(vm.parseJsonBytes(json, ".bytecode")) == keccak256(built),
            string.concat("artifacts/", name, ".json is stale: run `node tools/artifacts.mjs write`")
        );
    }

    function test_the_committed_artifacts_are_what_is_tested() public view {
        same("PaymentChannel");
        same("ChannelStates");
        same("ChannelTemplate");
        same("ChannelFactory");
        same("THD");
    }
}
