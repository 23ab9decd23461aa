"""The Grafana dashboard: its panels, the JSON made from them, and a preview of it."""
