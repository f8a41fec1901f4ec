"""`import s3accel` loads nothing but Python and the core. (How long it takes is measured in benchmarks/.)"""

from __future__ import annotations

import json
import subprocess
import sys

# Whole trees of the product that an `import s3accel` has no use for.
LATE = ("s3accel.local", "s3accel.cli", "s3accel.daemon", "s3accel.adapters", "s3accel.transfer.transport")


def loaded(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_import_loads_no_third_party_module() -> None:
    # What the interpreter loads by itself (site, .pth files of the environment) is not ours.
    ours = loaded("import s3accel") - loaded("pass")
    assert "s3accel" in ours
    strangers = {
        name
        for name in ours
        if name.split(".")[0] not in sys.stdlib_module_names and name.split(".")[0] != "s3accel"
    }
    assert strangers == set()


def test_import_leaves_the_upper_floors_alone() -> None:
    ours = loaded("import s3accel")
    assert [name for name in sorted(ours) if name.startswith(LATE)] == []
