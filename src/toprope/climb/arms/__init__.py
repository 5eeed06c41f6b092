"""Matched arms: several ways of training on one pool, at equal FLOPs, over several seeds.

`entry` reads what is compared, `race` runs it, `result` reads one run, `compare` draws the
conclusions that the numbers carry, `told` says them.
"""
