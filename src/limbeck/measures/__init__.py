"""What is measured on networks: discrepancy, decomposition of a gap, fluctuation, distances of configurations."""
