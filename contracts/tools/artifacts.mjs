#!/usr/bin/env node
// The compiled contracts that are committed under artifacts/, for those who have no Solidity compiler at hand: the
// node and the deploy tool are built with them.
//
//   node tools/artifacts.mjs write    compiles the sources and writes artifacts/
//   node tools/artifacts.mjs check    compiles the sources; exits 1, naming the files, if artifacts/ differs

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { forge, root } from "./forge.mjs";

const CONTRACTS = ["ChannelFactory", "ChannelStates", "ChannelTemplate", "PaymentChannel", "THD"];
const folder = join(root, "artifacts");

/** Compiles the contracts, without a cache and without the tests, and returns file name -> text. */
function compile() {
  const out = mkdtempSync(join(tmpdir(), "thunder-artifacts-"));
  try {
    const sources = CONTRACTS.map((name) => `src/${name}.sol`);
    const paths = ["--out", join(out, "out"), "--cache-path", join(out, "cache")];
    const code = forge(["build", ...sources, ...paths, "--force", "--quiet"]);
    if (code !== 0) throw new Error(`forge build failed with exit code ${code}`);
    return new Map(
      CONTRACTS.map((name) => {
        const built = JSON.parse(readFileSync(join(out, "out", `${name}.sol`, `${name}.json`), "utf8"));
        return [`${name}.json`, `${JSON.stringify(artifact(name, built), null, 2)}\n`];
      }),
    );
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** What is kept of what forge writes: nothing that depends on the machine, or on what else was compiled. */
function artifact(contractName, { abi, bytecode, deployedBytecode, metadata, rawMetadata }) {
  const { evmVersion, optimizer, viaIR } = metadata.settings;
  return {
    contractName,
    compiler: { name: "solc", version: metadata.compiler.version, evmVersion, optimizer, viaIR },
    abi,
    // Only the compiler's own text has the events and errors, too.
    documentation: documentation(JSON.parse(rawMetadata).output),
    bytecode: bytecode.object,
    deployedBytecode: deployedBytecode.object,
    // Where a deployed contract's code has values in place of the zeroes above.
    immutables: Object.values(deployedBytecode.immutableReferences ?? {})
      .flat()
      .sort((left, right) => left.start - right.start),
  };
}

/** What the sources say of it (NatSpec): function, event or error -> signature -> text. */
function documentation({ userdoc, devdoc }) {
  const text = (user, developer) => [user?.notice, developer?.details].filter(Boolean).join(" ");
  const all = (kind) => {
    const [user, developer] = [userdoc?.[kind] ?? {}, devdoc?.[kind] ?? {}];
    const signatures = [...new Set([...Object.keys(user), ...Object.keys(developer)])].sort();
    // There may be several errors with one signature, declared in several places.
    const one = (side, signature) => [side[signature] ?? []].flat()[0];
    const pairs = signatures.map((signature) => [signature, text(one(user, signature), one(developer, signature))]);
    return Object.fromEntries(pairs.filter(([, words]) => words));
  };
  const { constructor, ...functions } = all("methods");
  return { constructor: { ...(constructor && { constructor }) }, function: functions, event: all("events"), error: all("errors") };
}

function write() {
  mkdirSync(folder, { recursive: true });
  const artifacts = compile();
  for (const [file, text] of artifacts) writeFileSync(join(folder, file), text);
  console.log(`wrote ${[...artifacts.keys()].map((file) => `artifacts/${file}`).join(", ")}`);
}

function check() {
  const artifacts = compile();
  const found = new Map(existing().map((file) => [file, readFileSync(join(folder, file), "utf8")]));
  const wrong = [];
  for (const [file, text] of artifacts) {
    if (!found.has(file)) wrong.push(`artifacts/${file} is missing`);
    else if (found.get(file) !== text) wrong.push(`artifacts/${file} is stale: it is not what the sources compile to`);
  }
  for (const file of found.keys()) {
    if (!artifacts.has(file)) wrong.push(`artifacts/${file} belongs to no contract`);
  }
  if (wrong.length === 0) {
    console.log(`artifacts/ is what the sources compile to (${artifacts.size} files)`);
    return;
  }
  console.error(`${wrong.join("\n")}\nRun \`node tools/artifacts.mjs write\` in contracts/ and commit the result.`);
  process.exitCode = 1;
}

function existing() {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name).sort();
  } catch {
    return [];
  }
}

const commands = { write, check };
const command = commands[process.argv[2]];
if (command && process.argv.length === 3) {
  try {
    command();
  } catch (error) {
    console.error(`artifacts: ${error.message}`);
    process.exitCode = 1;
  }
} else {
  console.error("usage: node tools/artifacts.mjs write | check");
  process.exitCode = 2;
}
