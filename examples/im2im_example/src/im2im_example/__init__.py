"""The plug-in of the tutorial."""
