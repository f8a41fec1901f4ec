"""`python -m s3accel` is the command `s3accel`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
