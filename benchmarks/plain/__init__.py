"""The published algorithms in straightforward PyTorch, as research repositories run them: the other side of a timing.

One class after the other, one network at a time, nn.Module and torch.optim, a DataLoader for every pass over the set,
per-image Python lists in the augmentation, the whole unroll in one graph. Written from the papers and from what their
repositories are known to do, in our own words; `tests/test_plain.py` holds their losses and results to limbeck's.
"""
