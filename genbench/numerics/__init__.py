"""Arrays in, numbers out, on any device: linear algebra, moments, and exact nearest neighbours."""
