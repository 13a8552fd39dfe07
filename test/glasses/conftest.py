"""The fixtures of this folder; in a module of their own name, from which tests can import."""

from neon_fixtures import neon_window, synthetic  # noqa: F401
