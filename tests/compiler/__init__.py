"""Tests of `tinygrad_fc.compile`: eager against compiled, by its public interface alone."""
