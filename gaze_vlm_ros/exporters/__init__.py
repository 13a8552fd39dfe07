"""Bags in formats that other programs train on."""
