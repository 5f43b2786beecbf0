"""Parts of building a wheel: what is compiled, and the bill of materials (PEP 770).

One file in C is compiled for the stable ABI, so one wheel serves each later Python.
Where that fails, or is not wanted (``RESILIENT_WS_PURE=1``), the wheel is one of Python
alone, which does the same more slowly.

The bill is CycloneDX, and the same bytes for the same source. Nothing of others is in
the wheel, so all that is listed is external, with the range of versions that is
accepted.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext


if TYPE_CHECKING:
    from hatchling.metadata.core import ProjectMetadata


NAME: Final = "resilient-ws.cdx.json"
#: Where the part in C is, and where it is imported from.
PACKAGE: Final = "resilient_ws/protocol"
SOURCE: Final = f"{PACKAGE}/compiled.c"


def _purl(name: str) -> str:
    return f"pkg:pypi/{name.lower().replace('_', '-')}"


def _external(text: str, scope: str) -> dict[str, Any]:
    """Describe what is installed beside the package."""
    requirement = Requirement(text)
    bounds = "|".join(sorted(str(part) for part in requirement.specifier))
    return {
        "type": "library",
        "bom-ref": _purl(requirement.name),
        "name": requirement.name,
        "purl": _purl(requirement.name),
        "scope": scope,
        "isExternal": True,
        "versionRange": f"vers:pypi/{bounds or '*'}",
    }


def bill(metadata: ProjectMetadata[Any]) -> dict[str, Any]:
    """Return the bill of materials, in CycloneDX's JSON."""
    core = metadata.core
    optional = core.optional_dependencies.values()
    components = {
        component["bom-ref"]: component
        for component in (
            *(_external(text, "optional") for extra in optional for text in extra),
            *(_external(text, "required") for text in core.dependencies),
        )
    }
    root = f"{_purl(core.name)}@{metadata.version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": core.name,
                "version": metadata.version,
                "description": core.description,
                "licenses": [{"license": {"id": core.license_expression}}],
                "purl": root,
            }
        },
        "components": [components[name] for name in sorted(components)],
        "dependencies": [{"ref": root, "dependsOn": sorted(components)}],
    }


def compiled(root: Path, folder: Path) -> Path | None:
    """Compile the part in C into a folder.

    Returns:
        The library, or ``None`` if this Python cannot load it, or it is not wanted, or
        there is no compiler.
    """
    if (
        os.environ.get("RESILIENT_WS_PURE", "0") not in {"", "0"}
        or sys.implementation.name != "cpython"
        or sysconfig.get_config_var("Py_GIL_DISABLED")
    ):
        return None
    extension = Extension(
        "compiled",
        [str(root / SOURCE)],
        extra_compile_args=[]
        if sys.platform == "win32"
        else ["-O3", "-std=c11", "-g0"],
        py_limited_api=True,
        optional=True,  # a failure to compile is a warning
    )
    command = build_ext(Distribution({"ext_modules": [extension]}))
    with tempfile.TemporaryDirectory() as temporary:
        command.build_lib, command.build_temp = str(folder), temporary
        command.ensure_finalized()
        command.run()
    return next(iter(folder.glob("compiled.*")), None)


def tag() -> str:
    """Return the tag of a wheel with the compiled part."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"cp311-abi3-{platform}"


class Parts(BuildHookInterface[Any]):
    """Make the parts of a wheel that are not in the source, and have them packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and write the bill; ``version`` is that of the kind of build."""
        made = Path(tempfile.mkdtemp())
        self._made = made
        library = compiled(Path(self.root), made)
        if version == "editable":
            self._put_beside_its_source(library)
            return
        if library is not None:
            build_data["force_include"][str(library)] = f"{PACKAGE}/{library.name}"
            build_data.update(pure_python=False, tag=tag())
        path = made / NAME
        path.write_text(json.dumps(bill(self.metadata), indent=2) + "\n")
        build_data["sbom_files"].append(str(path))

    def _put_beside_its_source(self, library: Path | None) -> None:
        """Put the library where an editable package is imported from."""
        package = Path(self.root) / PACKAGE
        for suffix in EXTENSION_SUFFIXES:
            (package / f"compiled{suffix}").unlink(missing_ok=True)
        if library is not None:
            shutil.move(library, package / library.name)

    def finalize(
        self, version: str, build_data: dict[str, Any], artifact_path: str
    ) -> None:
        """Remove what was made: the wheel has it now."""
        del version, build_data, artifact_path
        shutil.rmtree(self._made)
