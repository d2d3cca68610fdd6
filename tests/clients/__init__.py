"""Real clients with real images against the real server; ci/clients/install.sh and images.sh provide both."""
