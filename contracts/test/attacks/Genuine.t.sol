// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IChannelTemplate} from "../../src/interfaces/IChannelTemplate.sol";
import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {Deploy} from "../support/Deploy.sol";
import {Cloned} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice Deploys the code of a genuine clone, and writes its storage first.
contract Forger {
    constructor(bytes memory code, bytes32 slot, bytes32 word) {
        assembly ("memory-safe") {
            sstore(slot, word)
            return(add(code, 0x20), mload(code))
        }
    }
}

/// @notice What is a channel, and what only looks like one: the template, clones, proxies made by others.
contract GenuineTest is Cloned {
    bytes32 private constant SALT = keccak256("a salt");

    /// @dev Every function that reads or changes a channel refuses.
    function isNoChannel(address target) private {
        bytes memory signature = sign(B_KEY, 4, 6 ether, 4 ether);
        bytes[17] memory calls = [
            abi.encodeCall(IPaymentChannel.fund, (1)),
            abi.encodeCall(IPaymentChannel.fundWithPermit, (0, block.timestamp, 27, bytes32(0), bytes32(0))),
            abi.encodeCall(IPaymentChannel.cancel, ()),
            abi.encodeCall(IPaymentChannel.closing, (4, 6 ether, 4 ether, signature)),
            abi.encodeCall(IPaymentChannel.closing, (0, 0, 0, "")),
            abi.encodeCall(IPaymentChannel.closingProposal, (0, 0, 0, "", 0, 0)),
            abi.encodeCall(IPaymentChannel.challenge, (4, 6 ether, 4 ether, signature)),
            abi.encodeCall(IPaymentChannel.withdraw, ()),
            abi.encodeCall(IPaymentChannel.partA, ()),
            abi.encodeCall(IPaymentChannel.partB, ()),
            abi.encodeCall(IPaymentChannel.token, ()),
            abi.encodeCall(IPaymentChannel.amount, ()),
            abi.encodeCall(IPaymentChannel.state, ()),
            abi.encodeCall(IPaymentChannel.closingBlock, ()),
            abi.encodeCall(IPaymentChannel.Nonce, ()),
            abi.encodeCall(IPaymentChannel.balanceA, ()),
            abi.encodeCall(IPaymentChannel.closer, ())
        ];
        bytes memory expected = abi.encodeWithSelector(IPaymentChannel.NotInitialised.selector);
        for (uint256 i = 0; i < calls.length; i++) {
            refuses(target, a, calls[i], expected);
        }
        refuses(target, a, abi.encodeCall(IPaymentChannel.balanceB, ()), expected);
    }

    function refusesToInitialise(address target) private {
        address[4] memory callers = [a, b, stranger, address(this)];
        for (uint256 i = 0; i < callers.length; i++) {
            refuses(
                target,
                callers[i],
                abi.encodeCall(IChannelTemplate.initialise, (AMOUNT, AMOUNT)),
                abi.encodeWithSelector(IChannelTemplate.NotFactory.selector, callers[i])
            );
        }
    }

    function cloneCode(address partA, address partB) private view returns (bytes memory) {
        return abi.encodePacked(
            hex"363d3d373d3d3d363d73", factory.template(), hex"5af43d82803e903d91602b57fd5bf3", partA, partB
        );
    }

    // The template

    function test_the_template_is_no_channel() public {
        isNoChannel(factory.template());
    }

    function test_the_template_can_be_initialised_by_nobody() public {
        refusesToInitialise(factory.template());
    }

    function test_each_factory_has_a_template_of_its_own() public {
        IChannelFactory other = Deploy.factory(thd);
        vm.assertNotEq(other.template(), factory.template(), "template");
        // One factory is a stranger to the template of the other.
        refuses(
            factory.template(),
            address(other),
            abi.encodeCall(IChannelTemplate.initialise, (AMOUNT, AMOUNT)),
            abi.encodeWithSelector(IChannelTemplate.NotFactory.selector, address(other))
        );
    }

    function test_a_factory_needs_a_token_with_code() public {
        bytes memory code =
            bytes.concat(vm.getCode("src/ChannelFactory.sol:ChannelFactory"), abi.encode(IERC20(stranger)));
        vm.expectRevert(abi.encodeWithSelector(IOpeningErrors.TokenWithoutCode.selector, stranger));
        this.create(code);
    }

    function create(bytes memory code) external returns (address made) {
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    function test_the_factory_tells_its_token_and_template() public view {
        vm.assertEq(address(factory.token()), address(thd), "token");
        vm.assertTrue(factory.template().code.length > 0, "template");
    }

    // Clones

    function test_a_clone_is_initialised_once_even_for_the_factory() public {
        refuses(
            address(channel),
            address(factory),
            abi.encodeCall(IChannelTemplate.initialise, (AMOUNT, AMOUNT)),
            abi.encodeWithSelector(IChannelTemplate.AlreadyInitialised.selector)
        );
    }

    function test_a_clone_is_never_initialised_again_in_any_state() public {
        for (uint8 i = 0; i <= uint8(type(Stage).max); i++) {
            uint256 before = vm.snapshotState();
            bring(Stage(i));
            refuses(
                address(channel),
                address(factory),
                abi.encodeCall(IChannelTemplate.initialise, (AMOUNT, AMOUNT)),
                abi.encodeWithSelector(IChannelTemplate.AlreadyInitialised.selector)
            );
            vm.revertToState(before);
        }
    }

    function test_a_clone_can_be_initialised_by_nobody_else() public {
        refusesToInitialise(address(channel));
    }

    function test_a_clones_code_is_the_proxy_and_the_parties() public view {
        vm.assertEq(address(channel).code, cloneCode(a, b), "code");
    }

    function testFuzz_a_clone_knows_its_parties(address partA, address partB) public {
        vm.assume(partA != address(0) && partB != address(0) && partA != partB);
        vm.prank(partA);
        IPaymentChannel made = IPaymentChannel(factory.open(1, partB, 0, SALT));
        vm.assertEq(made.partA(), partA, "partA");
        vm.assertEq(made.partB(), partB, "partB");
    }

    function testFuzz_channelAddress_is_known_before(address partA, address partB, bytes32 salt) public {
        vm.assume(partA != address(0) && partB != address(0) && partA != partB);
        address expected = factory.channelAddress(partA, partB, salt);
        vm.assertEq(expected.code.length, 0, "not there yet");
        vm.prank(partA);
        vm.assertEq(factory.open(1, partB, 0, salt), expected, "channelAddress");
        vm.assertEq(factory.channelAddress(partA, partB, salt), expected, "the same afterwards");
    }

    function test_channelAddress_differs_by_each_of_its_arguments() public {
        address here = factory.channelAddress(a, b, SALT);
        vm.assertNotEq(factory.channelAddress(b, a, SALT), here, "by the order of the parties");
        vm.assertNotEq(factory.channelAddress(stranger, b, SALT), here, "by partA");
        vm.assertNotEq(factory.channelAddress(a, stranger, SALT), here, "by partB");
        vm.assertNotEq(factory.channelAddress(a, b, keccak256("another")), here, "by the salt");
        vm.assertNotEq(Deploy.factory(thd).channelAddress(a, b, SALT), here, "by the factory");
    }

    function test_nobody_else_can_take_a_channels_address() public {
        address mine = factory.channelAddress(a, b, SALT);
        vm.prank(stranger);
        address theirs = factory.open(AMOUNT, b, 0, SALT);
        vm.assertNotEq(theirs, mine, "address");
        vm.prank(a);
        vm.assertEq(factory.open(AMOUNT, b, 0, SALT), mine, "address");
    }

    // Proxies made by others

    function test_a_foreign_proxy_of_the_template_is_no_channel() public {
        address template = factory.template();
        address bare = Clones.clone(template);
        address withParties = Clones.cloneWithImmutableArgs(template, abi.encodePacked(a, b));
        vm.assertEq(withParties.code, cloneCode(a, b), "it looks like one");
        isNoChannel(bare);
        isNoChannel(withParties);
        refusesToInitialise(bare);
        refusesToInitialise(withParties);
    }

    function test_a_foreign_proxy_of_a_clone_or_a_stand_alone_channel_is_no_channel() public {
        activate();
        isNoChannel(Clones.clone(address(Deploy.paymentChannel(AMOUNT, a, b, thd))));
        // A proxy of a clone reads the clone's own code as its parties: still there is nothing behind it.
        isNoChannel(Clones.clone(address(channel)));
    }

    function test_code_and_state_can_be_forged_but_not_the_address() public {
        // Why a node must look at the address: this has the right code, says that it is ACTIVE, and holds nothing.
        activate();
        bytes32 slot;
        while (vm.load(address(channel), slot) == 0) slot = bytes32(uint256(slot) + 1);
        bytes32 word = vm.load(address(channel), slot);
        IPaymentChannel forged = IPaymentChannel(address(new Forger(address(channel).code, slot, word)));
        vm.assertEq(address(forged).code, address(channel).code, "code");
        vm.assertEq(uint256(forged.state()), uint256(IPaymentChannel.StateChannel.ACTIVE), "state");
        vm.assertEq(thd.balanceOf(address(forged)), 0, "THD");
        vm.assertNotEq(address(forged), address(channel), "address");
    }
}
