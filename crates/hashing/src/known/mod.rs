//! Sets of known digests: millions of them, and the question whether one is among them.
//!
//! A set is a sorted table of raw digests for each algorithm, with an index by their first bits. Digests are spread
//! evenly, so a look-up reads a handful of neighbours whatever the size; ten million SHA-1 take 200 MB and 8 MB of index.
//! The table is in memory, or in a file that was built once ([`KnownSet::build`]) and is then asked in place.

mod built;
mod reading;
mod table;

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, Write};
use std::path::Path;

use crate::{Algorithm, Digests, Error};
use table::Table;

/// What SQLite's files begin with (sqlite.org, "Database File Format", section 1.3).
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// A set of known digests.
#[derive(Debug, Default)]
pub struct KnownSet {
    tables: Vec<Table>,
}

/// A set that was read from a list, and the lines that did not follow its format.
#[derive(Debug)]
pub struct ReadSet {
    /// The set.
    pub set: KnownSet,
    /// The lines that were passed over, with what is wrong with them; the first thousand.
    pub problems: Vec<Error>,
}

impl KnownSet {
    /// Reads a set from a file of any of these forms: NSRL RDS version 2 (`NSRLFile.txt`) and other comma-separated lists
    /// with a heading, hashdeep, `sha256sum` and its kin, BSD tags, our manifests, plain digests one to a line, and files
    /// made by [`Self::build`]. Of a line with several digests the strongest is taken.
    ///
    /// # Errors
    /// When the file cannot be read, is a built set that is damaged, or is an SQLite database (NSRL RDS version 3).
    pub fn open(path: &Path) -> Result<ReadSet, Error> {
        let failed =
            |source| Error::Io { action: "reading the set", path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut head = Vec::new();
        (&file).take(64).read_to_end(&mut head).map_err(failed)?;
        if head.starts_with(SQLITE_MAGIC) {
            return Err(Error::SetIsDatabase { path: path.to_path_buf() });
        }
        file.rewind().map_err(failed)?;
        if head.starts_with(built::MAGIC) {
            let tables = built::open(&file, path)?;
            return Ok(ReadSet { set: Self { tables }, problems: Vec::new() });
        }
        Self::read(&mut BufReader::with_capacity(1 << 20, file)).map_err(failed)
    }

    /// Reads a set from a list in any of the forms that are text.
    ///
    /// # Errors
    /// When reading fails; lines that are none become problems.
    pub fn read(from: &mut impl BufRead) -> std::io::Result<ReadSet> {
        let mut gathered = reading::Gathered::default();
        gathered.read(from)?;
        let (digests, problems) = gathered.into_parts();
        Ok(ReadSet { set: Self::from_raw(digests), problems })
    }

    fn from_raw(digests: Vec<(Algorithm, Vec<u8>)>) -> Self {
        let tables = digests.into_iter().map(|(algorithm, raw)| Table::sorted(algorithm, raw));
        Self { tables: tables.filter(|table| table.count() > 0).collect() }
    }

    /// How many different digests are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.tables.iter().map(Table::count).fold(0, u64::saturating_add)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The algorithms a file must be hashed with to be looked up.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.tables.iter().map(Table::algorithm)
    }

