"""Stages of hema-stream: the plug-in set, one module or folder a stage, registered by entry points."""
