"""The programs in the `tests` folder of a Harbor task; they import the standard library only."""
