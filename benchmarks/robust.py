"""Does it help to distil for several configurations at once? Required k on held-out ones, at equal distillation cost.

Three surrogates draw their states from one configuration, or in turn from four that differ in network and optimizer:
dm (untrained networks), dm's means along the configuration's own training path, and the outcome of the configuration's
own training. k-means and random stand beside. All are judged under eight configurations that no set was distilled with.
A row is one training, appended as it ends: run the same command again to go on.

    python benchmarks/robust.py --collect     rows to docs/results/robust.csv (about 2 core-minutes a set)
    python benchmarks/robust.py --write       the page and the figure from the rows (seconds)
"""

from page import collect_or_write
from robust_page import write
from robust_rows import collect

if __name__ == "__main__":
    collect_or_write(__doc__, collect, write)
