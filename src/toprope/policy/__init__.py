"""The student: models by name, loading, sampling, checkpoints, export.

Knows tokens and weights, never a task or a grade.
"""
