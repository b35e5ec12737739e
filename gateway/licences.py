"""Writes the licences of every crate that is in the program: what each is under, and the texts that their authors ship.

`make dist` calls it with the file to write. A text that several crates ship is written once. A crate that ships none is named
with its licence and where it comes from; one that says no licence at all is refused.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TEXTS = ("licen", "copying", "copyright", "notice", "unlicense")


def metadata(target):
    words = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    return json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)


def host():
    told = subprocess.run(["rustc", "--version", "--verbose"], capture_output=True, check=True, text=True).stdout
    return next(line.removeprefix("host: ") for line in told.splitlines() if line.startswith("host: "))


def shipped(told):
    """The packages that the program is linked of: no tests, and nothing that only builds."""
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    own = next(package["id"] for package in told["packages"] if package["name"] == "gateway")
    seen, ahead = set(), [own]
    while ahead:
        package = ahead.pop()
        if package not in seen:
            seen.add(package)
            for dependency in nodes[package]["deps"]:
                if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                    ahead.append(dependency["pkg"])
    members = set(told["workspace_members"])
    packages = [package for package in told["packages"] if package["id"] in seen - members]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def texts(package):
    folder = Path(package["manifest_path"]).parent
    files = [file for file in folder.iterdir() if file.is_file() and file.name.lower().startswith(TEXTS)]
    return sorted({file.read_text(errors="replace").strip() for file in files if file.suffix != ".rs"})


def main():
    packages = shipped(metadata(host()))
    by_text, without = defaultdict(list), []
    table = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        licence = package["license"] or (package["license_file"] and f"see {package['license_file']}")
        if not licence:
            sys.exit(f"{name} says no licence")
        table.append(f"{name:<40} {licence}")
        found = texts(package)
        for text in found:
            by_text[text].append(name)
        if not found:
            without.append(f"{name}: {licence}; {package['repository'] or package['homepage'] or 'no address'}")
    parts = [f"Directlink holds {len(packages)} crates of others.", "\n".join(table)]
    if without:
        parts.append("These ship no text of their licence:\n" + "\n".join(without))
    for text, names in sorted(by_text.items(), key=lambda pair: pair[1]):
        parts.append(f"{'=' * 78}\n{', '.join(names)}\n{'-' * 78}\n{text}")
    Path(sys.argv[1]).write_text("\n\n".join(parts) + "\n")
    print(f"{len(packages)} crates, {len(by_text)} texts, {len(without)} without one")


if __name__ == "__main__":
    main()
