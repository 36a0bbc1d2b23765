"""The Lua functions that live in the counter store, as one library.

Its name carries a digest of the code: nodes of two releases use their own code side by side, and no number can be
forgotten.
"""

import hashlib
from importlib import resources


def _code() -> str:
    folder = resources.files(__package__) / "lua"
    parts = sorted((part for part in folder.iterdir() if part.name.endswith(".lua")), key=lambda part: part.name)
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


_CODE = _code()
LIBRARY = f"tollgate_{hashlib.sha256(_CODE.encode()).hexdigest()[:10]}"
SOURCE = f"#!lua name={LIBRARY}\nlocal LIBRARY = '{LIBRARY}'\n{_CODE}"


def function_name(verb: str) -> str:
    return f"{LIBRARY}_{verb}"
