"""Where results go: report.json, overlay, GeoJSON, lines of deltas."""
