"""What the scripts share: README.md lists it, and CONTRIBUTING.md says where a change goes."""
