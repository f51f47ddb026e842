"""Plays Grafana: queries of panels and rules, expressions, states of alerts, and the HTTP API, as documented."""
