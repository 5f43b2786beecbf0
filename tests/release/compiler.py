"""Whether there is a compiler; in CI there must be."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest


IN_CI: Final = os.environ.get("CI") == "true"
needs_a_compiler: Final = pytest.mark.skipif(
    not IN_CI and shutil.which("cc") is None, reason="apt-get install gcc libc6-dev"
)
