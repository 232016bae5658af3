"""
The command ``auth-gateway``, also ``python -m gateway``.

Nothing heavy may be imported here: a container asks ``auth-gateway health`` every few seconds, and what that costs is
taken from the gateway beside it.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    if sys.argv[1:2] == ["health"]:
        from gateway.admin.health import main as check_health  # noqa: PLC0415 - see above

        sys.exit(check_health())
    from gateway.cli.group import cli  # noqa: PLC0415 - see above

    cli.main(prog_name="auth-gateway")
    sys.exit()


if __name__ == "__main__":
    main()
