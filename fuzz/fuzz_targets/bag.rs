//! Bags as they come back: the tar archive of one, and the checking of its manifests. The first byte chooses.
#![no_main]

use std::num::NonZeroUsize;
use std::path::Path;

use casebook::bag;

const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
    let to = folder.path().join("to");
    std::fs::create_dir(&to).unwrap();
    if choice % 2 == 0 {
        let mut input = rest;
        if let Ok(top) = bag::unpack(&mut input, &to) {
            assert!(!top.contains('/') && to.join(&top).exists());
            let _ = bag::check(&to.join(&top), NonZeroUsize::MIN);
        }
    } else {
        // Manifest, tag manifest and a file of the payload, divided by zero bytes.
        let mut parts = rest.splitn(3, |byte| *byte == 0);
        let mut part = || parts.next().unwrap_or_default();
        std::fs::write(to.join("bagit.txt"), DECLARATION).unwrap();
        std::fs::write(to.join("manifest-sha256.txt"), part()).unwrap();
        std::fs::write(to.join("tagmanifest-sha256.txt"), part()).unwrap();
        std::fs::create_dir(to.join("data")).unwrap();
        std::fs::write(to.join("data/a"), part()).unwrap();
        let _ = bag::check(&to, NonZeroUsize::MIN);
    }
    // Nothing was made beside the folder given.
    let names = std::fs::read_dir(Path::new(folder.path())).unwrap().count();
    assert_eq!(names, 1);
});
