"""Settings found to work for a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NUCLEI_2D: Mapping[str, Any] = {"model": {"name": "embedseg"}}
