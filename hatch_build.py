"""Part of building a wheel: the bill of materials that it carries (PEP 770).

It is CycloneDX, and the same bytes for the same source. Nothing of others is in the
wheel, so all that is listed is external, with the range of versions that is accepted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement


if TYPE_CHECKING:
    from hatchling.metadata.core import ProjectMetadata


NAME: Final = "resilient-ws.cdx.json"


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


class BillOfMaterials(BuildHookInterface[Any]):
    """Write the bill of materials beside what is built, and have it packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the file; ``version`` is that of the kind of build."""
        if version == "editable":
            return
        path = Path(self.directory) / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(bill(self.metadata), indent=2) + "\n")
        build_data["sbom_files"].append(str(path))

    def finalize(
        self, version: str, build_data: dict[str, Any], artifact_path: str
    ) -> None:
        """Remove the file: the wheel has it now."""
        del version, build_data, artifact_path
        (Path(self.directory) / NAME).unlink(missing_ok=True)
