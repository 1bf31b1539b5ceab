"""Makes the modules beside this file importable: tests are not a package, and record.py is also run by hand."""

import sys
from pathlib import Path

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))
