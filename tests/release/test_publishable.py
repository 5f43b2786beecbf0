"""What stands in the way of publishing is named."""

from __future__ import annotations

from typing import Any

import pytest

from release.publishable import problems


PROJECT: dict[str, Any] = {
    "version": "1.2.0",
    "urls": {"Documentation": "https://example.org/docs"},
}
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2027-01-31\n\n### Added\n"


def test_a_version_that_is_ready() -> None:
    assert list(problems(PROJECT, CHANGELOG, ["v1.2.0"])) == []


@pytest.mark.parametrize(
    ("project", "changelog", "tags", "told"),
    [
        (PROJECT | {"urls": {"Source": "README.md"}}, CHANGELOG, ["v1.2.0"], "https"),
        (PROJECT, "## [Unreleased]\n", ["v1.2.0"], "YYYY-MM-DD"),
        (PROJECT, CHANGELOG.replace(" - 2027-01-31", ""), ["v1.2.0"], "YYYY-MM-DD"),
        (PROJECT, CHANGELOG, ["v1.1.0"], "no tag v1.2.0"),
    ],
)
def test_one_that_is_not(
    project: dict[str, Any], changelog: str, tags: list[str], told: str
) -> None:
    (problem,) = problems(project, changelog, tags)
    assert told in problem
