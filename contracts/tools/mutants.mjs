#!/usr/bin/env node
// Whether the tests would notice: spoils the contracts in one place at a time, and runs the Foundry suite on each.
//
//   node tools/mutants.mjs             all mutants; exits 1, naming them, if the suite passes on any
//   node tools/mutants.mjs 3 17-20     these only
//   node tools/mutants.mjs --list      what they are
//
// The list is mutants.json beside this file: a file of src/, a text that occurs in it once, and what stands there
// instead. Everything happens in copies in the temporary folder, MUTANT_JOBS (2) at a time. It takes some 20 seconds a
// mutant, most of it the compiler's, so CI does not run it. Gas and artifacts are left out: they would differ for any
// change, and prove nothing. Fuzz and invariant runs are fewer than usual, and the compiler optimises as little as it
// can.

import { spawn } from "node:child_process";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { forgeBinary, root } from "./forge.mjs";

const MUTANTS = JSON.parse(readFileSync(join(root, "tools", "mutants.json"), "utf8"));
const SUITES = [
  ["--no-match-path", "test/{Artifacts*,gas/*,invariant/*}"],
  ["--match-path", "test/invariant/*"],
];
const QUICK = `
[profile.default.optimizer_details]
peephole = false
inliner = false
jumpdestRemover = false
orderLiterals = false
deduplicate = false
cse = false
constantOptimizer = false
yul = true
[profile.default.optimizer_details.yulDetails]
stackAllocation = true
optimizerSteps = "u"
`;
const LIMITS = { FOUNDRY_FUZZ_RUNS: "64", FOUNDRY_INVARIANT_RUNS: "24", FORGE_SNAPSHOT_CHECK: "false" };

/** A copy of what the suite needs, its builds included: only what a mutant touches is compiled again. */
function copy() {
  const folder = mkdtempSync(join(tmpdir(), "thunder-mutants-"));
  for (const name of ["src", "test", "tools", "foundry.toml", "package.json", "artifacts", "snapshots"]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  appendFileSync(join(folder, "foundry.toml"), QUICK);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

function forge(folder, args) {
  return new Promise((resolve, reject) => {
    const run = spawn(forgeBinary(), args, { cwd: folder, env: { ...process.env, ...LIMITS } });
    let output = "";
    run.stdout.on("data", (data) => (output += data));
    run.stderr.on("data", (data) => (output += data));
    run.on("error", reject);
    run.on("close", (code) => resolve({ code, output }));
  });
}

/** Runs the suite; undefined if it passes, else the first test that fails. */
async function firstFailure(folder) {
  for (const paths of SUITES) {
    const { code, output } = await forge(folder, ["test", "--fail-fast", "--color", "never", ...paths]);
    if (code === 0) continue;
    const failure = output.split("\n").find((line) => line.startsWith("[FAIL"));
    if (!failure) throw new Error(`forge failed, but no test did:\n${output}`);
    return /(\w+)\([^()]*\) \([^()]*\)$/.exec(failure)?.[1] ?? failure;
  }
  return undefined;
}

function spoil(folder, { file, from, to }) {
  const path = join(folder, "src", file);
  const source = readFileSync(path, "utf8");
  if (source.split(from).length !== 2) throw new Error(`not exactly once in ${file}: ${from}`);
  writeFileSync(path, source.replace(from, () => to));
  return () => writeFileSync(path, source);
}

async function work(queue, survivors) {
  const folder = copy();
  try {
    const failure = await firstFailure(folder);
    if (failure) throw new Error(`the suite fails without any mutation: ${failure}`);
    for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
      const restore = spoil(folder, mutant);
      const test = await firstFailure(folder);
      restore();
      if (!test) survivors.push(mutant);
      console.log(`${mutant.number}\t${test ? "caught" : "SURVIVED"}\t${describe(mutant)}\t${test ?? ""}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function describe({ file, what }) {
  return `${file.replace(/.*\//, "").replace(".sol", "")}: ${what}`;
}

function chosen(args) {
  const numbers = args.flatMap((arg) => {
    const [first, last = first] = arg.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  const all = MUTANTS.map((mutant, i) => ({ ...mutant, number: i + 1 }));
  return numbers.length === 0 ? all : all.filter(({ number }) => numbers.includes(number));
}

async function main(args) {
  if (args[0] === "--list") {
    for (const mutant of chosen([])) console.log(`${mutant.number}\t${describe(mutant)}`);
    return;
  }
  const mutants = chosen(args);
  const survivors = [];
  const queue = [...mutants];
  const jobs = Math.min(Number(process.env.MUTANT_JOBS ?? 2), queue.length);
  await Promise.all(Array.from({ length: jobs }, () => work(queue, survivors)));
  console.log(`${mutants.length} mutants, ${mutants.length - survivors.length} caught, ${survivors.length} survived`);
  if (mutants.length === 0 || survivors.length > 0) process.exitCode = 1;
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`mutants: ${error.message}`);
  process.exitCode = 1;
});
