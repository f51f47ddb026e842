"""The dashboards, one module each: its questions, its variables, and its panels from top to bottom.

A panel is a function that returns `stat(…)`, `series(…)`, `table(…)` and so on, and its name in a row of the page.
`wattpost dashboards build` writes the files; the tests say what a panel still lacks.
"""
