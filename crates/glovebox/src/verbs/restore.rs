//! `glovebox restore`: what a vendor signed, out of the archive again.
//!
//! Into the case or a folder only: putting it onto a disk is a change of evidence, and is done by hand with a permit.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use archive::debian::database;
use archive::store::{Brought, Catalogue, CatalogueRow, Item as Listed, ItemKind, Sealed};
use casebook::{Item, Outcome, OutcomeKind};
use evidence::fs::tree;
use guard::Guard;
use hashing::{Algorithm, Algorithms, Content, Digests, Manifest};
use serde::Serialize;
use serde_json::json;

use crate::entry::hex_if_escaped;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Colour, Format, paint, say, size};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;
use crate::target;
use crate::verbs::archive::trust::Trust;

const RECORD_FILE: &str = "files.jsonl";
const MANIFEST_FILE: &str = "manifest.sha256";
const FILES: &str = "files";
/// Longest package database read of a system.
const MAX_STATUS_BYTES: usize = 64 << 20;

/// Take what a vendor signed out of an archive again
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Single files of packages, into the case or a folder
    File(Box<FileArgs>),
}

/// Take single files of packages out of an archive
///
/// Each is compared with the signed catalogue as it is unpacked and read
/// back. Copies have no right to execute; what each must be on a system
/// stands in files.jsonl beside them.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct FileArgs {
    /// Where the files stand on a system, such as /usr/bin/ls
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The archive's folder
    #[arg(long, value_name = "FOLDER")]
    archive: PathBuf,
    /// Take them from this package: NAME or NAME=VERSION
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
    /// Take the versions this system claims to have: a disk or image
    #[arg(long = "for", value_name = "ADDRESS", conflicts_with = "package")]
    system: Option<String>,
    /// A new folder to put them in (default: an exhibit of the case)
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

/// What stands in the record about one file.
#[derive(Debug, Serialize)]
struct Line {
    /// Where it stands on a system, escaped.
    path: String,
    /// The same in hexadecimal, where escaping changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    package: String,
    version: String,
    architecture: String,
    /// The package file in the archive.
    package_file: String,
    /// The mode it must have, in octal.
    mode: String,
    uid: u64,
    gid: u64,
    size_bytes: u64,
    sha256: String,
    /// The copy, below the folder.
    copy: String,
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If it cannot be done or is refused.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::File(args) => args.run(),
        }
    }
}

