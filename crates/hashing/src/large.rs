//! Large files: several digests on several processors, BLAKE3 of aligned parts at the same time, and digests of pieces.
//!
//! MD5 and the SHA family are chains: one of them cannot be split, but several can run beside each other on the same
//! blocks. BLAKE3 is a tree, so parts of a file are read and hashed by several threads. A file is never mapped: a
//! mapping ends the program when the file is cut or the disk fails under it.

use std::fs::File;
use std::io::Read;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use crate::groups::{GROUP_BYTES, Groups, value};
use crate::hasher::BLOCK_BYTES;
use crate::{Algorithm, Algorithms, Digests, Error, MultiHasher, PieceDigests, PieceHasher};

/// From this size on it pays to start threads for one file.
const LARGE_BYTES: u64 = 16 << 20;

/// Bytes read at once by one thread, a multiple of a group.
const PART_BYTES: usize = 16 * GROUP_BYTES;

/// Parts that may wait between the reader and each hasher.
const WAITING_PARTS: usize = 4;

/// Bytes between two joins of parts that were hashed at the same time: what bounds the memory.
const SPAN_BYTES: u64 = 1 << 30;

/// What is wanted of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) algorithms: &'a Algorithms,
    pub(crate) piece_bytes: Option<NonZeroU64>,
    pub(crate) threads: NonZeroUsize,
}

/// What was found of one stream.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) digests: Digests,
    pub(crate) pieces: Vec<PieceDigests>,
    pub(crate) size_bytes: u64,
}

/// One share of the work on every block.
enum Lane {
    Whole(MultiHasher),
    Pieces(PieceHasher),
}

impl Lane {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Whole(hasher) => hasher.update(bytes),
            Self::Pieces(hasher) => hasher.update(bytes),
        }
    }
}

/// The digests of an open file of about `size_bytes`.
///
/// `buffer` has at least [`BLOCK_BYTES`] and is the caller's, who uses it for many files.
pub(crate) fn digest(
    file: &File,
    size_bytes: u64,
    wanted: &Wanted<'_>,
    buffer: &mut [u8],
) -> Result<Found, Error> {
    let large = size_bytes >= LARGE_BYTES;
    if large {
        // What helps disks most; where it is refused, reading works all the same.
        let _refused = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
    }
    let mut lanes = lanes(wanted, large);
    if large && wanted.threads.get() > 1 {
        let only_tree = wanted.piece_bytes.is_none()
            && wanted.algorithms.iter().all(|one| one == Algorithm::Blake3);
        if only_tree && let Some(found) = blake3_at_once(file, size_bytes, wanted.threads)? {
            return Ok(found);
        }
        if lanes.len() > 1 {
            return side_by_side(file, lanes);
        }
    }
    let mut size_bytes = 0u64;
    loop {
        let count = read(file, buffer, size_bytes)?;
        if count == 0 {
            return Ok(collect(lanes, size_bytes));
        }
        let block = buffer.get(..count).unwrap_or_default();
        lanes.iter_mut().for_each(|lane| lane.update(block));
        size_bytes = size_bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

fn read(mut file: &File, buffer: &mut [u8], offset_bytes: u64) -> Result<usize, Error> {
    loop {
        match file.read(buffer) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Read { offset_bytes, source }),
        }
    }
}

