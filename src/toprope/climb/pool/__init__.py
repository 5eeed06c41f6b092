"""Which tasks there are to draw, and which of them an iteration draws."""
