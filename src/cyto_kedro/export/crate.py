"""An RO-Crate of a run: what a repository needs to keep it, https://www.researchobject.org/ro-crate/1.1."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cyto_kedro.errors import InputError
from cyto_kedro.runner.graph import places_of

# films and masks are large, and made again by the run from the films
LEFT_OUT = (".tif", ".tiff", ".npy", ".npz", ".pkl")
ROOT = {"@id": "./"}


def outputs(catalog: Any, run: Mapping[str, Any]) -> Iterator[tuple[str, str, Path]]:
    """All tables, pictures and pages that the nodes of a run make: dataset, place in the crate, file."""
    names = dict.fromkeys(each["dataset"] for each in run.get("partitions", ()))
    for name in names:
        for place in places_of(catalog, [name] if name in catalog else []):
            if "://" in place:
                raise InputError(
                    f"{name} lies in {place}, and a crate is made of files on a disk: copy the data "
                    "folder to one, and say so: --params data=FOLDER"
                )
            path = Path(place)
            alone = path.is_file()
            for file in [path] if alone else sorted(path.rglob("*")):
                inside = file.relative_to(path)
                hidden = any(
                    part.startswith(".") or part.endswith(".zarr") for part in inside.parts
                )
                if file.is_file() and not hidden and file.suffix.lower() not in LEFT_OUT:
                    yield name, file.name if alone else f"{name}/{inside.as_posix()}", file


def write_crate(folder: Path, run: Mapping[str, Any], catalog: Any, root: Path) -> None:
    """Write a crate into `folder`, which exists.

    `run`: the manifest. `catalog`: of its environment. `root`: the project's folder.
    """
    entities: list[dict[str, Any]] = []

    def add(path: str, source: Path | str, **about: Any) -> dict[str, str]:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source, target)
        else:
            target.write_text(source, encoding="utf-8")
        held = target.read_bytes()
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        about = {"name": Path(path).name, "encodingFormat": kind, **about}
        sha256 = hashlib.sha256(held).hexdigest()
        entities.append(
            {"@id": path, "@type": "File", "contentSize": str(len(held)), "sha256": sha256, **about}
        )
        return {"@id": path}

    inputs = [
        add(
            "parameters.yml",
            yaml.safe_dump(run["parameters"], sort_keys=False, allow_unicode=True),
            name="parameters of the run",
        )
    ]
    for each in places_of(catalog, ["sample_sheet"]):
        if (sheet := Path(each)).is_file():
            inputs.append(add(sheet.name, sheet, name="sample sheet"))
    if (root / "requirements.txt").is_file():
        inputs.append(add("requirements.txt", root / "requirements.txt"))
    manifest = add(
        "run_manifest.json", json.dumps(run, indent=1, default=str), name="run's manifest"
    )
    made, taken = [], set()
    for name, inside, source in outputs(catalog, run):
        if (path := f"results/{inside}") not in taken:
            taken.add(path)
            made.append(add(path, source, description=f"dataset {name}"))
    installed = run.get("packages", {})
    software = [
        {
            "@id": f"#{name}-{version}",
            "@type": "SoftwareApplication",
            "name": name,
            "version": version,
        }
        for name, version in {**installed, "Python": run["python"].split()[0]}.items()
    ]
    tools = [{"@id": each["@id"]} for each in software]
    state = run["state"]
    entities += [
        {
            "@id": f"#run-{run['run_id']}",
            "@type": "CreateAction",
            "name": " ".join(["kedro", *run["command"][1:]]),
            "startTime": run["started"],
            "endTime": run.get("finished"),
            "actionStatus": {
                "@id": f"http://schema.org/{'Completed' if state == 'done' else 'Failed'}ActionStatus"
            },
            "instrument": tools,
            "object": inputs,
            "result": [*made, manifest],
        },
        *software,
    ]
    version = installed.get("cyto_kedro", "")
    crate = {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [
            {
                "@id": "ro-crate-metadata.json",
                "@type": "CreativeWork",
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
                "about": ROOT,
            },
            {
                **ROOT,
                "@type": "Dataset",
                "name": f"Run {run['run_id']} of cyto_kedro",
                "description": f"Tables, pictures and report of a run of cyto_kedro {version}, with its "
                "parameters, versions and sample sheet. Films and masks are not in it.",
                "datePublished": str(run.get("finished", run["started"])),
                "license": "not stated: say before you publish under which licence others may use it",
                "hasPart": [*inputs, manifest, *made],
                "mentions": {"@id": f"#run-{run['run_id']}"},
            },
            *entities,
        ],
    }
    text = json.dumps(crate, indent=1, ensure_ascii=False, default=str)
    (folder / "ro-crate-metadata.json").write_text(text + "\n", encoding="utf-8")
