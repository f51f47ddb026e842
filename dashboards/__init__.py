"""What operators see in Grafana, as code: dashboards, their data source, and what each panel is for.

Asks InfluxDB for what stands in the catalogue of monitoring and decides nothing; `dashboards/grafana/` is made from it.
"""
