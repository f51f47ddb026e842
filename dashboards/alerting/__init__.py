"""Alert rules and who hears of them, as code."""