impl FileArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let wanted: BTreeSet<Vec<u8>> =
            self.paths.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
        if let Some(folder) = &self.to {
            let guard = Guard::connect()?;
            return self.restore(&guard, &Recording::default(), &wanted, Some(folder));
        }
        self.chosen.needed_path()?;
        let arguments = json!({
            "paths": wanted.iter().map(|path| evidence::escape_bytes(path)).collect::<Vec<_>>(),
            "archive": self.archive.display().to_string(),
            "package": self.package,
            "for": self.system,
        });
        recorded(&self.chosen, "restore file", &arguments, |guard, act| {
            self.restore(guard, act, &wanted, None)
        })
    }

    fn restore(
        &self,
        guard: &Guard,
        act: &Recording,
        wanted: &BTreeSet<Vec<u8>>,
        folder: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let sealed = self.trust.open(&self.archive)?;
        let catalogue = sealed.catalogue()?;
        act.inputs(vec![input(&sealed)]);
        // Everything is found before anything is made.
        let chosen = self.choose(&catalogue, wanted, guard, act)?;
        let exhibit = match folder {
            Some(folder) => {
                fs::create_dir(folder).map_err(|problem| {
                    Failure::from(problem)
                        .while_doing(format!("making the folder {}", folder.display()))
                        .hint("name a folder that is not there yet")
                })?;
                None
            }
            None => Some(act.new_exhibit("restored")?),
        };
        let into = exhibit.as_ref().map_or_else(|| folder.unwrap_or(Path::new("")), |it| it.path());
        let (lines, problems) = unpack(&catalogue, &chosen, into)?;
        let mut outputs = Vec::new();
        for (name, digests, size_bytes) in list(into, &lines)? {
            outputs.extend(exhibit.as_ref().map(|exhibit| Item {
                name: exhibit.item_name(&name),
                size_bytes: Some(size_bytes),
                digests,
                facts: serde_json::Value::Null,
            }));
        }
        outputs.into_iter().for_each(|item| act.output(item));
        problems.iter().for_each(|problem| act.problem(problem));
        let kind = if problems.is_empty() { OutcomeKind::Done } else { OutcomeKind::Partial };
        act.concludes(Outcome::new(kind, format!("{} files restored", lines.len())));
        for line in &lines {
            self.format.record("restored", line, || {
                let (bytes, from) =
                    (size(line.size_bytes), format!("{} {}", line.package, line.version));
                format!(
                    "{}  {bytes} of {from}, mode {}",
                    into.join(&line.copy).display(),
                    line.mode
                )
            })?;
        }
        for problem in &problems {
            say(&paint(&format!("not restored: {problem}"), Colour::Red));
        }
        if lines.is_empty() {
            return Err(Failure::new("none of the files could be restored"));
        }
        Ok(if problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }

    /// Which package each path is taken from.
    fn choose<'a>(
        &self,
        catalogue: &'a Catalogue,
        wanted: &BTreeSet<Vec<u8>>,
        guard: &Guard,
        act: &Recording,
    ) -> Result<Vec<(Vec<u8>, Brought<'a>)>, Failure> {
        let claimed = match &self.system {
            Some(word) => Some(self.claimed(word, guard, act)?),
            None => None,
        };
        let named = self.package.as_deref().map(|text| match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        });
        let is_meant = |row: &CatalogueRow| {
            let of = (row.name.clone(), row.version.to_string(), row.architecture.clone());
            claimed.as_ref().is_none_or(|all| all.contains(&of))
                && named.is_none_or(|(name, version)| {
                    row.name == name
                        && version.is_none_or(|version| row.version.as_str() == version)
                })
        };
        // Packages write one path in two ways since directories of the root were merged into /usr.
        let spellings =
            wanted.iter().flat_map(|path| [path.clone(), other_spelling(path)]).collect();
        let brought = catalogue.bringing(&spellings, &is_meant)?;
        let mut chosen = Vec::new();
        for path in wanted {
            let other = other_spelling(path);
            let mut fitting: Vec<&Brought<'a>> = brought
                .iter()
                .filter(|one| one.item.path == *path || one.item.path == other)
                .filter(|one| {
                    matches!(one.item.kind, ItemKind::File { .. } | ItemKind::HardLink(_))
                })
                .collect();
            fitting.dedup_by(|a, b| a.row.record == b.row.record && a.item.path == b.item.path);
            match fitting.as_slice() {
                [one] => chosen.push((path.clone(), (*one).clone())),
                [] => {
                    let name = evidence::escape_bytes(path);
                    let from = if self.system.is_some() || self.package.is_some() {
                        "the packages meant bring no such file"
                    } else {
                        "no package of the archive brings such a file"
                    };
                    return Err(Failure::new(format!("{name}: {from}"))
                        .hint(format!("glovebox archive list {}", self.archive.display())));
                }
                several => {
                    let name = evidence::escape_bytes(path);
                    let text = format!("{name}: {} packages bring it; name one", several.len());
                    let mut failure = Failure::new(text);
                    for one in several {
                        let (name, version) = (&one.row.name, &one.row.version);
                        failure = failure.hint(format!("--package {name}={version}"));
                    }
                    return Err(failure.hint("or --for ADDRESS for what a system claims to have"));
                }
            }
        }
        Ok(chosen)
    }

    /// The packages a system claims to have: only a choice of versions hangs on it.
    fn claimed(
        &self,
        word: &str,
        guard: &Guard,
        act: &Recording,
    ) -> Result<BTreeSet<(String, String, String)>, Failure> {
        let address = target::address(word);
        let opened = self.reading.open(&address, guard)?;
        let found = opened.tree(&address)?;
        act.inputs(opened.inputs(guard, &[&found.address]));
        let (status, is_whole) =
            tree::read_file(&*found.fs, b"/var/lib/dpkg/status", MAX_STATUS_BYTES).map_err(
                |error| Failure::from(error).while_doing(format!("looking on {}", found.address)),
            )?;
        if !is_whole {
            return Err(Failure::new(format!(
                "the package database is over {MAX_STATUS_BYTES} bytes"
            )));
        }
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
        let installed = database::parse_status(&status).into_iter().filter(|one| one.is_unpacked);
        Ok(installed
            .map(|one| (text(&one.name), text(&one.version), text(&one.architecture)))
            .collect())
    }
}

/// The archive as the act lists it.
fn input(sealed: &Sealed) -> Item {
    let statement = sealed.statement();
    Item {
        name: format!("archive {}", statement.name),
        size_bytes: None,
        digests: Digests::default(),
        facts: json!({ "version": statement.version, "signed_seconds": statement.signed_seconds }),
    }
}

fn absolute(path: &Path) -> Result<Vec<u8>, Failure> {
    let raw = path.as_os_str().as_bytes();
    let is_plain = raw.starts_with(b"/")
        && raw.len() > 1
        && raw.split(|byte| *byte == b'/').skip(1).all(|part| !matches!(part, b"" | b"." | b".."));
    if is_plain {
        return Ok(raw.to_vec());
    }
    let name = evidence::escape_bytes(raw);
    Err(Failure::new(format!("{name} is no absolute path without detours"))
        .hint("name files as they stand on a system: /usr/bin/ls"))
}

