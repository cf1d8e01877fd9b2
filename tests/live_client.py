"""The client that docs/live-protocol.md teaches, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DOCUMENT = Path(__file__).parent.parent / "docs" / "live-protocol.md"


def documented() -> Any:
    """Its ``apply(state, message)`` and ``follow(base, token, slide)``."""
    (source,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(compile(source, str(DOCUMENT), "exec", dont_inherit=True), namespace)
    return SimpleNamespace(**namespace)
