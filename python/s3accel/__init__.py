"""Native AWS SigV4 signing for Python, and a thin transfer layer for S3 Transfer Acceleration.

The signing floor is here (`Signer`, `Verifier`, `Credentials`); uploads are in `s3accel.transfer`, which needs
the extra ``transfer``; an endpoint for tests is in `s3accel.local`, which needs the extra ``local``.
"""

import sys
from typing import TYPE_CHECKING, Any

try:
    from . import _core
except ImportError as error:
    if "subinterpreter" in str(error):
        error.msg = (
            f"{error}\ns3accel does not support isolated subinterpreters, and no other build of it does: import it "
            "in the main interpreter, and sign there or in processes of their own."
        )
    elif "S3ACCEL_KERNEL" not in str(error):
        # Not `args`: it is `msg` that a traceback shows of an ImportError.
        error.msg = (
            f"{error}\nThe compiled core of s3accel could not be loaded. From a source tree, build it with "
            "`pip install .` (it needs a C++20 compiler); CMake and ninja come with the build."
        )
    elif sys.argv[0].rpartition("/")[2] == "s3accel" or sys.orig_argv[1:3] == ["-m", "s3accel"]:
        # The command reads the variable before a line of its own could run, and must not end in a traceback.
        sys.stderr.write(f"s3accel: {error}\n")
        raise SystemExit(2) from None
    raise

from . import errors
from ._core import SigningKey, kernels, uri_encode
from .clock import Clock
from .credentials import Credentials, EnvironmentProvider, RefreshingProvider, StaticProvider
from .errors import S3AccelError
from .signer import Signer
from .streaming import SignedStream
from .verify import Verifier

if TYPE_CHECKING:
    from .adapters.botocore import install, uninstall

__version__: str = _core.__version__

__all__ = [
    "Clock",
    "Credentials",
    "EnvironmentProvider",
    "RefreshingProvider",
    "S3AccelError",
    "SignedStream",
    "Signer",
    "SigningKey",
    "StaticProvider",
    "Verifier",
    "__version__",
    "errors",
    "install",
    "kernels",
    "uninstall",
    "uri_encode",
]


def __getattr__(name: str) -> Any:
    # The drop-in for boto3 loads botocore, which signing does not need: only when it is asked for.
    if name in ("install", "uninstall"):
        from .adapters import botocore

        return getattr(botocore, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
