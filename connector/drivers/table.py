"""The capability table of the documentation, printed from what the drivers declare: `python -m connector.drivers.table`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from connector.drivers.contract import Driver
from connector.drivers.registry import all_drivers

__all__ = ["capability_table"]


def capability_table(drivers: Sequence[Driver]) -> str:
    """Markdown: a row per capability any driver has, a column per driver; "no" is written out, a note stands for "yes"."""
    products = {driver.name: "/".join(sorted(product.value for product in driver.products)) for driver in drivers}
    head = ["capability", *(f"{driver.name} ({products[driver.name]})" for driver in drivers)]
    notes = {
        driver.name: {(item.area, item.name): item.note or "yes" for item in driver.capabilities} for driver in drivers
    }
    keys = sorted({key for found in notes.values() for key in found})
    rows = [head, ["---"] * len(head)]
    for area, name in keys:
        rows.append([f"{area}: {name}", *(notes[driver.name].get((area, name), "no") for driver in drivers)])
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


if __name__ == "__main__":
    sys.stdout.write(capability_table(all_drivers()))
