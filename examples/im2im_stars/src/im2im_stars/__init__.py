"""Star-convex polygons (Schmidt et al. 2018) as a plug-in."""
