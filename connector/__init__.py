"""Exchange connectivity that never lies and never stays down."""
