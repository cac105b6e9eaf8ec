"""Subcommands of ``bposit`` that have subcommands or many options: one file each.

They import nothing but what reads a command line; the work is imported when it is asked for.
"""
