"""Ways of helping a cold task, cheapest first: one file per rung, and the ladder above them."""
