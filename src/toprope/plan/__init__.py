"""What a piece of work takes on which chips: counts, time, energy and money, as ranges.

Data files name their sources; the arithmetic is pure Python. This room must not know torch,
the climb or the report: a finished run enters through its files.
"""
