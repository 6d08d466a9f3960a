"""Are surrogates interchangeable? Eight methods, each set's alignment discrepancy beside the gap that it leaves.

Every set is trained on under the configuration that it was distilled for and under others that differ from it in the
optimizer, in the architecture or in both. One training is measured along its path: A_a(S)^2, weights at the
configuration's own mu. Its gap is the mean of three trainings. On digits, methods that learn are also looked at on the
way. A row is one set under one configuration, appended as it ends: run the same command again to go on.

    python benchmarks/interchange.py --collect digits            rows to docs/results/interchange.csv (15 core-minutes)
    python benchmarks/interchange.py --collect fashion-mnist     the same of Fashion-MNIST (30 core-minutes)
    python benchmarks/interchange.py --write                     the page and the figures from the rows (seconds)
"""

import argparse

from interchange_page import page
from interchange_rows import CASES, RESULTS, collect

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", choices=list(CASES))
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.collect:
        collect(chosen.collect)
    if chosen.write:
        (RESULTS / "interchange.md").write_text(page())
