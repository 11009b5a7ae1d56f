//! Drives a virtual machine for tests.