/// The work in shares that take about the same time; one share where threads do not pay.
fn lanes(wanted: &Wanted<'_>, large: bool) -> Vec<Lane> {
    let mut lanes = Vec::new();
    let threads = wanted.threads.get();
    if large && threads > 1 {
        // Time for a byte, SHA-512 as the measure. MD5 takes SHA-256 along, so the two stay together.
        let mut shares: Vec<(u32, Vec<Algorithm>)> = vec![(0, Vec::new()); threads.min(4)];
        let with_md5 = wanted.algorithms.has(Algorithm::Md5);
        let mut units: Vec<(u32, Vec<Algorithm>)> = wanted
            .algorithms
            .iter()
            .filter(|one| !(with_md5 && *one == Algorithm::Sha256))
            .map(|one| match one {
                Algorithm::Md5 if wanted.algorithms.has(Algorithm::Sha256) => {
                    (100, vec![Algorithm::Md5, Algorithm::Sha256])
                }
                Algorithm::Md5 | Algorithm::Sha512 => (100, vec![one]),
                Algorithm::Sha1 | Algorithm::Sha256 => (45, vec![one]),
                Algorithm::Blake3 => (15, vec![one]),
            })
            .collect();
        units.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (cost, algorithms) in units {
            if let Some(share) = shares.iter_mut().min_by_key(|(cost, _)| *cost) {
                share.0 = share.0.saturating_add(cost);
                share.1.extend(algorithms);
            }
        }
        let sets = shares.into_iter().filter_map(|(_, one)| Algorithms::exactly(one));
        lanes.extend(sets.map(|set| Lane::Whole(MultiHasher::new(&set))));
    } else {
        lanes.push(Lane::Whole(MultiHasher::new(wanted.algorithms)));
    }
    let pieces = wanted.piece_bytes.map(|bytes| PieceHasher::new(wanted.algorithms, bytes));
    lanes.extend(pieces.map(Lane::Pieces));
    lanes
}

fn collect(lanes: Vec<Lane>, size_bytes: u64) -> Found {
    let mut found = Found { digests: Digests::default(), pieces: Vec::new(), size_bytes };
    for lane in lanes {
        match lane {
            Lane::Whole(hasher) => {
                for digest in hasher.finish().iter() {
                    found.digests.insert(digest.clone());
                }
            }
            Lane::Pieces(hasher) => found.pieces = hasher.finish(),
        }
    }
    found
}

/// One reader, one thread for each lane, a few parts between them.
fn side_by_side(file: &File, lanes: Vec<Lane>) -> Result<Found, Error> {
    let mut size_bytes = 0u64;
    std::thread::scope(|scope| {
        let mut queues = Vec::new();
        let mut workers = Vec::new();
        for mut lane in lanes {
            let (queue, parts) = sync_channel::<Arc<(Vec<u8>, usize)>>(WAITING_PARTS);
            queues.push(queue);
            workers.push(scope.spawn(move || {
                for part in parts {
                    lane.update(part.0.get(..part.1).unwrap_or_default());
                }
                lane
            }));
        }
        // Parts that all lanes have done with are filled again.
        let mut used: Vec<Arc<(Vec<u8>, usize)>> = Vec::new();
        loop {
            let free = used.iter().position(|part| Arc::strong_count(part) == 1);
            let part = free.map(|at| used.swap_remove(at)).and_then(Arc::into_inner);
            let mut part = part.unwrap_or_else(|| (vec![0; PART_BYTES], 0));
            part.1 = read(file, &mut part.0, size_bytes)?;
            if part.1 == 0 {
                break;
            }
            size_bytes = size_bytes.saturating_add(u64::try_from(part.1).unwrap_or(u64::MAX));
            let part = Arc::new(part);
            for queue in &queues {
                // A lane ends before its queue only by a fault of ours, which its join passes on.
                let _ended = queue.send(Arc::clone(&part));
            }
            used.push(part);
        }
        drop(queues);
        let lanes = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        Ok(collect(lanes, size_bytes))
    })
}

