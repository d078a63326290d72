#!/usr/bin/env node
// The Solidity compiler as forge wants to find it: a program that answers `--version`, and reads
// standard JSON on stdin. forge would download a native compiler; this one is in package-lock.json.
"use strict";

const { readFileSync } = require("node:fs");
const solc = require("solc");

if (process.argv.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
}
