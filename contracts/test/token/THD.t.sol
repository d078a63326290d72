// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

import {ITHD} from "../support/Deploy.sol";
import {StandAlone} from "../support/Kinds.sol";
import {vm} from "../support/Vm.sol";

contract THDTest is StandAlone {
    function test_name_symbol_and_decimals() public view {
        IERC20Metadata token = IERC20Metadata(address(thd));
        vm.assertEq(token.name(), "Thunder", "name");
        vm.assertEq(token.symbol(), "THD", "symbol");
        vm.assertEq(token.decimals(), 18, "decimals");
    }

    function test_the_owner_mints() public {
        uint256 supply = thd.totalSupply();
        thd.mint(a, 100 ether);
        vm.assertEq(thd.balanceOf(a), WEALTH + 100 ether, "THD of A");
        vm.assertEq(thd.totalSupply(), supply + 100 ether, "supply");
    }

    function test_refuses_to_mint_for_anybody_else() public {
        refuses(
            address(thd),
            stranger,
            abi.encodeCall(ITHD.mint, (stranger, 1)),
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger)
        );
    }

    function test_the_owner_is_the_one_given() public {
        bytes memory args = abi.encode(stranger);
        Ownable token = Ownable(vm.deployCode("src/THD.sol:THD", args));
        vm.assertEq(token.owner(), stranger, "owner");
    }

    function test_starts_with_nothing_minted() public {
        bytes memory args = abi.encode(stranger);
        vm.assertEq(ITHD(vm.deployCode("src/THD.sol:THD", args)).totalSupply(), 0, "supply");
    }

    function test_the_domain_of_its_permits() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Thunder"),
                keccak256("1"),
                block.chainid,
                address(thd)
            )
        );
        vm.assertEq(thd.DOMAIN_SEPARATOR(), domain, "DOMAIN_SEPARATOR");
    }

    function test_takes_EIP_2612_permits() public {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(A_KEY, stranger, 5 ether, block.timestamp);
        thd.permit(a, stranger, 5 ether, block.timestamp, v, r, s);
        vm.assertEq(thd.allowance(a, stranger), 5 ether, "allowance");
        vm.assertEq(thd.nonces(a), 1, "nonce");
    }
}
