// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";

import {IChannelFactory} from "../../src/interfaces/IChannelFactory.sol";
import {IOpeningErrors} from "../../src/interfaces/IOpeningErrors.sol";
import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {Cloned} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

contract OpenTest is Cloned {
    bytes32 private constant SALT = keccak256("a salt");

    function open(uint256 amount, address partB, uint256 deposit) private pure returns (bytes memory) {
        return abi.encodeCall(IChannelFactory.open, (amount, partB, deposit, SALT));
    }

    function opened(uint256 amount, uint256 deposit) private {
        vm.prank(a);
        thd.approve(address(factory), deposit);
        address expected = factory.channelAddress(a, b, SALT);
        bool full = deposit == amount;
        IPaymentChannel.StateChannel state =
            full ? IPaymentChannel.StateChannel.ACTIVE : IPaymentChannel.StateChannel.EMPTY;

        vm.expectEmit(true, true, true, true, address(factory));
        emit IChannelFactory.Opened(a, b, expected, amount);
        if (deposit != 0) {
            vm.expectEmit(true, true, true, true, expected);
            emit IPaymentChannel.Funded(a, b, deposit, 0, state);
        }
        vm.prank(a);
        channel = IPaymentChannel(factory.open(amount, b, deposit, SALT));

        vm.assertEq(address(channel), expected, "where channelAddress says");
        vm.assertEq(channel.partA(), a, "the caller is partA");
        vm.assertEq(channel.partB(), b, "partB");
        vm.assertEq(channel.amount(), amount, "amount");
        vm.assertEq(address(channel.token()), address(thd), "token");
        vm.assertEq(channel.Nonce(), 0, "Nonce");
        vm.assertEq(channel.closingBlock(), 0, "closingBlock");
        assertState(state);
        assertBalances(deposit, 0);
        vm.assertEq(thd.balanceOf(address(channel)), deposit, "THD of the channel");
        vm.assertEq(thd.balanceOf(a), WEALTH - deposit, "THD of A");
        vm.assertEq(thd.allowance(a, address(factory)), 0, "allowance");
    }

    function test_a_full_deposit_makes_it_ACTIVE_at_once() public {
        opened(AMOUNT, AMOUNT);
    }

    function test_a_part_leaves_it_EMPTY() public {
        opened(AMOUNT, 7 ether);
        pay(b, 3 ether);
        assertState(IPaymentChannel.StateChannel.ACTIVE);
        assertBalances(7 ether, 3 ether);
    }

    function test_no_deposit_at_all() public {
        opened(AMOUNT, 0);
    }

    function test_no_deposit_is_no_payment() public {
        vm.recordLogs();
        vm.prank(a);
        factory.open(AMOUNT, b, 0, SALT);
        vm.assertEq(vm.getRecordedLogs().length, 1, "Opened, and no Funded");
    }

    function test_the_largest_amount() public {
        opened(MAX_AMOUNT, MAX_AMOUNT);
    }

    function test_a_deposit_can_be_taken_back_by_cancel() public {
        opened(AMOUNT, 7 ether);
        vm.prank(b);
        channel.cancel();
        vm.assertEq(thd.balanceOf(a), WEALTH, "THD of A");
    }

    function test_a_full_word_is_all_that_a_full_deposit_writes() public {
        // Neither the deposit nor what is still missing has a slot of its own.
        opened(AMOUNT, AMOUNT);
        uint256 written;
        for (uint256 slot = 0; slot < 8; slot++) {
            if (vm.load(address(channel), bytes32(slot)) != 0) written++;
        }
        vm.assertEq(written, 1, "storage words");
    }

    function test_refuses_a_zero_amount() public {
        refuses(address(factory), a, open(0, b, 0), abi.encodeWithSelector(IOpeningErrors.ZeroAmount.selector));
    }

    function test_refuses_an_amount_that_does_not_fit() public {
        refuses(
            address(factory),
            a,
            open(MAX_AMOUNT + 1, b, 0),
            abi.encodeWithSelector(IOpeningErrors.AmountTooLarge.selector, MAX_AMOUNT + 1, MAX_AMOUNT)
        );
    }

    function test_refuses_the_zero_address_as_partB() public {
        refuses(
            address(factory),
            a,
            open(AMOUNT, address(0), 0),
            abi.encodeWithSelector(IOpeningErrors.ZeroParty.selector, a, address(0))
        );
    }

    function test_refuses_a_channel_with_oneself() public {
        refuses(address(factory), a, open(AMOUNT, a, 0), abi.encodeWithSelector(IOpeningErrors.SameParty.selector, a));
    }

    function test_refuses_a_deposit_above_the_amount() public {
        vm.prank(a);
        thd.approve(address(factory), AMOUNT + 1);
        refuses(
            address(factory),
            a,
            open(AMOUNT, b, AMOUNT + 1),
            abi.encodeWithSelector(IOpeningErrors.AmountExceeded.selector, AMOUNT + 1, AMOUNT)
        );
    }

    function test_refuses_a_salt_used_before_between_the_two() public {
        opened(AMOUNT, 0);
        refuses(address(factory), a, open(AMOUNT, b, 0), abi.encodeWithSelector(Errors.FailedDeployment.selector));
        // Others may use it.
        vm.prank(b);
        factory.open(AMOUNT, a, 0, SALT);
        vm.prank(a);
        factory.open(AMOUNT, stranger, 0, SALT);
    }

    function test_passes_on_what_the_token_says() public {
        bytes4 selector = IERC20Errors.ERC20InsufficientAllowance.selector;
        refuses(address(factory), a, open(AMOUNT, b, 5), abi.encodeWithSelector(selector, address(factory), 0, 5));
    }

    function test_an_allowance_for_the_factory_is_of_no_use_to_others() public {
        vm.prank(a);
        thd.approve(address(factory), type(uint256).max);
        refuses(
            address(factory),
            b,
            abi.encodeCall(IChannelFactory.open, (AMOUNT, a, AMOUNT, SALT)),
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(factory), 0, AMOUNT)
        );
    }

    function testFuzz_any_terms(uint256 amount, uint256 deposit) public {
        amount = bound(amount, 1, MAX_AMOUNT);
        opened(amount, bound(deposit, 0, amount));
    }
}
