//! The firmware a machine starts with, and where the host keeps its files.

use crate::error::{Result, machine};
use std::path::{Path, PathBuf};

/// Kinds of firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// Legacy BIOS (SeaBIOS, part of QEMU).
    Bios,
    /// UEFI without Secure Boot.
    Uefi,
    /// UEFI with Secure Boot on and Microsoft's keys.
    UefiSecureBoot,
}

impl Firmware {
    /// Short name for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
            Self::UefiSecureBoot => "uefi-sb",
        }
    }

    /// Code and variable-store template of a UEFI firmware.
    ///
    /// # Errors
    /// [`crate::Error::Machine`] for BIOS, and when the host has no OVMF.
    pub fn files(self) -> Result<(PathBuf, PathBuf)> {
        let (code, vars) = match self {
            Self::Bios => return machine("BIOS has no variable store"),
            Self::Uefi => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
            Self::UefiSecureBoot => ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
        };
        let folder = Path::new("/usr/share/OVMF");
        let pair = (folder.join(code), folder.join(vars));
        if pair.0.is_file() && pair.1.is_file() {
            return Ok(pair);
        }
        machine(format!("no {} (package ovmf)", pair.0.display()))
    }
}
