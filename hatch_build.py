"""Parts of building a wheel: what is compiled, and the bill of materials (PEP 770).

One file in C is compiled for the stable ABI, so one wheel serves each later Python.
Where that fails, or is not wanted (``RESILIENT_WS_PURE=1``), the wheel is one of Python
alone, which does the same more slowly.

The bill is CycloneDX, and the same bytes for the same source. Nothing of others is in
the wheel, so all that is listed is external, with the range of versions that is
accepted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError


if TYPE_CHECKING:
    from hatchling.builders.wheel import WheelBuilder
    from hatchling.metadata.core import ProjectMetadata


NAME: Final = "resilient-ws.cdx.json"
#: Where the part in C is, and where it is imported from.
PACKAGE: Final = "resilient_ws/protocol"
SOURCE: Final = f"{PACKAGE}/compiled.c"
#: The ends of the names of libraries that Python imports.
LIBRARIES: Final = frozenset({".pyd", ".so"})
#: The oldest Python that loads it, and its interface: every later one does too.
COMPILED_FOR: Final = "cp311-abi3"


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


def wanted() -> bool:
    """Return whether this Python can load what is compiled, and nobody said no."""
    return (
        os.environ.get("RESILIENT_WS_PURE", "0") in {"", "0"}
        and sys.implementation.name == "cpython"
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
    )


class Build(build_ext):
    """Builds a library that does not look for others where this Python was built."""

    def build_extensions(self) -> None:
        """Build without the folders that Python's own way of linking names."""
        words = getattr(self.compiler, "linker_so", None)  # MSVC has none
        if words is not None:
            kept = [word for word in words if not word.startswith("-Wl,-rpath")]
            self.compiler.set_executable("linker_so", kept)
        super().build_extensions()


def _flags() -> tuple[list[str], list[str]]:
    """Return the arguments to compile and to link, without the time and the folder."""
    if sys.platform == "win32":
        return ["/Brepro"], ["/Brepro"]
    # It calls nothing of the C library, but auditwheel asks which one it is made for.
    linking = ["-Wl,--no-as-needed"] if sys.platform == "linux" else []
    return ["-O3", "-std=c11", "-g0"], linking


def compiled(root: Path, folder: Path) -> Path | None:
    """Compile the part in C into a folder.

    Returns:
        The library, or ``None`` where it is not wanted, or cannot be built: there is no
        compiler, or no ``Python.h``. A line says so, which pip shows with ``-v`` only.
    """
    if not wanted():
        return None
    compiling, linking = _flags()
    extension = Extension(
        "compiled",
        [str(root / SOURCE)],
        extra_compile_args=compiling,
        extra_link_args=linking,
        py_limited_api=True,
    )
    command = Build(Distribution({"ext_modules": [extension]}))
    with tempfile.TemporaryDirectory() as temporary:
        command.build_lib, command.build_temp = str(folder), temporary
        command.ensure_finalized()
        try:
            command.run()
        except (BaseError, CCompilerError, OSError) as error:
            print(f"resilient-ws: not compiled, pure Python instead: {error}")
            return None
    return next(iter(folder.glob("compiled.*")), None)


def put_beside_its_source(library: Path | None, package: Path) -> None:
    """Put the library where an editable package is imported from.

    An older one never stays, whichever Python built it, because it was made from
    another source. The new one replaces it in one step, because a process may be
    importing it.
    """
    if library is not None:
        unfinished = package / f".{library.name}"
        try:
            shutil.copyfile(library, unfinished)
            unfinished.replace(package / library.name)
        except OSError as error:  # a source that cannot be written to
            print(f"resilient-ws: not compiled, pure Python instead: {error}")
            with contextlib.suppress(OSError):
                unfinished.unlink()
            library = None
    for old in package.glob("compiled.*"):
        if old.suffix in LIBRARIES and (library is None or old.name != library.name):
            _remove(old)


def _remove(old: Path) -> None:
    """Remove a library, or say what is to be done where that fails.

    Raises:
        OSError: It cannot be removed.
    """
    try:
        old.unlink()
    except OSError as error:
        raise OSError(
            f"{old} was compiled from another source and cannot be removed ({error}):"
            " remove it by hand, or install where you may write"
        ) from error


class Parts(BuildHookInterface[Any]):
    """Make the parts of a wheel that are not in the source, and have them packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and write the bill; ``version`` is that of the kind of build."""
        made = Path(tempfile.mkdtemp())
        self._made = made
        library = compiled(Path(self.root), made)
        if version == "editable":
            put_beside_its_source(library, Path(self.root) / PACKAGE)
            return
        if library is not None:
            build_data["force_include"][str(library)] = f"{PACKAGE}/{library.name}"
            build_data.update(pure_python=False, tag=self._tag())
        path = made / NAME
        path.write_text(json.dumps(bill(self.metadata), indent=2) + "\n")
        build_data["sbom_files"].append(str(path))

    def _tag(self) -> str:
        """Return the tag of a wheel with the compiled part.

        Hatchling knows the platform, also where another is compiled for: it obeys
        ``_PYTHON_HOST_PLATFORM``, ``ARCHFLAGS`` and ``MACOSX_DEPLOYMENT_TARGET``.
        """
        builder: WheelBuilder = self.build_config.builder
        _, _, platform = builder.get_best_matching_tag().rpartition("-")
        return f"{COMPILED_FOR}-{platform}"

    def finalize(
        self, version: str, build_data: dict[str, Any], artifact_path: str
    ) -> None:
        """Remove what was made: the wheel has it now."""
        del version, build_data, artifact_path
        shutil.rmtree(self._made)
