#!/usr/bin/env node
// Whether the tests reach every line and every branch of src/:
//
//   node tools/coverage.mjs    exits 1, naming them, if a line or a branch is not reached and not in coverage.json
//
// coverage.json beside this file names the lines that forge cannot see, each with the reason. One that is not there any
// more, or that forge does see now, is an error too.
//
// The sources and tests are compiled anew for it, which takes longest; so it leaves out the tests that reach nothing
// more than those of the single functions, of what is genuine, and of tokens.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { forge, root } from "./forge.mjs";

const LEFT_OUT = ["test/gas/*", "test/invariant/*", "test/vectors/*", "Artifacts", "States"].concat(
  ["CrossUse", "Donations", "FrontRunning", "Hostage", "Repeats", "Replay", "Signatures"],
);

/** Runs the tests; returns what lcov says: file -> { lines: number -> hits, branches: number -> hits[] }. */
function measure() {
  const folder = mkdtempSync(join(tmpdir(), "thunder-coverage-"));
  try {
    const report = join(folder, "lcov.info");
    const options = ["--ir-minimum", "--report", "lcov", "--report-file", report, "--fuzz-runs", "16"];
    const skip = LEFT_OUT.flatMap((name) => ["--skip", name]);
    const only = ["--no-match-coverage", "node_modules|test"];
    const code = forge(["coverage", ...options, ...only, ...skip], { stdio: ["ignore", "ignore", "inherit"] });
    if (code !== 0) throw new Error(`forge coverage failed with exit code ${code}`);
    return parse(readFileSync(report, "utf8"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function parse(text) {
  const files = new Map();
  let file;
  for (const line of text.split("\n")) {
    const [key, value = ""] = line.split(/:(.*)/);
    const numbers = value.split(",").map((part) => (part === "-" ? 0 : Number(part)));
    if (key === "SF") files.set(value.replaceAll("\\", "/"), (file = { lines: new Map(), branches: new Map() }));
    if (key === "DA") file.lines.set(numbers[0], numbers[1]);
    if (key === "BRDA") file.branches.set(numbers[0], [...(file.branches.get(numbers[0]) ?? []), numbers[3]]);
  }
  return files;
}

function check() {
  const allowed = JSON.parse(readFileSync(join(root, "tools", "coverage.json"), "utf8"));
  const used = new Set();
  const wrong = [];
  const totals = { lines: 0, branches: 0 };
  for (const [file, { lines, branches }] of measure()) {
    const source = readFileSync(join(root, file), "utf8").split("\n");
    totals.lines += lines.size;
    for (const hits of branches.values()) totals.branches += hits.length;
    for (const [number, hits] of lines) {
      const text = source[number - 1].trim();
      const entry = allowed.find((one) => one.file === file && one.line === text);
      if (hits === 0 && !entry) wrong.push(`${file}:${number} is not reached: ${text}`);
      if (hits !== 0 && entry) wrong.push(`${file}:${number} is reached: take it out of coverage.json: ${text}`);
      if (entry) used.add(entry);
    }
    for (const [number, hits] of branches) {
      if (hits.includes(0)) wrong.push(`${file}:${number} is not reached both ways: ${source[number - 1].trim()}`);
    }
  }
  for (const entry of allowed) {
    if (!used.has(entry)) wrong.push(`${entry.file} has no such line as in coverage.json: ${entry.line}`);
  }
  if (totals.lines === 0 || totals.branches === 0) wrong.push("nothing was measured");
  if (wrong.length === 0) {
    const { lines, branches } = totals;
    console.log(`${lines - allowed.length} of ${lines} lines, ${allowed.length} excepted; ${branches} of ${branches} branches`);
    return;
  }
  console.error(wrong.join("\n"));
  process.exitCode = 1;
}

try {
  check();
} catch (error) {
  console.error(`coverage: ${error.message}`);
  process.exitCode = 1;
}
