// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cloned} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice Answers with more than a state.
contract Talkative {
    function state() external pure returns (uint256, uint256) {
        return (1, 1);
    }
}

/// @notice Answers with what is no state.
contract Boundless {
    function state() external pure returns (uint256) {
        return 256;
    }
}

/// @notice Is not asked for states.
contract Silent {}

/// @notice Takes all the gas that it is given.
contract Greedy {
    function state() external pure returns (uint256) {
        while (true) {}
        return 1;
    }
}

/// @notice The states of many channels in one answer.
contract ChannelStatesTest is Cloned {
    /// @dev As `eth_call` without a recipient: what the code returns.
    function read(address[] memory channels) private returns (bytes memory) {
        bytes memory args = abi.encode(channels);
        return vm.deployCode("src/ChannelStates.sol:ChannelStates", args).code;
    }

    function test_each_state_as_the_channel_says_it() public {
        address[] memory one = new address[](1);
        one[0] = address(channel);
        vm.assertEq(read(one), hex"00", "EMPTY");
        activate();
        vm.assertEq(read(one), hex"01", "ACTIVE");
        closeByA();
        vm.assertEq(read(one), hex"02", "CLOSING");
        vm.roll(block.number + PERIOD);
        channel.withdraw();
        vm.assertEq(read(one), hex"03", "CLOSED");
    }

    function test_what_is_no_channel_says_nothing_and_hides_no_other() public {
        address[] memory all = new address[](6);
        all[0] = address(new Talkative());
        all[1] = address(channel);
        all[2] = address(0xdead);
        all[3] = address(new Boundless());
        all[4] = address(new Silent());
        all[5] = address(channel);
        vm.assertEq(read(all), hex"ff00ffffff00", "channels among others");
    }

    function test_whoever_takes_all_gas_takes_none_of_the_others() public {
        address[] memory all = new address[](201);
        address greedy = address(new Greedy());
        for (uint256 i = 0; i < 200; ++i) {
            all[i] = greedy;
        }
        all[200] = address(channel);
        uint256 before = gasleft();
        vm.assertEq(uint256(uint8(read(all)[200])), 0, "EMPTY, after 200 of them");
        vm.assertTrue(before - gasleft() < 15_000_000, "less than entry points give to a call");
    }

    function test_no_channels_no_answer() public {
        vm.assertTrue(read(new address[](0)).length == 0, "nothing asked");
    }
}
