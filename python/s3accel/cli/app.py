"""The command with its subcommands, and the one place where its exit code is decided."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import s3accel
from s3accel.errors import S3AccelError

from .accelerate import accelerate
from .cp import cp
from .demo import demo
from .doctor import doctor
from .exits import TABLE, Exit, exit_of, remedy_of, text_of
from .explain import explain_command
from .journal import journal
from .kernels import kernels
from .ls import ls
from .resume import resume
from .rm import rm
from .run import Terminated
from .serve import serve

__all__ = ["cli", "run"]

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:3}  {meaning}" for code, meaning in TABLE)


@click.group(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(s3accel.__version__, prog_name="s3accel")
def cli() -> None:
    """Uploads and downloads through S3 Transfer Acceleration, signed natively."""


for command in (cp, ls, rm, serve, explain_command, demo, kernels, doctor, accelerate, resume, journal):
    cli.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Never raises; whatever happens becomes one line and an exit code."""
    try:
        code = cli.main(args=arguments, prog_name="s3accel", standalone_mode=False)
    except click.exceptions.Abort as error:  # how click hands on an interrupt
        return int(Exit.TERMINATED if isinstance(error.__cause__, Terminated) else Exit.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return int(Exit.USAGE)
    except S3AccelError as error:
        return _say(error)
    except BrokenPipeError:
        # The reader of our output went away (`s3accel ... | head`): nobody is left to be told anything.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.SOME_FAILED)
    except Exception as error:  # noqa: BLE001  the user gets a line, not a traceback that may show arguments
        return _say(error)
    return int(code) if isinstance(code, int) else 0


def _say(error: BaseException) -> int:
    code = exit_of(error)
    sys.stderr.write(f"s3accel: {text_of(error)}\n")
    if remedy := remedy_of(error):
        sys.stderr.write(f"  what to do: {remedy}\n")
    if code is Exit.INTERNAL:
        sys.stderr.write("This is a fault in s3accel; please report it with the command that led here.\n")
    return int(code)
