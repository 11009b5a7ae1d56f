//! Collectors and rules that turn an examined system into findings and problems.
