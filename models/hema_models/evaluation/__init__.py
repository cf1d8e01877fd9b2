"""Scoring of detections and classifications against labelled data. Names are COCO's."""
