"""Dashboards as code: to come."""
