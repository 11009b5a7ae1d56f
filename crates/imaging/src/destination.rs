//! Where one copy goes, from its first byte to its name: files here, or something else that can prove what it holds.
//!
//! A session knows copies only by this. Files are one way ([`crate::ImageFile`]); a disk ([`crate::CloneDisk`]) and a
//! receiver on another machine ([`crate::RemoteCopy`]) are others. Whatever it is, only reading it back makes the proof.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde_json::Value;

use crate::{Acquisition, Error, ImageFile, ImageWriter, Tick, Verified, publish, verify_copy};

/// One copy, as a session works with it.
pub trait Destination: ImageWriter {
    /// Its files, as they are named now; empty for what is no file of this machine.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads it back from where it lies and compares it with what was acquired.
    ///
    /// # Errors
    /// When it is not complete, cannot be read to its end, or differs.
    fn verify(
        &mut self,
        acquisition: &Acquisition,
        progress: &mut dyn FnMut(Tick),
        cancel: &AtomicBool,
    ) -> Result<Verified, Error>;

    /// Makes it what it is to be: named, bootable, recorded at the other end.
    ///
    /// # Errors
    /// When the proof is of another copy, or the place does not take it.
    fn publish(&mut self, verified: &Verified) -> Result<(), Error>;

    /// Takes it back, as nothing was written yet.
    fn discard(&mut self);

    /// The same as files, if it is that: they can be filled in later.
    fn file(&self) -> Option<&dyn ImageFile> {
        None
    }

    /// What the record should know of it beside digests; null for files.
    fn facts(&self) -> Value {
        Value::Null
    }
}

impl Destination for Box<dyn ImageFile> {
    fn paths(&self) -> Vec<PathBuf> {
        self.parts().paths()
    }

    fn verify(
        &mut self,
        acquisition: &Acquisition,
        progress: &mut dyn FnMut(Tick),
        cancel: &AtomicBool,
    ) -> Result<Verified, Error> {
        verify_copy(&**self, acquisition, progress, cancel)
    }

    fn publish(&mut self, verified: &Verified) -> Result<(), Error> {
        publish(&mut **self, verified).map(drop)
    }

    fn file(&self) -> Option<&dyn ImageFile> {
        Some(&**self)
    }

    fn discard(&mut self) {
        for path in self.parts().paths() {
            let _ = fs::remove_file(path);
        }
    }
}
