"""The commands room at its edges: tables, requests, statuses, what is due."""