/// The same path by the other side of a merged directory.
fn other_spelling(path: &[u8]) -> Vec<u8> {
    let merged = [&b"/bin/"[..], b"/sbin/", b"/lib/", b"/lib32/", b"/lib64/", b"/libx32/"];
    match path.strip_prefix(b"/usr") {
        Some(rest) if merged.iter().any(|name| rest.starts_with(name)) => rest.to_vec(),
        None if merged.iter().any(|name| path.starts_with(name)) => [b"/usr", path].concat(),
        _ => path.to_vec(),
    }
}

/// Unpacks into the folder; a package that does not hold costs only its own files.
fn unpack(
    catalogue: &Catalogue,
    chosen: &[(Vec<u8>, Brought<'_>)],
    into: &Path,
) -> Result<(Vec<Line>, Vec<String>), Failure> {
    let mut by_file: BTreeMap<&str, Vec<&(Vec<u8>, Brought<'_>)>> = BTreeMap::new();
    for one in chosen {
        by_file.entry(&one.1.row.file).or_default().push(one);
    }
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    for of_package in by_file.into_values() {
        let Some((_, Brought { row, .. })) = of_package.first() else { continue };
        let paths = of_package.iter().map(|(_, one)| one.item.path.clone()).collect();
        // Under the name that was asked for.
        let asked = |item: &Listed| {
            let own = of_package.iter().find(|(_, one)| one.item.path == item.path);
            own.map_or_else(|| item.path.clone(), |(path, _)| path.clone())
        };
        let done = catalogue.extract(row, &paths, &mut |item, input| {
            lines.push(write(into, row, &asked(item), item, input)?);
            Ok(())
        });
        if let Err(error) = done {
            problems.push(Failure::from(error).text());
        }
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((lines, problems))
}

/// Writes one file and reads it back; it gets its name when both are what the catalogue says.
fn write(
    into: &Path,
    row: &CatalogueRow,
    path: &[u8],
    item: &Listed,
    input: &mut dyn Read,
) -> io::Result<Line> {
    let ItemKind::File { sha256, .. } = &item.kind else {
        return Err(io::Error::other("it is no regular file"));
    };
    let mut copy = FILES.to_owned();
    for part in path.split(|byte| *byte == b'/').skip(1) {
        copy.push('/');
        copy.push_str(&imaging::safe_name(part));
    }
    let place = into.join(&copy);
    let folder = place.parent().unwrap_or(into);
    fs::create_dir_all(folder)?;
    if place.exists() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    let mut name = place.clone().into_os_string();
    name.push(OsStr::new(".part"));
    let part = PathBuf::from(name);
    let written = File::create_new(&part).and_then(|mut file| {
        let length = io::copy(input, &mut file)?;
        file.sync_all()?;
        let (digests, _) =
            hashing::digest_file(&part, &Algorithms::sha256()).map_err(io::Error::other)?;
        if digests.of(Algorithm::Sha256) != Some(sha256) {
            return Err(io::Error::other("what is read back is not what was written"));
        }
        fs::rename(&part, &place)?;
        File::open(folder)?.sync_all()?;
        Ok(length)
    });
    if written.is_err() {
        // It is no file of the archive; that it stays would be no worse than the error told.
        let _kept = fs::remove_file(&part);
    }
    Ok(Line {
        path: evidence::escape_bytes(path),
        path_hex: hex_if_escaped(path),
        package: row.name.clone(),
        version: row.version.to_string(),
        architecture: row.architecture.clone(),
        package_file: row.file.clone(),
        mode: format!("{:04o}", item.mode),
        uid: item.uid,
        gid: item.gid,
        size_bytes: written?,
        sha256: sha256.to_hex(),
        copy,
    })
}

/// Writes record and manifest; gives every file of the folder with digest and length.
fn list(into: &Path, lines: &[Line]) -> Result<Vec<(String, Digests, u64)>, Failure> {
    let mut record = File::create_new(into.join(RECORD_FILE))?;
    let mut manifest = Manifest::new();
    let mut files = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut record, line)?;
        record.write_all(b"\n")?;
        let (digests, size_bytes) =
            hashing::digest_file(&into.join(&line.copy), &Algorithms::sha256())?;
        let content = Content::File { size_bytes: Some(size_bytes), digests: digests.clone() };
        manifest.insert(hashing::Entry { path: line.copy.clone().into_bytes(), content });
        files.push((line.copy.clone(), digests, size_bytes));
    }
    record.sync_all()?;
    let mut sums = File::create_new(into.join(MANIFEST_FILE))?;
    sums.write_all(&manifest.to_sum_text(Algorithm::Sha256))?;
    sums.sync_all()?;
    for name in [RECORD_FILE, MANIFEST_FILE] {
        let (digests, bytes) = hashing::digest_file(&into.join(name), &Algorithms::sha256())?;
        files.push((name.to_owned(), digests, bytes));
    }
    File::open(into)?.sync_all()?;
    Ok(files)
}
