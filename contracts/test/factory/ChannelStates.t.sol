// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChannelStates} from "../../src/ChannelStates.sol";
import {Cloned} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice Answers with more than a state.
contract Talkative {
    function state() external pure returns (uint256, uint256) {
        return (1, 1);
    }
}

/// @notice Answers with a number that is no state.
contract Boundless {
    function state() external pure returns (uint256) {
        return 4;
    }
}

/// @notice Answers with a share that does not fit.
contract Rich {
    uint256 public constant state = 1;
    uint256 public constant balanceA = 1 << 88;
    uint256 public constant balanceB = 0;
}

/// @notice Has no function at all.
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
    /// @dev What endpoints give to a call at least.
    uint256 private constant MOST_GAS = 15_000_000;

    /// @dev The gas that the newest answer took, the price of its length included.
    uint256 private _spent;

    /// @dev As `eth_call` without a recipient: what the code returns, without the block's number.
    function read(address[] memory channels) private returns (uint256[] memory words) {
        for (uint256 i = 0; i < channels.length; ++i) {
            vm.cool(channels[i]);
        }
        bytes memory code = abi.encodePacked(type(ChannelStates).creationCode, abi.encode(channels));
        address made;
        uint256 before = gasleft();
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
        }
        _spent = before - gasleft();
        bytes memory answer = made.code;
        vm.assertEq(answer.length, 32 * (channels.length + 1), "one word for each, and the block's number");
        vm.assertEq(uint256(_at(answer, 0)), block.number, "the block that it was read at");
        words = new uint256[](channels.length);
        for (uint256 i = 0; i < words.length; ++i) {
            words[i] = uint256(_at(answer, i + 1));
        }
    }

    function readOne() private returns (uint256) {
        address[] memory one = new address[](1);
        one[0] = address(channel);
        return read(one)[0];
    }

    function _at(bytes memory answer, uint256 index) private pure returns (bytes32 found) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            found := mload(add(answer, mul(add(index, 1), 32)))
        }
    }

    function word(uint256 phase, uint256 closed, uint256 nonce, uint256 a, uint256 b) private pure returns (uint256) {
        return (phase << 248) | (closed << 216) | (nonce << 176) | (b << 88) | a;
    }

    /// @dev The word of storage that a node reads where an endpoint does not run creation code.
    function stored() private view returns (uint256) {
        return uint256(vm.load(address(channel), bytes32(uint256(2))));
    }

    function test_G1_each_state_as_the_channel_says_it_and_as_its_storage_has_it() public {
        vm.assertEq(readOne(), word(1, 0, 0, 0, 0), "EMPTY");
        vm.assertEq(stored(), readOne(), "EMPTY in storage");
        activate();
        vm.assertEq(readOne(), word(2, 0, 0, channel.balanceA(), channel.balanceB()), "ACTIVE");
        vm.assertEq(stored(), readOne(), "ACTIVE in storage");
        closeByA();
        uint256 a = channel.balanceA();
        uint256 b = channel.balanceB();
        vm.assertEq(readOne(), word(3, block.number, channel.Nonce(), a, b), "CLOSING by A");
        vm.assertEq(stored(), readOne(), "CLOSING in storage");
        uint256 closed = block.number;
        vm.roll(block.number + PERIOD);
        channel.withdraw();
        vm.assertEq(readOne(), word(5, closed, channel.Nonce(), a, b), "CLOSED");
        vm.assertEq(stored(), readOne(), "CLOSED in storage");
    }

    function test_G1_who_closed() public {
        activate();
        closeByB();
        vm.assertEq(readOne() >> 248, 4, "CLOSING by B");
        vm.assertEq(stored(), readOne(), "in storage");
    }

    function test_what_is_no_channel_says_nothing_and_hides_no_other() public {
        address[] memory all = new address[](7);
        all[0] = address(new Talkative());
        all[1] = address(channel);
        all[2] = address(0xdead);
        all[3] = address(new Boundless());
        all[4] = address(new Silent());
        all[5] = address(new Rich());
        all[6] = address(channel);
        uint256[] memory words = read(all);
        for (uint256 i = 0; i < words.length; ++i) {
            vm.assertEq(words[i] >> 248, i == 1 || i == 6 ? 1 : 0, "channels among others");
        }
    }

    function test_whoever_takes_all_gas_takes_none_of_the_others() public {
        address[] memory all = new address[](201);
        address greedy = address(new Greedy());
        for (uint256 i = 0; i < 200; ++i) {
            all[i] = greedy;
        }
        all[200] = address(channel);
        vm.assertEq(read(all)[200] >> 248, 1, "EMPTY, after 200 of them");
        vm.assertTrue(_spent < MOST_GAS, "less than endpoints give to a call");
    }

    function test_as_many_as_the_node_asks_for_at_once_fit_into_an_answer_and_its_gas() public {
        address[] memory all = new address[](767);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = factory.open(10 ether, address(0xb0b), 0, bytes32(i));
        }
        vm.assertEq(read(all)[766] >> 248, 1, "EMPTY");
        vm.assertTrue(_spent < MOST_GAS, "less than endpoints give to a call");
    }

    function test_no_channels_no_words() public {
        vm.assertTrue(read(new address[](0)).length == 0, "nothing asked");
    }
}
