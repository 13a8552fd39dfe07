"""Readers of annotation files of other programs, one a format."""
