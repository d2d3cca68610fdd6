"""A process that migrates: reads URLs from standard input, and says for each whether it was the one that migrated.

Run as `python -m tests.db.migrator`. A line in is a URL; a line out is "True", "False" or the error.
"""

from __future__ import annotations

import sys
from contextlib import closing

from registry.db.database import open_database
from registry.db.migrate import migrate


def answer(url: str) -> str:
    """Migrate the database; whether there was anything to do."""
    try:
        with closing(open_database(url)) as database:
            return str(migrate(database))
    except Exception as error:  # noqa: BLE001 - the test wants to see whatever it is
        return repr(error).replace("\n", " ")


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(f"{answer(line.strip())}\n")
        sys.stdout.flush()
