"""What the registry promises when things break: injected faults, kill -9, power cuts, full disks."""
