"""Writes the table of presets into docs/beast.md, from the code.

    python docs/presets.py

``tests/docs`` says when the page is behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinbergen.beast.config import PRESETS, beast_config
from tinbergen.nn.vit import SIZES

PAGE = Path(__file__).with_name("beast.md")
START, STOP = "<!-- presets: python docs/presets.py -->", "<!-- end of presets -->"
SIZE_NAMES = {f"{shape['width']} x {shape['depth']}": name for name, shape in SIZES.items()}
PLACES = ("preset", "encoder.width", "encoder.depth", "encoder.heads")  # shown as the size


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings as ``{"train.steps": 10000, ...}``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        flat |= flatten(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def show(value: object) -> str:
    """Write a value as it is typed after ``--set``."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table() -> str:
    """Every setting in which the presets differ, as a table."""
    configs = [beast_config(preset) for preset in PRESETS]
    columns = [flatten(config.model_dump()) for config in configs]
    sizes = [SIZE_NAMES[f"{c.encoder.width} x {c.encoder.depth}"] for c in configs]
    lines = ["| setting | " + " | ".join(f"`{preset}`" for preset in PRESETS) + " |"]
    lines += ["|---" * (len(PRESETS) + 1) + "|", "| `--size` | " + " | ".join(sizes) + " |"]
    for key in columns[0]:
        values = [show(column[key]) for column in columns]
        if len(set(values)) > 1 and key not in PLACES:
            lines.append(f"| `{key}` | " + " | ".join(values) + " |")
    return "\n".join(lines)


def updated(page: str) -> str:
    """Return the text of the page with the table of now."""
    before, rest = page.split(START)
    after = rest.split(STOP)[1]
    return f"{before}{START}\n{table()}\n{STOP}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text("utf-8")), "utf-8")
