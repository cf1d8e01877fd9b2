"""Calibration to a site (a laboratory, its microscope and stain): statistics of its cells, and a head of its own.

``head`` learns from cells that people named, ``judge`` says whether that is better than the network alone, ``profile``
is what is kept of it, ``store`` where.
"""
