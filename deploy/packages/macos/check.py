"""Whether an executable is one that macOS would load: python3 check.py <executable> <architecture>.

It has the architecture's header, is signed at least ad hoc (Apple silicon starts nothing else), and links only what
every Mac has.
"""

import sys

from macholib.MachO import MachO
from macholib.mach_o import CPU_TYPE_NAMES, LC_BUILD_VERSION, LC_CODE_SIGNATURE, MH_EXECUTE

path, architecture = sys.argv[1:]
headers = MachO(path).headers
problems = []
if len(headers) != 1:
    problems.append(f"{len(headers)} architectures instead of one")
for header in headers:
    name = CPU_TYPE_NAMES.get(header.header.cputype, "unknown")
    if name.lower() != architecture.lower():
        problems.append(f"it is for {name}, not for {architecture}")
    if header.header.filetype != MH_EXECUTE:
        problems.append("it is no executable")
    commands = [command.cmd for command, _, _ in header.commands]
    if LC_BUILD_VERSION not in commands:
        problems.append("it does not say for which macOS it is")
    if architecture == "arm64" and LC_CODE_SIGNATURE not in commands:
        problems.append("it is not signed, not even ad hoc")
    for _, _, library in header.walkRelocatables():
        if not library.startswith(("/usr/lib/", "/System/Library/Frameworks/")):
            problems.append(f"it needs {library}, which a Mac does not have")
for problem in problems:
    print(f"{path}: {problem}", file=sys.stderr)
sys.exit(bool(problems))
