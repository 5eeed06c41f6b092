"""The programs inside the walls: a warm interpreter that clones itself for every job.

These files run under a bare `python -S` with nothing but the standard library, so they
import only it and each other. They know nothing of toprope: a job is bytes and limits.
"""
