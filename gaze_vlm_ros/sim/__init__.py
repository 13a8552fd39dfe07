"""Simulated sources: the workbench with its person, and the glasses on the network."""
