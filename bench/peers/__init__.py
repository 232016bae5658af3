"""The gateway and those it is compared with: how each is installed, configured and started."""
