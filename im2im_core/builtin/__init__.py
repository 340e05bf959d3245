"""The plug-in that ships with the core."""
