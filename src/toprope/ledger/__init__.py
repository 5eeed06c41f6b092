"""The ledger: evidence, states, seeds and cost of one run. Knows no model and no torch."""
