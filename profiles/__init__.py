"""Device profiles: data, found as package resources."""
