"""What a release is checked with: ``make release-check`` runs all of it."""

from pathlib import Path
from typing import Final


ROOT: Final = Path(__file__).parent.parent