/// BLAKE3 of a file whose parts are read and hashed by several threads; `None` if it changed its size meanwhile.
fn blake3_at_once(
    file: &File,
    size_bytes: u64,
    threads: NonZeroUsize,
) -> Result<Option<Found>, Error> {
    let part_bytes = u64::try_from(PART_BYTES).unwrap_or(u64::MAX);
    let mut groups = Groups::default();
    let mut span = 0u64;
    while span < size_bytes {
        let end = size_bytes.min(span.saturating_add(SPAN_BYTES));
        let next = AtomicU64::new(span);
        let values = Mutex::new(Vec::new());
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads.get() {
                scope.spawn(|| {
                    let mut buffer = vec![0; PART_BYTES];
                    let mut own = Vec::new();
                    loop {
                        let at = next.fetch_add(part_bytes, Ordering::Relaxed);
                        let length = end.saturating_sub(at).min(part_bytes);
                        let length = usize::try_from(length).unwrap_or(0);
                        let Some(part) = buffer.get_mut(..length).filter(|part| !part.is_empty())
                        else {
                            break;
                        };
                        if let Err(source) = file.read_exact_at(part, at) {
                            let mut place = failure.lock().unwrap_or_else(PoisonError::into_inner);
                            place.get_or_insert(Error::Read { offset_bytes: at, source });
                            break;
                        }
                        own.push((at, values_of(part, at)));
                    }
                    values.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Error::Read { source, .. })
                if source.kind() == std::io::ErrorKind::UnexpectedEof =>
            {
                return Ok(None);
            }
            Some(error) => return Err(error),
            None => {}
        }
        let mut values = values.into_inner().unwrap_or_else(PoisonError::into_inner);
        values.sort_unstable_by_key(|(at, _)| *at);
        values.iter().flat_map(|(_, values)| values).for_each(|value| groups.push(*value));
        span = end;
    }
    // Grown since it was opened: what was read is not all of it.
    let mut more = [0];
    if file.read_at(&mut more, size_bytes).unwrap_or(0) > 0 {
        return Ok(None);
    }
    let mut digests = Digests::default();
    groups.finish(&mut digests);
    Ok(Some(Found { digests, pieces: Vec::new(), size_bytes }))
}

fn values_of(part: &[u8], offset_bytes: u64) -> Vec<[u8; 32]> {
    let group_bytes = u64::try_from(GROUP_BYTES).unwrap_or(u64::MAX);
    let first = offset_bytes.checked_div(group_bytes).unwrap_or(0);
    part.chunks(GROUP_BYTES).zip(first..).map(|(group, number)| value(group, number)).collect()
}

/// A buffer as [`digest`] wants it.
pub(crate) fn buffer() -> Vec<u8> {
    vec![0; BLOCK_BYTES]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest_bytes;
    use std::io::{Seek as _, Write as _};

    fn noise(length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8) as u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes: Vec<u8> = words.flat_map(|n| (n ^ (n >> 29)).to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// Independent path: the same bytes hashed in memory by one thread.
    #[test]
    fn threads_do_not_show_in_the_digests_of_a_large_file() {
        let all: Algorithms = Algorithm::ALL.into_iter().collect();
        let mut file = tempfile::tempfile().unwrap();
        for length in [LARGE_BYTES as usize, LARGE_BYTES as usize + 5_000_001] {
            let bytes = noise(length);
            file.set_len(0).unwrap();
            file.rewind().unwrap();
            file.write_all(&bytes).unwrap();
            let expected = digest_bytes(&bytes, &all);
            let only = |one| Algorithms::exactly([one]).unwrap();
            for algorithms in [all.clone(), only(Algorithm::Blake3), only(Algorithm::Md5)] {
                for threads in 1..4 {
                    file.rewind().unwrap();
                    let wanted = Wanted {
                        algorithms: &algorithms,
                        piece_bytes: None,
                        threads: NonZeroUsize::new(threads).unwrap(),
                    };
                    let found = digest(&file, length as u64, &wanted, &mut buffer()).unwrap();
                    assert_eq!(found.size_bytes, length as u64);
                    assert!(found.digests.agrees_with(&expected), "{algorithms:?} {threads}");
                    assert_eq!(found.digests.iter().count(), algorithms.iter().count());
                }
            }
        }
    }

    /// A file that is not as long as it was said to be is read as it is.
    #[test]
    fn a_size_that_is_wrong_does_not_mislead() {
        let bytes = noise(LARGE_BYTES as usize + 100_000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let algorithms = Algorithms::exactly([Algorithm::Blake3]).unwrap();
        let threads = NonZeroUsize::new(2).unwrap();
        for said in [LARGE_BYTES, LARGE_BYTES * 2] {
            file.rewind().unwrap();
            let wanted = Wanted { algorithms: &algorithms, piece_bytes: None, threads };
            let found = digest(&file, said, &wanted, &mut buffer()).unwrap();
            assert_eq!(found.size_bytes, bytes.len() as u64);
            assert_eq!(found.digests, digest_bytes(&bytes, &algorithms));
        }
    }
}
