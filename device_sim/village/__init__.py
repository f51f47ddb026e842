"""The demo: a small village on this machine, its story, and an account of every reading at the end."""
