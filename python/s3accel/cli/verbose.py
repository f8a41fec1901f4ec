"""Logging for `-v`: what the library does, redacted, on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from s3accel.redact import redact_text

__all__ = ["logging_to_stderr"]


class _RedactingFormatter(logging.Formatter):
    """The last gate: whatever a logger was given, tracebacks too, passes the list of secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


@contextmanager
def logging_to_stderr(verbosity: int) -> Iterator[None]:
    """Shows the library's log while the block runs: 1 is INFO, 2 and more DEBUG, 0 nothing but warnings."""
    logger = logging.getLogger("s3accel")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    before, propagate = logger.level, logger.propagate
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = propagate
