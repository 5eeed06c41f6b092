"""A run forked, once without a teacher and once with a forced one."""
