"""Kinds of coordinate networks: what each has of its own. `registry` lists them.

A new kind is one module here, with a `Kind`, and one entry in `registry.KINDS`. A hyperparameter
that no kind had before is also a field of `jaxinr.Trial` and a flag of `experiments.siren.config`.
"""