    /// Whether one of these digests is in the set.
    ///
    /// # Errors
    /// When the file of a built set cannot be read.
    pub fn knows(&self, digests: &Digests) -> Result<bool, Error> {
        for table in &self.tables {
            let Some(digest) = digests.of(table.algorithm()) else { continue };
            let found = table.has(digest.as_bytes());
            if found.map_err(|source| Error::Read { offset_bytes: 0, source })? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the set as a file that [`Self::open`] can ask in place.
    ///
    /// # Errors
    /// When a table cannot be read or the file cannot be written.
    pub fn build(&self, out: &mut dyn Write) -> std::io::Result<()> {
        built::write(&self.tables, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithms, digest_bytes};
    use proptest::prelude::*;

    fn set_of(text: &[u8]) -> ReadSet {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        KnownSet::open(file.path()).unwrap()
    }

    fn digests(bytes: &[u8]) -> Digests {
        digest_bytes(bytes, &Algorithm::ALL.into_iter().collect())
    }

    /// Only us, after the lines NIST publishes: heading and quotes as in RDS 2.
    #[test]
    fn nsrl_lines_are_understood() {
        let read = set_of(
            b"\"SHA-1\",\"MD5\",\"CRC32\",\"FileName\",\"FileSize\",\"ProductCode\",\"OpSystemCode\",\"SpecialCode\"\r\n\
              \"A9993E364706816ABA3E25717850C26C9CD0D89D\",\"900150983CD24FB0D6963F7D28E17F72\",\"352441C2\",\"a,\"\"b\",3,1,\"362\",\"\"\r\n\
              \"zz\",\"\",\"\",\"\",0,0,\"\",\"\"\r\n",
        );
        assert_eq!(read.set.len(), 1);
        assert_eq!(read.set.algorithms().collect::<Vec<_>>(), [Algorithm::Sha1]);
        assert!(read.set.knows(&digests(b"abc")).unwrap());
        assert!(!read.set.knows(&digests(b"abd")).unwrap());
        assert_eq!(read.problems.len(), 1, "{:?}", read.problems);
        assert!(read.problems[0].to_string().starts_with("manifest line 3"), "{:?}", read.problems);
    }

    #[test]
    fn every_form_of_list_is_a_set() {
        let mut manifest = crate::Manifest::new();
        let all: Algorithms = Algorithm::ALL.into_iter().collect();
        for name in ["a", "b b", "c,c"] {
            let digests = digest_bytes(name.as_bytes(), &all);
            let content = crate::Content::File { size_bytes: Some(3), digests };
            manifest.insert(crate::Entry { path: name.as_bytes().to_vec(), content });
        }
        for form in
            [crate::Form::Sum, crate::Form::Tag, crate::Form::Hashdeep, crate::Form::Manifest]
        {
            let text = manifest.to_form(form, &Algorithms::sha256()).text;
            let read = set_of(&text);
            assert!(read.problems.is_empty(), "{form:?} {:?}", read.problems);
            for name in ["a", "b b", "c,c"] {
                assert!(read.set.knows(&digests(name.as_bytes())).unwrap(), "{form:?} {name}");
            }
            assert!(!read.set.knows(&digests(b"other")).unwrap());
        }
    }

    #[test]
    fn plain_digests_of_several_algorithms_may_be_mixed() {
        let of = |bytes: &[u8], algorithm| digests(bytes).of(algorithm).unwrap().to_hex();
        let text = format!(
            "# a comment\n{}\n{}\n\n{}\nnothing\n",
            of(b"one", Algorithm::Md5),
            of(b"two", Algorithm::Sha256).to_uppercase(),
            of(b"three", Algorithm::Sha512),
        );
        let read = set_of(text.as_bytes());
        assert_eq!(read.set.len(), 3);
        for name in ["one", "two", "three"] {
            assert!(read.set.knows(&digests(name.as_bytes())).unwrap(), "{name}");
        }
        assert_eq!(read.problems.len(), 1);
    }

    #[test]
    fn a_database_is_refused_with_the_way_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"SQLite format 3\0 and so on").unwrap();
        let error = KnownSet::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("sqlite3") && error.contains("SELECT"), "{error}");
    }

    fn sha1(n: u16) -> Digests {
        let only = Algorithms::exactly([Algorithm::Sha1]).unwrap();
        digest_bytes(&n.to_le_bytes(), &only)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Independent path: a plain set of the same lines.
        #[test]
        fn sets_in_memory_and_in_files_agree_with_a_plain_one(
            known in proptest::collection::btree_set(0u16..500, 0..300),
        ) {
            let text: String = known
                .iter()
                .map(|n| sha1(*n).of(Algorithm::Sha1).unwrap().to_hex() + "\n")
                .collect();
            let in_memory = set_of(text.as_bytes()).set;
            let mut built = Vec::new();
            in_memory.build(&mut built).unwrap();
            let in_file = set_of(&built).set;
            prop_assert_eq!(in_memory.len(), known.len() as u64);
            prop_assert_eq!(in_file.len(), known.len() as u64);
            for n in 0u16..500 {
                let asked = sha1(n);
                prop_assert_eq!(in_memory.knows(&asked).unwrap(), known.contains(&n));
                prop_assert_eq!(in_file.knows(&asked).unwrap(), known.contains(&n));
            }
        }

        #[test]
        fn damaged_built_sets_are_refused(at: prop::sample::Index, mask in 1u8..=255) {
            let text = "a9993e364706816aba3e25717850c26c9cd0d89d\n900150983cd24fb0d6963f7d28e17f72\n";
            let mut built = Vec::new();
            set_of(text.as_bytes()).set.build(&mut built).unwrap();
            let at = at.index(built.len());
            built[at] ^= mask;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &built).unwrap();
            // A byte of the name changed makes it a list of no sense; any other is seen.
            match KnownSet::open(file.path()) {
                Ok(read) => prop_assert!(read.set.is_empty() && !read.problems.is_empty()),
                Err(error) => prop_assert!(error.to_string().contains("set"), "{}", error),
            }
        }

        #[test]
        fn any_bytes_are_survived(head in 0usize..4, rest: Vec<u8>) {
            let heads: [&[u8]; 4] = [b"", b"\"SHA-1\",\"x\"\n\"", b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n", b"glovebox known set 1\n"];
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), [heads[head], &rest].concat()).unwrap();
            let _ = KnownSet::open(file.path());
        }
    }
}
