"""Print the capability table into the docs, from what the drivers declare: `python tests/tools/capabilities.py`.

The page says between which marks. `tests/test_repository.py` fails while the page and the drivers differ. With `--check` nothing
is written, and the program ends with 1 when the page is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from connector.drivers.registry import all_drivers
from connector.drivers.table import capability_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "venues" / "README.md"
BEGIN, END = "<!-- table -->", "<!-- /table -->"


def with_table(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{capability_table(all_drivers())}\n{END}{after}"


def main(arguments: list[str]) -> int:
    now = PAGE.read_text(encoding="utf-8")
    printed = with_table(now)
    if printed == now:
        return 0
    if "--check" in arguments:
        print(f"{PAGE.name} is out of date: run python tests/tools/capabilities.py")
        return 1
    PAGE.write_text(printed, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
