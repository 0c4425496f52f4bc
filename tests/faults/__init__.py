"""The fault matrix: every upstream fault at every place of every chain, and the rules that hold in each cell."""
