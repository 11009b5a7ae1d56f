//! The forms in which lists of digests are written and read, and telling them apart.
//!
//! `sha256sum` (and its kin), BSD tags, hashdeep, mtree(5) and our own JSON lines. A form that has no place for something
//! leaves it out and says so; nothing is bent to fit. A list that is read comes from anybody: lines that do not follow
//! the format become problems with their numbers, the rest is kept.

mod hashdeep;
mod mtree;
mod tag;

use crate::{Algorithm, Algorithms, Error, Manifest, Problem};

pub(crate) use hashdeep::Columns;
pub(crate) use tag::parse as parse_tag;

/// A form of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `digest  name`, as `sha256sum` and its kin write and check (GNU coreutils manual, "md5sum invocation").
    Sum,
    /// `SHA256 (name) = digest`, as BSD, `sha256sum --tag` and `cksum` write.
    Tag,
    /// `size,digests,name` below a heading, as hashdeep of md5deep 4 writes.
    Hashdeep,
    /// mtree(5), as NetBSD, FreeBSD and libarchive write.
    Mtree,
    /// Our JSON lines.
    Manifest,
}

/// A list as text.
#[derive(Debug, Default)]
pub struct Written {
    /// The text.
    pub text: Vec<u8>,
    /// What the form has no place for.
    pub left_out: Vec<Problem>,
}

/// A list that was read.
#[derive(Debug)]
pub struct Listed {
    /// The form it was in.
    pub form: Form,
    /// What it lists.
    pub manifest: Manifest,
    /// Lines that do not follow the form.
    pub problems: Vec<Error>,
}

impl Written {
    fn leave_out(&mut self, path: &[u8], reason: &str) {
        self.left_out.push(Problem { path: path.to_vec(), reason: reason.to_owned() });
    }
}

impl Manifest {
    /// The list in a form, with these digests where the form can hold them.
    #[must_use]
    pub fn to_form(&self, form: Form, algorithms: &Algorithms) -> Written {
        match form {
            Form::Sum => {
                let text = algorithms.iter().flat_map(|one| self.to_sum_text(one)).collect();
                Written { text, left_out: Vec::new() }
            }
            Form::Tag => tag::write(self, algorithms),
            Form::Hashdeep => hashdeep::write(self, algorithms),
            Form::Mtree => mtree::write(self, algorithms),
            Form::Manifest => {
                Written { text: self.to_json_lines().into_bytes(), left_out: Vec::new() }
            }
        }
    }

    /// Reads a list in whatever form it is.
    ///
    /// `sums` says what the 64 hexadecimal digits of a `Sum` list are: SHA-256 and BLAKE3 look alike.
    #[must_use]
    pub fn from_any_form(text: &[u8], sums: Algorithm) -> Listed {
        let form = form_of(text);
        let (manifest, problems) = match form {
            Form::Sum => Self::from_sum_text(text, sum_algorithm(text, sums)),
            Form::Tag => tag::read(text),
            Form::Hashdeep => hashdeep::read(text),
            Form::Mtree => mtree::read(text),
            Form::Manifest => Self::from_json_lines(text),
        };
        Listed { form, manifest, problems }
    }
}

fn form_of(text: &[u8]) -> Form {
    let first = lines(text)
        .find(|line| !line.trim_ascii().is_empty())
        .unwrap_or_default()
        .trim_ascii_start();
    if first.starts_with(hashdeep::MAGIC) {
        Form::Hashdeep
    } else if first.starts_with(b"{") {
        Form::Manifest
    } else if first.starts_with(b"#") || first.starts_with(b"/set") || first.starts_with(b".") {
        Form::Mtree
    } else if tag::parse(first).is_ok() {
        Form::Tag
    } else {
        Form::Sum
    }
}

/// The algorithm whose digests the first line can hold.
fn sum_algorithm(text: &[u8], sums: Algorithm) -> Algorithm {
    let first = lines(text).find(|line| !line.is_empty()).unwrap_or_default();
    let first = first.strip_prefix(b"\\").unwrap_or(first);
    let digits = first.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    by_digits(digits, sums).unwrap_or(sums)
}

/// The algorithm with so many hexadecimal digits; `sums` where two have.
pub(crate) fn by_digits(digits: usize, sums: Algorithm) -> Option<Algorithm> {
    let fits = |algorithm: &Algorithm| algorithm.length_bytes().checked_mul(2) == Some(digits);
    Some(sums).filter(fits).or_else(|| Algorithm::ALL.into_iter().find(fits))
}

pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Entry, digest_bytes};
    use proptest::prelude::*;

    const FORMS: [Form; 5] = [Form::Sum, Form::Tag, Form::Hashdeep, Form::Mtree, Form::Manifest];

    fn manifest(names: &[Vec<u8>]) -> Manifest {
        let mut manifest = Manifest::new();
        for name in names {
            let digests = digest_bytes(name, &Algorithms::sha256());
            let size_bytes = Some(name.len() as u64);
            manifest.insert(Entry {
                path: name.clone(),
                content: Content::File { size_bytes, digests },
            });
        }
        manifest
    }

    proptest! {
        /// Only us; `tests/rivals.rs` asks the programs whose forms these are.
        #[test]
        fn what_is_written_is_read_back(
            names in proptest::collection::vec(
                proptest::collection::vec(1u8..=255, 1..12)
                    .prop_map(|name| name.iter().map(|b| if *b == b'/' { b'_' } else { *b }).collect::<Vec<u8>>())
                    .prop_filter("no path", |name| name != b"." && name != b".."),
                1..6,
            ),
        ) {
            let manifest = manifest(&names);
            for form in FORMS {
                let written = manifest.to_form(form, &Algorithms::sha256());
                let listed = Manifest::from_any_form(&written.text, Algorithm::Sha256);
                let kept = manifest.len() - written.left_out.len();
                if kept > 0 {
                    prop_assert_eq!(listed.form, form);
                }
                prop_assert!(listed.problems.is_empty(), "{:?} {:?}", form, listed.problems);
                prop_assert_eq!(listed.manifest.len(), kept);
                let clean = crate::compare(&listed.manifest, &manifest);
                prop_assert_eq!(clean.unchanged, kept);
            }
        }

        #[test]
        fn any_bytes_are_survived(head in 0usize..7, rest: Vec<u8>) {
            let heads: [&[u8]; 7] = [
                b"", b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n", b"#mtree\n/set type=dir\n",
                b"MD5 (", b"{\"format\":", b"d41d8cd98f00b204e9800998ecf8427e  ", b". type=dir\n",
            ];
            let _ = Manifest::from_any_form(&[heads[head], &rest].concat(), Algorithm::Sha256);
        }
    }
}
