#!/usr/bin/env node
// Runs the forge of package-lock.json: `node tools/forge.mjs <arguments>`.
//
// The npm package's own launcher exits 0 even when tests fail, so this one starts the platform's binary itself and
// hands its exit code on. It always works on this folder, wherever it is called. Where npm has no forge for the
// platform (README.md), the environment variable FORGE names one.

import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder that forge works on. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The path of the forge binary for this platform; throws, with what to do, if there is none. */
export function forgeBinary() {
  if (process.env.FORGE) return process.env.FORGE;
  const arch = { x64: "amd64" }[process.arch] ?? process.arch;
  const name = `@foundry-rs/forge-${process.platform}-${arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return join(dirname(manifest), "bin", process.platform === "win32" ? "forge.exe" : "forge");
  } catch {
    throw new Error(
      `${name} is not installed: run \`npm ci\` in contracts/. If it is still not there, npm has no forge for this ` +
        "platform: set FORGE to the path of one of the same version",
    );
  }
}

/** Runs forge on this folder and returns its exit code. `options` go to `spawnSync`. */
export function forge(args, options = {}) {
  const run = spawnSync(forgeBinary(), args, { cwd: root, stdio: "inherit", ...options });
  if (run.error) throw run.error;
  return run.status ?? 1;
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = forge(process.argv.slice(2));
  } catch (error) {
    console.error(`forge: ${error.message}`);
    process.exitCode = 1;
  }
}
