// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPaymentChannel} from "../../src/interfaces/IPaymentChannel.sol";
import {Cloned} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

/// @notice What a user pays for each kind of transaction.
/// @dev `isolate` makes forge run each call as a transaction of its own: everything it touches is cold, and what is
/// measured is what a receipt says, 21,000 and the calldata included and refunds taken off. The numbers are compared
/// with snapshots/Gas.json. See them with `node tools/forge.mjs test --match-path test/gas/Gas.t.sol -vv`; accept
/// new ones with FORGE_SNAPSHOT_CHECK=false FORGE_SNAPSHOT_EMIT=true in the environment.
///
/// Amounts, salts and signatures have few zero bytes, which are cheaper to send. The parties and, where it is paid
/// from, the channel hold THD already.
/// forge-config: default.isolate = true
contract GasTest is Cloned {
    uint256 private constant SUM = 9_876_543_210_987_654_321;
    uint256 private constant SHARE_A = 4_567_890_123_456_789_123;
    uint256 private constant SHARE_B = SUM - SHARE_A;
    uint256 private constant DEADLINE = 0xFEDCBA98;
    uint256 private constant NONCE = 0x1234567;

    event log_named_string(string key, string value);

    /// @dev Records the last call and refuses more than `limit`, the number of contract.md that is never passed.
    function record(string memory name, uint256 limit) private {
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        vm.assertGe(gas, 21_000, "not measured as a transaction of its own: is `isolate` on?");
        vm.assertLe(gas, limit, string.concat(name, ": never above"));
        vm.snapshotValue("Gas", name, gas);
        emit log_named_string(name, string.concat(vm.toString(gas), " gas, never above ", vm.toString(limit)));
    }

    // -----------------------------------------------------------------------------------------------------------
    // Opening
    // -----------------------------------------------------------------------------------------------------------

    function openWithPermit(uint256 deposit, string memory salt) private {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(A_KEY, address(factory), deposit, DEADLINE);
        vm.prank(a);
        factory.openWithPermit(SUM, b, deposit, keccak256(bytes(salt)), DEADLINE, v, r, s);
    }

    function open(uint256 allowance, uint256 deposit) private {
        vm.prank(a);
        thd.approve(address(factory), allowance);
        vm.prank(a);
        factory.open(SUM, b, deposit, keccak256("a salt"));
    }

    function test_openWithPermit_first() public {
        openWithPermit(SUM, "a salt");
        record("openWithPermit, first", 200_000);
    }

    function test_openWithPermit_repeated() public {
        openWithPermit(SUM, "a salt");
        openWithPermit(SUM, "another salt");
        record("openWithPermit, repeated", 183_000);
    }

    function test_openWithPermit_a_part() public {
        openWithPermit(SHARE_A, "a salt");
        record("openWithPermit, first, a part of the amount", 200_000);
    }

    function test_open_exact_allowance() public {
        open(SUM, SUM);
        record("open by allowance", 165_000);
    }

    function test_open_larger_allowance() public {
        open(SUM + SHARE_A, SUM);
        record("open by allowance, some of it left", 165_000);
    }

    function test_open_unlimited_allowance() public {
        open(type(uint256).max, SUM);
        record("open by allowance, unlimited", 165_000);
    }

    function test_open_a_part() public {
        open(SUM, SHARE_A);
        record("open by allowance, some of it left, a part of the amount", 165_000);
    }

    // -----------------------------------------------------------------------------------------------------------
    // Closing
    // -----------------------------------------------------------------------------------------------------------

    /// @dev An ACTIVE channel.
    function opened() private {
        open(SUM, SUM);
        channel = IPaymentChannel(factory.channelAddress(a, b, keccak256("a salt")));
    }

    function closing(uint256 nonce) private {
        bytes memory signature = sign(B_KEY, nonce, SHARE_A, SHARE_B);
        vm.prank(a);
        channel.closing(nonce, SHARE_A, SHARE_B, signature);
    }

    function test_closing() public {
        opened();
        closing(NONCE);
        record("closing", 65_000);
    }

    function test_closing_on_receipt_0() public {
        opened();
        vm.prank(b);
        channel.closing(0, SUM, 0, "");
        record("closing, on receipt 0", 65_000);
    }

    function test_closingProposal() public {
        opened();
        bytes memory signature = sign(B_KEY, NONCE, SHARE_A, SHARE_B);
        vm.prank(a);
        channel.closingProposal(NONCE, SHARE_A, SHARE_B, signature, SHARE_A - 12_345, SHARE_B + 12_345);
        record("closingProposal", 67_000);
    }

    function test_withdraw() public {
        opened();
        closing(NONCE);
        vm.roll(block.number + PERIOD);
        vm.prank(b);
        channel.withdraw();
        record("withdraw", 60_000);
    }

    function test_challenge() public {
        opened();
        closing(NONCE);
        bytes memory signature = sign(A_KEY, NONCE + 2, SHARE_A - 12_345, SHARE_B + 12_345);
        vm.prank(b);
        channel.challenge(NONCE + 2, SHARE_A - 12_345, SHARE_B + 12_345, signature);
        record("challenge", 75_000);
    }

    function test_FINAL() public {
        opened();
        closing(FINAL);
        record("FINAL", 80_000);
    }

    // -----------------------------------------------------------------------------------------------------------
    // Whole lives: everything that is sent to the chain, from the first opening with a permit to the payout
    // -----------------------------------------------------------------------------------------------------------

    /// @dev Begins a life. Returns what it has cost so far.
    function born() private returns (uint256 gas) {
        openWithPermit(SUM, "a salt");
        gas = vm.lastCallGas().gasTotalUsed;
        channel = IPaymentChannel(factory.channelAddress(a, b, keccak256("a salt")));
    }

    function recordLife(string memory name, uint256 before, uint256 limit) private {
        uint256 gas = before + vm.lastCallGas().gasTotalUsed;
        assertState(IPaymentChannel.StateChannel.CLOSED);
        vm.assertLe(gas, limit, string.concat(name, ": never above"));
        vm.snapshotValue("Gas", name, gas);
        emit log_named_string(name, string.concat(vm.toString(gas), " gas, never above ", vm.toString(limit)));
    }

    function test_life_with_FINAL() public {
        uint256 gas = born();
        closing(FINAL);
        recordLife("life: open with permit, FINAL", gas, 280_000);
    }

    function test_life_with_closing_and_withdraw() public {
        uint256 gas = born();
        closing(NONCE);
        gas += vm.lastCallGas().gasTotalUsed;
        vm.roll(block.number + PERIOD);
        vm.prank(b);
        channel.withdraw();
        recordLife("life: open with permit, closing, withdraw", gas, 325_000);
    }

    function test_life_with_closing_and_challenge() public {
        uint256 gas = born();
        closing(NONCE);
        gas += vm.lastCallGas().gasTotalUsed;
        bytes memory signature = sign(A_KEY, NONCE + 2, SHARE_A - 12_345, SHARE_B + 12_345);
        vm.prank(b);
        channel.challenge(NONCE + 2, SHARE_A - 12_345, SHARE_B + 12_345, signature);
        recordLife("life: open with permit, closing, challenge", gas, 340_000);
    }

    // -----------------------------------------------------------------------------------------------------------
    // What contract.md sets no limit for
    // -----------------------------------------------------------------------------------------------------------

    function test_fund() public {
        pay(a, PAID_A);
        vm.prank(b);
        thd.approve(address(channel), PAID_B);
        vm.prank(b);
        channel.fund(PAID_B);
        record("fund, the rest", type(uint64).max);
    }

    function test_fundWithPermit() public {
        pay(a, PAID_A);
        (uint8 v, bytes32 r, bytes32 s) = signPermit(B_KEY, address(channel), PAID_B, DEADLINE);
        vm.prank(b);
        channel.fundWithPermit(PAID_B, DEADLINE, v, r, s);
        record("fundWithPermit, first, the rest", type(uint64).max);
    }

    function test_cancel() public {
        pay(a, PAID_A);
        vm.prank(a);
        channel.cancel();
        record("cancel", type(uint64).max);
    }

    // -----------------------------------------------------------------------------------------------------------
    // The most that payouts take: receivers hold no THD. A node's gas limits rest on these (chain/guard)
    // -----------------------------------------------------------------------------------------------------------

    /// @dev `who` gives away all THD outside the channel.
    function empty(address who) private {
        uint256 held = thd.balanceOf(who);
        vm.prank(who);
        thd.transfer(stranger, held);
    }

    function test_withdraw_to_receivers_without_THD() public {
        opened();
        closing(NONCE);
        empty(a);
        empty(b);
        vm.roll(block.number + PERIOD);
        vm.prank(b);
        channel.withdraw();
        record("withdraw, receivers hold none", type(uint64).max);
    }

    function test_challenge_to_a_receiver_without_THD() public {
        opened();
        closing(NONCE);
        empty(b);
        bytes memory signature = sign(A_KEY, NONCE + 2, SHARE_A - 12_345, SHARE_B + 12_345);
        vm.prank(b);
        channel.challenge(NONCE + 2, SHARE_A - 12_345, SHARE_B + 12_345, signature);
        record("challenge, receiver holds none", type(uint64).max);
    }

    function test_FINAL_to_receivers_without_THD() public {
        opened();
        empty(a);
        empty(b);
        closing(FINAL);
        record("FINAL, receivers hold none", type(uint64).max);
    }

    function test_cancel_to_receivers_without_THD() public {
        pay(a, PAID_A);
        pay(b, PAID_B - 1);
        empty(a);
        empty(b);
        vm.prank(a);
        channel.cancel();
        record("cancel, receivers hold none", type(uint64).max);
    }
}
