// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {ChannelFixture} from "../support/ChannelFixture.sol";
import {Deploy} from "../support/Deploy.sol";
import {Cloned, StandAlone} from "../support/Kinds.sol";
import {BlockingToken, FalseToken, FeeToken, HookToken, SilentToken} from "../support/Tokens.sol";
import {vm} from "../support/Vm.sol";

/// @notice Tokens that are not like THD. docs/contract.md says what follows for each.
abstract contract TokensTest is ChannelFixture {
    /// @dev An ACTIVE channel in which A has paid in everything.
    function activeIn(HookToken token) private {
        channel = make(AMOUNT, a, b, token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        vm.prank(a);
        channel.fund(AMOUNT);
    }

    // A fee, a false, nothing at all

    function test_refuses_a_token_that_takes_a_fee() public {
        FeeToken token = new FeeToken();
        channel = make(AMOUNT, a, b, token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        uint256 held = AMOUNT - AMOUNT / 100;
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.fund, (AMOUNT)),
            abi.encodeWithSelector(IOpeningErrors.TokenShortfall.selector, held, AMOUNT)
        );
    }

    function test_refuses_a_token_that_begins_to_take_a_fee() public {
        // What arrives is more than this payment, but less than what both have paid in.
        FeeToken token = new FeeToken();
        channel = make(AMOUNT, a, b, token);
        address[2] memory parties = [a, b];
        for (uint256 i = 0; i < parties.length; i++) {
            token.mint(parties[i], AMOUNT);
            vm.prank(parties[i]);
            token.approve(address(channel), AMOUNT);
        }
        token.setFree(true);
        vm.prank(a);
        channel.fund(7 ether);
        token.setFree(false);
        uint256 held = AMOUNT - 3 ether / 100;
        refuses(
            b,
            abi.encodeCall(IPaymentChannel.fund, (3 ether)),
            abi.encodeWithSelector(IOpeningErrors.TokenShortfall.selector, held, AMOUNT)
        );
    }

    function test_refuses_a_token_that_says_false() public {
        FalseToken token = new FalseToken();
        channel = make(AMOUNT, a, b, token);
        bytes4 selector = SafeERC20.SafeERC20FailedOperation.selector;
        refuses(a, abi.encodeCall(IPaymentChannel.fund, (1)), abi.encodeWithSelector(selector, address(token)));
    }

    function test_works_with_a_token_that_says_nothing() public {
        SilentToken token = new SilentToken();
        channel = make(AMOUNT, a, b, IERC20(address(token)));
        token.mint(a, AMOUNT);
        vm.prank(a);
        channel.fund(AMOUNT);
        vm.assertEq(token.balanceOf(address(channel)), AMOUNT, "tokens of the channel");

        // It refuses transfers of nothing, and a share may be nothing.
        uint256 before = vm.snapshotState();
        for (uint256 shareA = 0; shareA <= AMOUNT; shareA += AMOUNT) {
            bytes memory signature = sign(B_KEY, FINAL, shareA, AMOUNT - shareA);
            vm.prank(a);
            channel.closing(FINAL, shareA, AMOUNT - shareA, signature);
            vm.assertEq(token.balanceOf(a), shareA, "tokens of A");
            vm.assertEq(token.balanceOf(b), AMOUNT - shareA, "tokens of B");
            vm.revertToState(before);
        }
    }

    function test_a_token_that_says_false_when_it_pays_out_pays_nobody() public {
        FalseToken token = new FalseToken();
        channel = make(AMOUNT, a, b, token);
        token.mint(a, AMOUNT);
        token.obey(true);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        vm.prank(a);
        channel.fund(AMOUNT);
        token.obey(false);
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.closing, (FINAL, AMOUNT, 0, sign(B_KEY, FINAL, AMOUNT, 0))),
            abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token))
        );
        assertState(IPaymentChannel.StateChannel.ACTIVE);
    }

    // One that reverts for one party

    function test_a_token_that_blocks_one_party_keeps_both_waiting() public {
        // One transaction pays both or neither. THD blocks nobody; in a token that does, the money waits until it
        // no longer does, and nothing else is possible meanwhile.
        BlockingToken token = new BlockingToken();
        channel = make(AMOUNT, a, b, token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        vm.prank(a);
        channel.fund(AMOUNT);
        closeByA();
        vm.roll(block.number + PERIOD);
        token.setBlocked(b, true);
        bytes memory expected = abi.encodeWithSelector(BlockingToken.Blocked.selector, b);
        refuses(a, abi.encodeCall(IPaymentChannel.withdraw, ()), expected);
        assertState(IPaymentChannel.StateChannel.CLOSING);
        vm.assertEq(token.balanceOf(address(channel)), AMOUNT, "tokens of the channel");
        token.setBlocked(b, false);
        vm.prank(a);
        channel.withdraw();
        vm.assertEq(token.balanceOf(a), 6 ether, "tokens of A");
        vm.assertEq(token.balanceOf(b), 4 ether, "tokens of B");
    }

    function test_a_blocked_party_without_a_share_is_in_nobodys_way() public {
        BlockingToken token = new BlockingToken();
        channel = make(AMOUNT, a, b, token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        vm.prank(a);
        channel.fund(AMOUNT);
        token.setBlocked(b, true);
        bytes memory signature = sign(B_KEY, FINAL, AMOUNT, 0);
        vm.prank(a);
        channel.closing(FINAL, AMOUNT, 0, signature);
        vm.assertEq(token.balanceOf(a), AMOUNT, "tokens of A");
    }

    // One that calls back

    function test_a_payment_counts_before_the_token_is_called() public {
        // In the middle of A's payment somebody, allowed to, tries the function that pays out to both. The channel
        // knows of the payment already, cannot pay that much, and the call fails.
        HookToken token = new HookToken();
        channel = make(AMOUNT, a, address(token), token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        token.arm(address(channel), abi.encodeCall(IPaymentChannel.cancel, ()));
        vm.prank(a);
        channel.fund(7 ether);
        vm.assertFalse(token.hookSucceeded(), "cancel went through");
        assertState(IPaymentChannel.StateChannel.EMPTY);
        assertBalances(7 ether, 0);
        vm.assertEq(token.balanceOf(address(channel)), 7 ether, "tokens of the channel");
    }

    /// @dev That while `call` pays out, `inner` is refused, and both get exactly their shares.
    function paysOnce(HookToken token, bytes memory call, bytes memory inner, uint256 toA) private {
        token.arm(address(channel), inner);
        vm.prank(a);
        (bool done,) = address(channel).call(call);
        vm.assertTrue(done, "the outer call");
        vm.assertTrue(token.hookRan(), "the token has called back");
        vm.assertFalse(token.hookSucceeded(), "the inner call went through");
        assertState(IPaymentChannel.StateChannel.CLOSED);
        vm.assertEq(token.balanceOf(a), toA, "tokens of A");
        vm.assertEq(token.balanceOf(b), AMOUNT - toA, "tokens of B");
        vm.assertEq(token.balanceOf(address(channel)), 0, "tokens of the channel");
    }

    function test_nothing_can_be_paid_out_again_from_within_a_payout() public {
        HookToken token = new HookToken();
        activeIn(token);
        bytes memory fourByB = sign(B_KEY, 4, 6 ether, 4 ether);
        bytes[5] memory inner = [
            abi.encodeCall(IPaymentChannel.withdraw, ()),
            abi.encodeCall(IPaymentChannel.challenge, (5, 0, AMOUNT, sign(A_KEY, 5, 0, AMOUNT))),
            abi.encodeCall(IPaymentChannel.closing, (4, 6 ether, 4 ether, fourByB)),
            abi.encodeCall(IPaymentChannel.cancel, ()),
            abi.encodeCall(IPaymentChannel.fund, (0))
        ];
        bytes memory finalByB = sign(B_KEY, FINAL, 6 ether, 4 ether);
        for (uint256 i = 0; i < inner.length; i++) {
            uint256 active = vm.snapshotState();
            paysOnce(
                token, abi.encodeCall(IPaymentChannel.closing, (FINAL, 6 ether, 4 ether, finalByB)), inner[i], 6 ether
            );
            vm.revertToState(active);
            vm.prank(a);
            channel.closing(4, 6 ether, 4 ether, fourByB);
            uint256 closing = vm.snapshotState();
            vm.roll(block.number + PERIOD);
            paysOnce(token, abi.encodeCall(IPaymentChannel.withdraw, ()), inner[i], 6 ether);
            vm.revertToState(closing);
            bytes memory five = sign(A_KEY, 5, 5 ether, 5 ether);
            paysOnce(token, abi.encodeCall(IPaymentChannel.challenge, (5, 5 ether, 5 ether, five)), inner[i], 0);
            vm.revertToState(active);
        }
    }

    function test_a_token_that_calls_back_from_its_permit_finds_nothing_begun() public {
        // The token is a party here, so that what it calls is allowed. The payment then finds the channel CLOSED.
        HookToken token = new HookToken();
        channel = make(AMOUNT, a, address(token), token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(channel), AMOUNT);
        token.armPermit(address(channel), abi.encodeCall(IPaymentChannel.cancel, ()));
        refuses(
            a,
            abi.encodeCall(IPaymentChannel.fundWithPermit, (7 ether, block.timestamp, 27, bytes32(0), bytes32(0))),
            abi.encodeWithSelector(
                IPaymentChannel.WrongState.selector,
                IPaymentChannel.StateChannel.EMPTY,
                IPaymentChannel.StateChannel.CLOSED
            )
        );
        vm.assertEq(token.balanceOf(a), AMOUNT, "tokens of A");
    }
}

contract TokensStandAloneTest is TokensTest, StandAlone {}

contract TokensClonedTest is TokensTest, Cloned {
    bytes32 private constant SALT = keccak256("a salt");

    function test_open_refuses_a_token_that_takes_a_fee() public {
        FeeToken token = new FeeToken();
        IChannelFactory other = Deploy.factory(token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(other), AMOUNT);
        uint256 held = AMOUNT - AMOUNT / 100;
        refuses(
            address(other),
            a,
            abi.encodeCall(IChannelFactory.open, (AMOUNT, b, AMOUNT, SALT)),
            abi.encodeWithSelector(IOpeningErrors.TokenShortfall.selector, held, AMOUNT)
        );
    }

    function test_while_the_deposit_is_on_its_way_the_channel_pays_nothing_out() public {
        // A token with hooks lets A act between the channel's beginning and the arrival of the deposit.
        HookToken token = new HookToken();
        IChannelFactory other = Deploy.factory(token);
        token.mint(a, AMOUNT);
        vm.prank(a);
        token.approve(address(other), AMOUNT);
        address expected = other.channelAddress(a, address(token), SALT);
        token.arm(expected, abi.encodeCall(IPaymentChannel.cancel, ()));
        vm.prank(a);
        other.open(AMOUNT, address(token), 7 ether, SALT);
        vm.assertFalse(token.hookSucceeded(), "cancel went through");
        vm.assertEq(token.balanceOf(expected), 7 ether, "tokens of the channel");
    }

    function test_open_refuses_a_token_that_says_false() public {
        FalseToken token = new FalseToken();
        refuses(
            address(Deploy.factory(token)),
            a,
            abi.encodeCall(IChannelFactory.open, (AMOUNT, b, AMOUNT, SALT)),
            abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token))
        );
    }

    function test_open_works_with_a_token_that_says_nothing() public {
        SilentToken token = new SilentToken();
        IChannelFactory other = Deploy.factory(IERC20(address(token)));
        token.mint(a, AMOUNT);
        vm.prank(a);
        address opened = other.open(AMOUNT, b, AMOUNT, SALT);
        vm.assertEq(token.balanceOf(opened), AMOUNT, "tokens of the channel");
    }
}
