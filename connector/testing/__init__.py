"""Test kit for users of the library: fakes we ship, never mocks."""
