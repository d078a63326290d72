// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {Deploy, ITHD} from "./Deploy.sol";
import {vm} from "./Vm.sol";

/// @title Two parties, a stranger, THD, a factory, and a channel that a test can bring into any state
/// @notice The channel is of the kind that {StandAlone} or {Cloned} makes: a suite is an abstract contract, and runs
/// once for each kind.
abstract contract ChannelFixture {
    /// @dev The ways in which a channel can be in one of its states.
    enum Stage {
        EMPTY,
        PARTLY_FUNDED,
        ACTIVE,
        CLOSING_BY_A,
        CLOSING_BY_B,
        CANCELLED,
        WITHDRAWN,
        CHALLENGED,
        FINALISED
    }

    uint256 internal constant A_KEY = 0xA11CE;
    uint256 internal constant B_KEY = 0xB0B;
    uint256 internal constant STRANGER_KEY = 0x5724;

    /// @dev What the channel is to hold, and what A and B have paid in once it is ACTIVE.
    uint256 internal constant AMOUNT = 10 ether;
    uint256 internal constant PAID_A = 7 ether;
    uint256 internal constant PAID_B = 3 ether;
    uint256 internal constant WEALTH = 1_000_000_000 ether;

    uint256 internal constant FINAL = type(uint40).max;
    uint256 internal constant MAX_AMOUNT = type(uint88).max;
    uint256 internal constant PERIOD = 24;

    address internal immutable a = vm.addr(A_KEY);
    address internal immutable b = vm.addr(B_KEY);
    address internal immutable stranger = vm.addr(STRANGER_KEY);

    ITHD internal thd;
    IChannelFactory internal factory;
    IPaymentChannel internal channel;

    function setUp() public virtual {
        thd = Deploy.thd(address(this));
        factory = Deploy.factory(thd);
        thd.mint(a, WEALTH);
        thd.mint(b, WEALTH);
        thd.mint(stranger, WEALTH);
        channel = make(AMOUNT, a, b, thd);
    }

    /// @dev A new EMPTY channel with nothing paid in.
    function make(uint256 amount, address partA, address partB, IERC20 token) internal virtual returns (IPaymentChannel);

    // -----------------------------------------------------------------------------------------------------------
    // Bringing the channel into a state
    // -----------------------------------------------------------------------------------------------------------

    function pay(address who, uint256 value) internal {
        vm.prank(who);
        thd.approve(address(channel), value);
        vm.prank(who);
        channel.fund(value);
    }

    function activate() internal {
        pay(a, PAID_A);
        pay(b, PAID_B);
    }

    /// @dev A closes on receipt 4 with 6 for A and 4 for B.
    function closeByA() internal {
        bytes memory signature = sign(B_KEY, 4, 6 ether, 4 ether);
        vm.prank(a);
        channel.closing(4, 6 ether, 4 ether, signature);
    }

    /// @dev B closes on receipt 4 with 6 for A and 4 for B.
    function closeByB() internal {
        bytes memory signature = sign(A_KEY, 4, 6 ether, 4 ether);
        vm.prank(b);
        channel.closing(4, 6 ether, 4 ether, signature);
    }

    function bring(Stage stage) internal {
        if (stage == Stage.EMPTY) return;
        if (stage == Stage.PARTLY_FUNDED) return pay(a, PAID_A);
        if (stage == Stage.CANCELLED) {
            pay(a, PAID_A);
            vm.prank(b);
            return channel.cancel();
        }
        activate();
        if (stage == Stage.ACTIVE) return;
        if (stage == Stage.FINALISED) {
            bytes memory finalSignature = sign(B_KEY, FINAL, 6 ether, 4 ether);
            vm.prank(a);
            return channel.closing(FINAL, 6 ether, 4 ether, finalSignature);
        }
        if (stage == Stage.CLOSING_BY_B) return closeByB();
        closeByA();
        if (stage == Stage.CLOSING_BY_A) return;
        if (stage == Stage.CHALLENGED) {
            return channel.challenge(5, 5 ether, 5 ether, sign(A_KEY, 5, 5 ether, 5 ether));
        }
        vm.roll(block.number + PERIOD);
        channel.withdraw();
    }

    function stateOf(Stage stage) internal pure returns (IPaymentChannel.StateChannel) {
        if (stage <= Stage.PARTLY_FUNDED) return IPaymentChannel.StateChannel.EMPTY;
        if (stage == Stage.ACTIVE) return IPaymentChannel.StateChannel.ACTIVE;
        if (stage <= Stage.CLOSING_BY_B) return IPaymentChannel.StateChannel.CLOSING;
        return IPaymentChannel.StateChannel.CLOSED;
    }

    // -----------------------------------------------------------------------------------------------------------
    // Signatures
    // -----------------------------------------------------------------------------------------------------------

    function sign(uint256 key, uint256 nonce, uint256 balanceA, uint256 balanceB) internal view returns (bytes memory) {
        return signDigest(key, channel.digest(nonce, balanceA, balanceB));
    }

    function signDigest(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function permitDigest(address owner, address spender, uint256 value, uint256 deadline)
        internal
        view
        returns (bytes32)
    {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, owner, spender, value, thd.nonces(owner), deadline));
        return keccak256(abi.encodePacked(hex"1901", thd.DOMAIN_SEPARATOR(), structHash));
    }

    function signPermit(uint256 key, address spender, uint256 value, uint256 deadline)
        internal
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        return vm.sign(key, permitDigest(vm.addr(key), spender, value, deadline));
    }

    // -----------------------------------------------------------------------------------------------------------
    // Expectations
    // -----------------------------------------------------------------------------------------------------------

    /// @dev That `target` refuses the call with exactly this error.
    function refuses(address target, address who, bytes memory call, bytes memory expected) internal {
        vm.prank(who);
        (bool done, bytes memory data) = target.call(call);
        vm.assertFalse(done, "the call should have been refused");
        vm.assertEq(data, expected, "refused, but with another error");
    }

    /// @dev That the channel refuses the call with exactly this error.
    function refuses(address who, bytes memory call, bytes memory expected) internal {
        refuses(address(channel), who, call, expected);
    }

    /// @dev That both parties are refused in every state but `required`.
    function refusesOutside(IPaymentChannel.StateChannel required, bytes memory call) internal {
        for (uint8 i = 0; i <= uint8(type(Stage).max); i++) {
            IPaymentChannel.StateChannel actual = stateOf(Stage(i));
            if (actual == required) continue;
            uint256 before = vm.snapshotState();
            bring(Stage(i));
            bytes memory expected = abi.encodeWithSelector(IPaymentChannel.WrongState.selector, required, actual);
            refuses(a, call, expected);
            refuses(b, call, expected);
            vm.revertToState(before);
        }
    }

    function refusesStranger(bytes memory call) internal {
        refuses(stranger, call, abi.encodeWithSelector(IPaymentChannel.NotParty.selector, stranger));
    }

    /// @dev That the channel's next event is the one emitted after this.
    function expectEvent() internal {
        vm.expectEmit(true, true, true, true, address(channel));
    }

    function assertState(IPaymentChannel.StateChannel expected) internal view {
        vm.assertEq(uint256(channel.state()), uint256(expected), "state");
    }

    function assertBalances(uint256 balanceA, uint256 balanceB) internal view {
        vm.assertEq(channel.balanceA(), balanceA, "balanceA");
        vm.assertEq(channel.balanceB(), balanceB, "balanceB");
    }

    /// @dev What A, B and the channel hold, measured from what the parties had before they paid in.
    function assertPaidOut(uint256 toA, uint256 toB) internal view {
        assertState(IPaymentChannel.StateChannel.CLOSED);
        assertBalances(toA, toB);
        vm.assertEq(thd.balanceOf(address(channel)), 0, "THD left in the channel");
        vm.assertEq(thd.balanceOf(a), WEALTH - PAID_A + toA, "THD of A");
        vm.assertEq(thd.balanceOf(b), WEALTH - PAID_B + toB, "THD of B");
        vm.assertEq(thd.balanceOf(stranger), WEALTH, "THD of the stranger");
    }

    /// @dev A number between `low` and `high`, both included.
    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        if (low == 0 && high == type(uint256).max) return x;
        return low + x % (high - low + 1);
    }
}
