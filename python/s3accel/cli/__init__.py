"""The command `s3accel`. It uses the library as anybody would.

click and rich are loaded when the command runs, not when this package is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code (see `s3accel.cli.exits`).

    Args:
        arguments: without the program's name; None takes those of the process.
    """
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        sys.stderr.write(
            f"s3accel: the command needs the package {error.name}, which is not installed: "
            "pip install 's3accel[demo]'\n"
        )
        return 2
    from .app import run

    _no_core_files()
    return run(arguments)


def _no_core_files() -> None:
    """A core file would hold the secret that this process was given: none is written."""
    try:
        import resource
    except ImportError:
        return  # not a Unix: there are no core files
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
