"""Adaptive domain models, after arXiv 2603.18104: each part is a module of its own.

In every docstring [A] marks what the paper states in its abstract or its author's public documents,
and [ours] what is this project's construction where it is silent.
"""
