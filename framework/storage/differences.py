"""In which options two configurations differ."""

import json
from typing import Any


def differences(there: Any, here: Any, path: str = "") -> list[str]:
    """`policy.slots: 6, now 3`, for every leaf that differs."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [*there, *(key for key in here if key not in there)]
        pairs = [(f"{path}.{key}" if path else key, there.get(key), here.get(key)) for key in keys]
        return [line for name, a, b in pairs if a != b for line in differences(a, b, name)]
    return [f"{path}: {_brief(there)}, now {_brief(here)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
