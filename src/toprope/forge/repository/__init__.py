"""Tasks out of a tested repository, in that repository's own environment."""

from toprope.forge.repository.injected import Doubles
from toprope.forge.repository.make import Made, Options, make

__all__ = ["Doubles", "Made", "Options", "make"]
