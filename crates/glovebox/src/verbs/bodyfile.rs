//! `glovebox bodyfile`: the times of every file, in the form timeline tools read.

use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;

use evidence::bodyfile;
use evidence::fs::digest::{self, Digested, Wanted};
use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileSystem, Node, RawPath, View};
use guard::Guard;
use hashing::{Algorithm, Algorithms};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::{Opened, Reading, Tree};
use crate::output::say;
use crate::recording::{Recording, recorded};
use crate::session::Chosen;
use crate::target;

/// Deleted objects listed for one file system.
const MAX_DELETED: usize = 1_000_000;
/// Lines written together; the standard output takes each piece by itself.
const OUTPUT_BYTES: usize = 64 * 1024;

/// Write the times of every file as a bodyfile (The Sleuth Kit 3)
///
/// Deleted files that can still be seen are marked (deleted). Without a
/// volume, all volumes that can be read are written, each path after its
/// volume's name.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A disk, a volume, or a directory, such as sda or sda:2:/home
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Compute the MD5 digest of every file
    #[arg(long)]
    md5: bool,
    /// Leave deleted files out
    #[arg(long)]
    no_deleted: bool,
    /// After each volume, the lines its raw view has and the other has not
    #[arg(long)]
    all_views: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
}

/// Where the lines of one tree go, and what was met.
struct Writer<'a> {
    out: BufWriter<io::StdoutLock<'a>>,
    problems: u64,
    failure: Option<io::Error>,
    act: &'a Recording,
}

impl Writer<'_> {
    fn line(&mut self, line: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.out.write_all(line).err();
        }
    }

    fn problem(&mut self, address: &str, problem: &evidence::Problem) {
        self.problems = self.problems.saturating_add(1);
        say(&format!("problem on {address}: {problem}"));
        self.act.problem(format!("{address}: {problem}"));
    }
}

impl Args {
    /// Writes it.
    ///
    /// # Errors
    /// If the source cannot be opened or standard output cannot be written.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({
            "address": self.address,
            "md5": self.md5,
            "deleted": !self.no_deleted,
            "all_views": self.all_views,
            "view": self.reading.view(),
        });
        recorded(&self.chosen, "bodyfile", &arguments, |guard, act| self.write(guard, act))
    }

    fn write(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let address = target::address(&self.address);
        let opened = self.reading.open(&address, guard)?;
        act.inputs(opened.inputs(guard, &[]));
        let out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock());
        let mut writer = Writer { out, problems: 0, failure: None, act };
        if address.label.is_some() || address.object.is_some() || opened.collection.is_some() {
            let found = opened.tree(&address)?.find(address.object.as_ref())?;
            let whole = address.object.is_none();
            self.tree(&found.tree, (found.node, &found.path), "", whole, &mut writer);
        } else {
            self.disk(&opened, &mut writer)?;
        }
        if let Some(error) = writer.failure {
            return Err(error.into());
        }
        writer.out.flush()?;
        Ok(if writer.problems == 0 { Exit::Clean } else { Exit::Partial })
    }

    fn disk(&self, opened: &Opened, writer: &mut Writer<'_>) -> Result<(), Failure> {
        let stack = &opened.stack;
        for id in stack.volumes() {
            let Some(volume) = stack.volume(id) else { continue };
            if !stack.is_readable(id) {
                for content in volume.contents.iter().take(1) {
                    say(&format!("not listed: {} holds {:?}", stack.address(id), content.kind));
                }
                continue;
            }
            let tree = match opened.volume(id) {
                Ok(tree) => tree,
                Err(failure) => {
                    writer.problems = writer.problems.saturating_add(1);
                    say(&format!("problem: {}", failure.text()));
                    writer.act.problem(failure.text());
                    continue;
                }
            };
            let prefix = stack.label(id);
            let root = RawPath::from("/");
            self.tree(&tree, (tree.fs.root(), &root), &format!("{prefix}:"), true, writer);
            let raw = self.all_views.then(|| stack.open(id, View::Raw));
            match raw {
                Some(Ok(raw)) => self.raw_view(&*tree.fs, &*raw, &prefix, writer),
                Some(Err(error)) => {
                    writer.problem(&tree.address, &error.to_problem(evidence::Place::Source));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The lines of a tree, then those of deleted objects if it is a whole volume.
    fn tree(
        &self,
        tree: &Tree,
        start: (Node, &RawPath),
        prefix: &str,
        whole: bool,
        writer: &mut Writer<'_>,
    ) {
        let fs = &*tree.fs;
        let place = |path: &RawPath| RawPath([prefix.as_bytes(), &path.0].concat());
        for problem in fs.problems() {
            writer.problem(&tree.address, problem);
        }
        let problems = if self.md5 {
            let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            let algorithms = Algorithms::sha256().with(Algorithm::Md5);
            let mut take = |one: Digested| {
                let md5 = one.digests.as_ref().and_then(|digests| {
                    digests.iter().find(|digest| digest.algorithm() == Algorithm::Md5)
                });
                let md5 = md5.filter(|_| one.holes.is_empty()).map(hashing::Digest::to_hex);
                let path = place(&one.visit.path);
                writer.line(&bodyfile::line(fs, &path, &one.visit.metadata, md5.as_deref()));
                if let Some(problem) = one.problem {
                    writer.problem(&tree.address, &problem);
                }
            };
            let wanted = Wanted::whole(&algorithms);
            digest::walk(fs, start, Limits::default(), wanted, threads, &mut take)
        } else {
            tree::walk(fs, start.0, start.1, Limits::default(), &mut |visit| {
                writer.line(&bodyfile::line(fs, &place(&visit.path), &visit.metadata, None));
            })
        };
        for problem in problems {
            writer.problem(&tree.address, &problem);
        }
        if whole && !self.no_deleted {
            let deleted = fs.deleted(MAX_DELETED);
            for mut one in deleted.entries {
                one.path = place(&one.path);
                writer.line(&bodyfile::deleted_line(fs, &one));
            }
            for problem in deleted.problems {
                writer.problem(&tree.address, &problem);
            }
        }
    }

    /// What the raw view shows that the other does not, marked.
    fn raw_view(
        &self,
        recovered: &dyn FileSystem,
        raw: &dyn FileSystem,
        prefix: &str,
        writer: &mut Writer<'_>,
    ) {
        let root = RawPath::from("/");
        let mut known = std::collections::HashSet::new();
        tree::walk(recovered, recovered.root(), &root, Limits::default(), &mut |visit| {
            known.insert(bodyfile::line(recovered, &visit.path, &visit.metadata, None));
        });
        let problems = tree::walk(raw, raw.root(), &root, Limits::default(), &mut |visit| {
            if !known.contains(&bodyfile::line(raw, &visit.path, &visit.metadata, None)) {
                let name = [prefix.as_bytes(), b":", &visit.path.0, b" (raw view)"].concat();
                writer.line(&bodyfile::line(raw, &RawPath(name), &visit.metadata, None));
            }
        });
        for problem in problems {
            writer.problem(prefix, &problem);
        }
    }
}
