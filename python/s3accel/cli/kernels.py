"""`s3accel kernels`: which code does the hashing here."""

from __future__ import annotations

import json
import os

import click

import s3accel

__all__ = ["active_kernels", "kernels"]

WHAT = {
    "sha256": "SHA-256",
    "sha256-many": "SHA-256",
    "crc": "CRCs",
}


def active_kernels() -> dict[str, list[str]]:
    """Names of the kernels in use, by what they compute."""
    found: dict[str, list[str]] = {}
    for kernel in s3accel.kernels():
        if kernel["active"]:
            found.setdefault(str(kernel["what"]), []).append(str(kernel["name"]))
    return found


@click.command(short_help="Show which native code does the hashing.")
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON array.")
def kernels(as_json: bool) -> None:
    """Show the kernels: what each computes, what it needs of the processor, whether it is in use.

    The best available ones are chosen when s3accel is imported. S3ACCEL_KERNEL=NAME forces one; a name that is
    unknown, or needs what this processor has not, is an error at import. GB/s is a short measurement made at import
    to choose between kernels, no benchmark. "At once" is how many messages (chunks of a body, for example) a kernel
    hashes side by side. Several may be in use: the widest takes most of a long row, others what is left over.
    """
    found = s3accel.kernels()
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [("kernel", "computes", "at once", "needs", "available", "GB/s", "in use")]
    for kernel in found:
        what = str(kernel["what"])
        rows.append(
            (
                str(kernel["name"]),
                WHAT.get(what, what),
                "-" if what == "crc" else str(kernel["lanes"]),
                str(kernel["needs"]) or "-",
                "yes" if kernel["available"] else "no",
                f"{kernel['rate']:.1f}" if kernel["rate"] else "not measured" if kernel["available"] else "-",
                "yes" if kernel["active"] else "",
            )
        )
    # Columns as wide as they need to be, whatever the terminal says: a cut kernel name cannot be typed again.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    forced = os.environ.get("S3ACCEL_KERNEL")
    click.echo(
        f"S3ACCEL_KERNEL={forced}"
        if forced
        else "chosen by what is known of each, unless another was 1.3 times as fast in a look of microseconds (the GB/s above);"
        " S3ACCEL_KERNEL=NAME forces one"
    )
