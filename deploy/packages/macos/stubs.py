"""What a linker needs to know of Apple's frameworks, for a machine that has none: python3 stubs.py <directory>.

Writes a text stub (.tbd) for each framework that a dependency links, with the names that its bindings declare. The
frameworks themselves are on each Mac; a program that is linked against the stubs finds them there.
"""

import json
import pathlib
import re
import subprocess
import sys

out = pathlib.Path(sys.argv[1])
command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "aarch64-apple-darwin"]
packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]

# A framework is linked by an attribute in the sources, or by a line of a build script.
LINKS = re.compile(r'name = "(\w+)", *kind = "framework"|rustc-link-lib=framework=(\w+)')
NAMES = re.compile(r"^\s*pub (?:fn|static(?: mut)?) (\w+)\s*[(:]", re.MULTILINE)

names = {}
for package in packages:
    if not package["name"].endswith("-sys"):
        continue
    folder = pathlib.Path(package["manifest_path"]).parent
    sources = [path.read_text() for path in [*folder.rglob("src/**/*.rs"), *folder.glob("build.rs")]]
    frameworks = {name for text in sources for pair in LINKS.findall(text) for name in pair if name}
    for framework in frameworks:
        names.setdefault(framework, set()).update(name for text in sources for name in NAMES.findall(text))

for framework, found in sorted(names.items()):
    symbols = ", ".join(f"_{name}" for name in sorted(found))
    stub = out / f"{framework}.framework" / f"{framework}.tbd"
    stub.parent.mkdir(parents=True, exist_ok=True)
    stub.write_text(
        f"""--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '/System/Library/Frameworks/{framework}.framework/Versions/A/{framework}'
exports:
  - targets: [ x86_64-macos, arm64-macos ]
    symbols: [ {symbols} ]
...
"""
    )
    print(f"{framework}: {len(found)} names")
