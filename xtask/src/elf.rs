//! What every shipped program must be: a static x86-64 ELF without traces of the build machine.
//!
//! A dynamic program would need a loader, and a loader would let a suspect disk supply code. A path
//! of the build machine inside a program would make its bytes differ from builder to builder.

use anyhow::{Result, bail, ensure};

const PT_INTERP: u32 = 3;

/// Checks one program. `foreign` are path prefixes that must not occur in it.
pub(crate) fn check(name: &str, bytes: &[u8], foreign: &[String]) -> Result<()> {
    ensure!(is_static(bytes)?, "{name} asks for a dynamic loader");
    for path in foreign {
        if find(bytes, path.as_bytes()) {
            bail!("{name} contains {path:?}, a path of this machine");
        }
    }
    Ok(())
}

/// Whether an ELF file has no program interpreter.
fn is_static(bytes: &[u8]) -> Result<bool> {
    ensure!(bytes.len() >= 64 && &bytes[..6] == b"\x7fELF\x02\x01", "not a 64-bit ELF file");
    let word = |at: usize, len: usize| -> Result<u64> {
        let Some(part) = bytes.get(at..at + len) else {
            bail!("ELF header leads outside the file")
        };
        Ok(part.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    ensure!(word(18, 2)? == 62, "not an x86-64 program");
    let (offset, size, count) = (word(32, 8)?, word(54, 2)?, word(56, 2)?);
    for index in 0..count {
        let at = usize::try_from(offset + index * size)?;
        if word(at, 4)? == u64::from(PT_INTERP) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minimal ELF header followed by one program header of the given type.
    fn program(kind: u32) -> Vec<u8> {
        let mut elf = vec![0; 120];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64..68].copy_from_slice(&kind.to_le_bytes());
        elf
    }

    #[test]
    fn interpreter_and_paths_are_found() {
        check("x", &program(1), &["/home/someone".into()]).unwrap();
        assert!(check("x", &program(PT_INTERP), &[]).is_err());
        let mut leaky = program(1);
        leaky.extend_from_slice(b"at /home/someone/src");
        assert!(check("x", &leaky, &["/home/someone".into()]).is_err());
        assert!(check("x", b"#!/bin/sh", &[]).is_err());
    }

    #[test]
    fn a_header_table_outside_the_file_is_refused() {
        let mut elf = program(1);
        elf[56] = 9;
        assert!(check("x", &elf, &[]).is_err());
    }

    /// The compiler of this machine vouches: a default Debian build of a test is dynamic.
    #[test]
    fn a_dynamic_program_of_this_machine_is_refused() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(check("own", &own, &[]).is_err());
    }
}
