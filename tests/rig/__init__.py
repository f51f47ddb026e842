"""The test rig: real servers and processes, and the tools that keep the tree in order."""
