//! The file of a built set: a head, for each table its index and records, and a digest over all of it.
//!
//! All numbers are little-endian. `glovebox known set 1\n` · number of tables (u32) · for each: algorithm (u32, its place
//! in the listing order), bits of the index (u32), number of records (u64) · for each: the index (u64 each), the records ·
//! SHA-256 of everything before. The digest is checked when the file is opened; after that it is asked in place.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use super::table::{Table, places};
use crate::hasher::BLOCK_BYTES;
use crate::{Algorithm, Algorithms, Error, MultiHasher};

pub(super) const MAGIC: &[u8] = b"glovebox known set 1\n";

/// Hashes what goes through it.
struct Hashing<'a> {
    out: &'a mut dyn Write,
    hasher: MultiHasher,
}

impl Hashing<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }
}

pub(super) fn write(tables: &[Table], out: &mut dyn Write) -> io::Result<()> {
    let mut out = Hashing { out, hasher: MultiHasher::new(&Algorithms::sha256()) };
    out.put(MAGIC)?;
    out.put(&u32::try_from(tables.len()).unwrap_or(u32::MAX).to_le_bytes())?;
    for table in tables {
        let place = Algorithm::ALL.iter().position(|one| *one == table.algorithm());
        out.put(&place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0).to_le_bytes())?;
        out.put(&table.bits().to_le_bytes())?;
        out.put(&table.count().to_le_bytes())?;
    }
    for table in tables {
        for start in table.index() {
            out.put(&start.to_le_bytes())?;
        }
        let mut record = [0; 64];
        let record = record.get_mut(..table.algorithm().length_bytes()).unwrap_or_default();
        let mut some = Vec::with_capacity(BLOCK_BYTES);
        for number in 0..table.count() {
            table.record(number, record)?;
            some.extend_from_slice(record);
            if some.len() >= BLOCK_BYTES {
                out.put(&some)?;
                some.clear();
            }
        }
        out.put(&some)?;
    }
    let Hashing { out, hasher } = out;
    let digests = hasher.finish();
    let digest = digests.of(Algorithm::Sha256);
    out.write_all(digest.map(crate::Digest::as_bytes).unwrap_or_default())?;
    out.flush()
}

pub(super) fn open(file: &File, path: &Path) -> Result<Vec<Table>, Error> {
    let failed = |source| Error::Io { action: "reading the set", path: path.to_path_buf(), source };
    let damaged = |what| Error::SetDamaged { path: path.to_path_buf(), what };
    let size_bytes = file.metadata().map_err(failed)?.len();
    let body_bytes = size_bytes.checked_sub(32).ok_or_else(|| damaged("it is cut short"))?;
    let (digests, read_bytes) = crate::digest_reader(file.take(body_bytes), &Algorithms::sha256())?;
    let mut expected = [0; 32];
    let mut rest = file;
    rest.read_exact(&mut expected).map_err(failed)?;
    let found = digests.of(Algorithm::Sha256).map(crate::Digest::as_bytes);
    if read_bytes != body_bytes || found != Some(&expected[..]) {
        return Err(damaged("its digest does not fit its content"));
    }
    let mut from = BufReader::new(file.try_clone().map_err(failed)?);
    from.seek(SeekFrom::Start(u64::try_from(MAGIC.len()).unwrap_or(0))).map_err(failed)?;
    let count = u32_of(&mut from).map_err(failed)?;
    let mut heads = Vec::new();
    for _ in 0..count.min(64) {
        let place = u32_of(&mut from).map_err(failed)?;
        let algorithm = usize::try_from(place).ok().and_then(|place| Algorithm::ALL.get(place));
        let algorithm = *algorithm.ok_or_else(|| damaged("it names an unknown algorithm"))?;
        let bits = u32_of(&mut from).map_err(failed)?;
        heads.push((algorithm, bits, u64_of(&mut from).map_err(failed)?));
    }
    let mut tables = Vec::new();
    for (algorithm, bits, count) in heads {
        // Also keeps a file that lies about its index from taking memory.
        let index_bytes = u64::try_from(places(bits)).unwrap_or(u64::MAX).saturating_mul(8);
        if bits > 24 || index_bytes > size_bytes {
            return Err(damaged("its index is larger than the file"));
        }
        let mut index = Vec::with_capacity(places(bits));
        for _ in 0..places(bits) {
            index.push(u64_of(&mut from).map_err(failed)?);
        }
        let offset_bytes = from.stream_position().map_err(failed)?;
        let length = u64::try_from(algorithm.length_bytes()).unwrap_or(u64::MAX);
        let end = count.checked_mul(length).and_then(|bytes| bytes.checked_add(offset_bytes));
        let end = end.filter(|end| *end <= body_bytes);
        let end = end.ok_or_else(|| damaged("it is shorter than its tables"))?;
        let place = (file.try_clone().map_err(failed)?, offset_bytes);
        let table = Table::in_file(algorithm, place, index, bits);
        let table = table.filter(|table| table.count() == count);
        tables.push(table.ok_or_else(|| damaged("its index does not fit"))?);
        from.seek(SeekFrom::Start(end)).map_err(failed)?;
    }
    Ok(tables)
}

fn u32_of(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn u64_of(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
