"""Tests with a real SLURM or Ray on this machine: ``make cluster`` runs them, other commands leave them out."""
