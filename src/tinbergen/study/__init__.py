"""A whole study from one file: its data, the steps to run on it, and what they need of each other.

:func:`read_study` reads ``study.yaml``, :func:`make_plan` works out what is to be run and in which
folder its result lies, :func:`run_plan` runs with Snakemake what is not done. A folder is named by
a hash of everything that its result depends on: what is there is right, whatever the times of
files say, and what a change touches gets another folder.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
