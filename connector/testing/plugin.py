"""pytest plugin: fixtures for tests against the simulator. Nothing is imported or started before a test asks for it."""
