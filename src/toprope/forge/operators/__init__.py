"""Mutation operators: each puts one kind of bug into one line of a shown function."""

from toprope.forge.operators.registry import OPERATORS, RESERVED, edits
from toprope.forge.operators.shown import Edit, Operator, Shown

__all__ = ["OPERATORS", "RESERVED", "Edit", "Operator", "Shown", "edits"]
