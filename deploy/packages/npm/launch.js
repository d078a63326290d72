// Starts a program of the package for this platform, with the same arguments, streams, signals and exit code.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");
const { join, dirname } = require("node:path");

module.exports = function launch(program) {
  const { platform, arch } = process;
  const name = `@thunder-channels/${platform}-${arch}`;
  let directory;
  try {
    directory = dirname(require.resolve(`${name}/package.json`));
  } catch {
    console.error(`error: the package ${name} is not installed`);
    console.error(
      "hint: if this platform is supported (Linux with glibc, macOS, Windows; see the README), install without --omit=optional",
    );
    process.exit(1);
  }
  const file = join(directory, "bin", platform === "win32" ? `${program}.exe` : program);
  const child = spawn(file, process.argv.slice(2), { stdio: "inherit" });
  child.on("error", (error) => {
    console.error(`error: can't start ${file}: ${error.message}`);
    process.exit(1);
  });
  // A terminal sends its signals to both; the program decides when it is over. Whoever sends one to this process
  // alone means the program.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("exit", (code, signal) => {
    process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : code);
  });
};
