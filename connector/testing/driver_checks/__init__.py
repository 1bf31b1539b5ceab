"""The checks of `driver_suite`, by what they are about."""
