"""The package as a user meets it: light to import, and its names stay what they are after use."""

from __future__ import annotations

import subprocess
import sys


def test_importing_limbeck_loads_no_torch():
    loaded = "import sys, limbeck; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_public_functions_stay_functions_after_their_modules_were_imported():
    import limbeck.distillation
    import limbeck.evaluation

    for _ in range(2):
        for name in limbeck.__all__:
            assert callable(getattr(limbeck, name)) or isinstance(getattr(limbeck, name), str), name
