"""Monitoring: a copy for looking at, fed after the commit, rebuildable."""
