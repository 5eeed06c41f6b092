"""What runs beside an attempt when a test suite is graded: modules of a job's program.

`bundle` makes one text of them. The environment's own interpreter runs it, so they import
the standard library, pytest and each other only, and stay within Python 3.9. None of them
knows which outcome is wanted.
"""
