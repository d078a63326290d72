// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Keeps one percent of every transfer, unless told not to.
contract FeeToken is ERC20 {
    bool private _free;

    constructor() ERC20("Fee", "FEE") {}

    function setFree(bool free) external {
        _free = free;
    }

    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (_free || from == address(0) || to == address(0)) return super._update(from, to, value);
        super._update(from, to, value - value / 100);
        super._update(from, address(0), value / 100);
    }
}

/// @notice Says false, and moves nothing, where it should revert; unless told to behave.
contract FalseToken is ERC20 {
    bool private _obeys;

    constructor() ERC20("False", "FALSE") {}

    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    function obey(bool obeys) external {
        _obeys = obeys;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        return _obeys && super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        return _obeys && super.transferFrom(from, to, value);
    }
}

/// @notice Lets its issuer block accounts, as some stablecoins do.
contract BlockingToken is ERC20 {
    error Blocked(address account);

    mapping(address => bool) private _blocked;

    constructor() ERC20("Blocking", "BLOCK") {}

    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    function setBlocked(address account, bool blocked) external {
        _blocked[account] = blocked;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (_blocked[to]) revert Blocked(to);
        super._update(from, to, value);
    }
}

/// @notice Returns nothing from its transfers, as some old tokens do, and refuses transfers of nothing.
contract SilentToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
    }

    function transfer(address to, uint256 value) external {
        _move(msg.sender, to, value);
    }

    function transferFrom(address from, address to, uint256 value) external {
        _move(from, to, value);
    }

    function _move(address from, address to, uint256 value) private {
        require(value != 0, "nothing to transfer");
        balanceOf[from] -= value;
        balanceOf[to] += value;
    }
}

/// @notice Runs a call of the test's choice, as the hooks of ERC-777 would, in the middle of a transfer.
contract HookToken is ERC20 {
    address private _target;
    bytes private _call;
    bytes private _permitCall;
    bool public hookRan;
    bool public hookSucceeded;

    constructor() ERC20("Hook", "HOOK") {}

    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    /// @dev The next transfer makes this call before it moves anything.
    function arm(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function _update(address from, address to, uint256 value) internal override {
        address target = _target;
        if (target != address(0)) {
            _target = address(0);
            (hookRan, hookSucceeded) = (true, false);
            (hookSucceeded,) = target.call(_call);
        }
        super._update(from, to, value);
    }

    /// @dev The next permit makes this call, and gives no allowance.
    function armPermit(address target, bytes calldata call) external {
        (_target, _permitCall) = (target, call);
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external {
        address target = _target;
        _target = address(0);
        (bool done,) = target.call(_permitCall);
        require(done, "the call from the permit failed");
    }
}
