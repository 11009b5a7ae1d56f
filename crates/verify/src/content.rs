//! SHA-256 of many files, on several threads, each file read once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use evidence::fs::Node;
use evidence::{EvidenceError, FileSystem};
use hashing::{Algorithm, Algorithms, Digest, MultiHasher};

/// Digest and length of the content of each node, in the order asked.
pub(crate) fn digests(
    fs: &dyn FileSystem,
    nodes: &[Node],
    threads: usize,
) -> Vec<Result<(Digest, u64), EvidenceError>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(nodes.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, 64) {
            scope.spawn(|| {
                let mut buffer = vec![0; 256 << 10];
                let mut own = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(node) = nodes.get(at) else { break };
                    own.push((at, digest(fs, *node, &mut buffer)));
                }
                let mut all = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                all.append(&mut own);
            });
        }
    });
    let mut all = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

fn digest(
    fs: &dyn FileSystem,
    node: Node,
    buffer: &mut [u8],
) -> Result<(Digest, u64), EvidenceError> {
    let mut hasher = MultiHasher::new(&Algorithms::sha256());
    let mut offset = 0_u64;
    loop {
        let count = fs.read_at(node, offset, buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    let digests = hasher.finish();
    let digest = digests.of(Algorithm::Sha256).cloned();
    digest.map(|digest| (digest, offset)).ok_or_else(|| EvidenceError::Unsupported {
        what: "another digest than SHA-256".to_owned(),
    })
}
