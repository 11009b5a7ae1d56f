//! md arrays of up to four members cut from arbitrary bytes: superblocks of every version, then reads all over.
#![no_main]

use evidence::volume::{Member, md};
use evidence::MemSource;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else { return };
    let length = rest.len() / usize::from(count % 4 + 1);
    let members: Vec<Member> = rest
        .chunks(length.max(1))
        .take(4)
        .map(|bytes| Member { name: "m".into(), source: Arc::new(MemSource::new(bytes.to_vec())) })
        .collect();
    for array in md::assemble(&members) {
        let Some(source) = array.source else { continue };
        for at in [0, 70_000, source.size_bytes() / 2, u64::MAX - 9] {
            let _ = source.read_at(at, &mut [0; 4096]);
        }
    }
});
