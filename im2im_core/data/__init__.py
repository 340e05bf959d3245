"""What data sets are made of: listing, reading, caching, patches and batches. For data sets of plug-ins as well."""
