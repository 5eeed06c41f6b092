"""Turns annotated episodes into one optimiser step: ids, masks, advantages and weights in.

Never knows what a task or a teacher is.
"""
