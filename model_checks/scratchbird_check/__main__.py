"""``python -m scratchbird_check`` is the command ``scratchbird_check``."""

import sys

from scratchbird_check.cli import main

sys.exit(main())
