"""What the binary is made of: an SBOM (CycloneDX 1.5, JSON) and the licences of all parts, for packaging/build.

    contents.py TARGET VERSION --sbom FILE --licenses FILE

Equal sources lead to equal files. The time is SOURCE_DATE_EPOCH.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """Name and version of each crate that is linked into the program: neither build scripts, macros nor tests."""
    tree = cargo("tree", "--locked", "--package", "seatkeeper", "--target", target, "--edges", "normal,no-proc-macro",
                 "--prefix", "none", "--no-dedupe", "--format", "{p}")
    crates = set()
    for line in tree.splitlines():
        name, version = line.split()[:2]
        crates.add((name, version.removeprefix("v")))
    return crates


def checksums():
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())
    return {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}


def expression(text):
    """An SPDX expression; older crates write a slash for OR."""
    return re.sub(r"\s*/\s*", " OR ", text)


def sqlite(crates):
    """SQLite's source is in a crate, and has a version of its own."""
    directory = next(p.parent for p in crates.values() if p.parent.name.startswith("libsqlite3-sys-"))
    header = (directory / "sqlite3" / "sqlite3.h").read_text()
    return re.search(r'^#define SQLITE_VERSION\s+"([^"]+)"', header, re.M)[1]


def components(packages, sums, manifests):
    for package in packages:
        name, version = package["name"], package["version"]
        found = {
            "type": "library",
            "bom-ref": f"pkg:cargo/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:cargo/{name}@{version}",
        }
        if sums.get((name, version)):
            found["hashes"] = [{"alg": "SHA-256", "content": sums[name, version]}]
        if package["license"]:
            found["licenses"] = [{"expression": expression(package["license"])}]
        yield found
    version = sqlite(manifests)
    yield {
        "type": "library",
        "bom-ref": f"pkg:generic/sqlite@{version}",
        "name": "sqlite",
        "version": version,
        "purl": f"pkg:generic/sqlite@{version}",
        "licenses": [{"expression": "blessing"}],
    }
    rust = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
    yield {
        "type": "library",
        "bom-ref": f"pkg:generic/rust@{rust}",
        "name": "rust",
        "version": rust,
        "description": "The standard library of Rust; its musl targets have musl libc in them.",
        "purl": f"pkg:generic/rust@{rust}",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }


def edges(metadata, ids):
    for node in metadata["resolve"]["nodes"]:
        if node["id"] in ids:
            of_program = (d["pkg"] for d in node["deps"] if any(k["kind"] is None for k in d["dep_kinds"]))
            yield {"ref": ids[node["id"]], "dependsOn": sorted(ids[pkg] for pkg in of_program if pkg in ids)}


def licenses(packages):
    """The licence texts of all crates; equal ones once."""
    texts = {}
    for package in packages:
        directory = pathlib.Path(package["manifest_path"]).parent
        names = sorted(p for p in directory.iterdir() if re.match(r"(?i)(licen[cs]e|copying|copyright|notice|unlicense)", p.name))
        for file in names:
            if file.is_file():
                text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
                texts.setdefault(text, []).append(f"{package['name']} {package['version']}")
    yield "The program has these crates in it, and SQLite, which is in the public domain.\n"
    for package in packages:
        yield f"{package['name']} {package['version']}: {expression(package['license'] or 'see its licence')}"
    for text, names in sorted(texts.items(), key=lambda item: item[1]):
        yield f"\n{'=' * 100}\n{', '.join(names)}\n{'-' * 100}\n\n{text}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("version")
    parser.add_argument("--sbom", required=True, type=pathlib.Path)
    parser.add_argument("--licenses", required=True, type=pathlib.Path)
    arguments = parser.parse_args()

    metadata = json.loads(cargo("metadata", "--format-version", "1", "--locked", "--filter-platform", arguments.target))
    crates = linked(arguments.target)
    packages = sorted((p for p in metadata["packages"] if (p["name"], p["version"]) in crates), key=lambda p: (p["name"], p["version"]))
    if len(packages) != len(crates):
        sys.exit(f"cargo tree and cargo metadata do not agree: {len(crates)} and {len(packages)} crates")
    program = next(p for p in packages if p["name"] == "seatkeeper")
    others = [p for p in packages if p is not program]
    manifests = {p["id"]: pathlib.Path(p["manifest_path"]) for p in others}
    ref = f"seatkeeper@{arguments.version}"
    ids = {p["id"]: f"pkg:cargo/{p['name']}@{p['version']}" for p in others} | {program["id"]: ref}
    when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": ref,
                "name": "seatkeeper",
                "version": arguments.version,
                "description": program["description"],
                "licenses": [{"expression": program["license"]}],
            },
            "properties": [{"name": "target", "value": arguments.target}],
        },
        "components": list(components(others, checksums(), manifests)),
        "dependencies": sorted(edges(metadata, ids), key=lambda edge: edge["ref"]),
    }
    bom["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(bom, sort_keys=True)).urn
    arguments.sbom.write_text(json.dumps(bom, indent=1) + "\n")
    arguments.licenses.write_text("\n".join(licenses(others)) + "\n")


main()
