//! `glovebox find`: objects of a tree that meet conditions.

use std::str::FromStr;

use evidence::fs::select::{Condition, Moment, Selection};
use evidence::fs::tree::{self, Limits};
use evidence::fs::{Attribute, FileKind};
use evidence::{Problem, Time};
use guard::Guard;
use serde_json::json;

use crate::entry::{Entry, Trouble, problem_at};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Colour, Format, paint};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;

/// Find files on evidence by name, type, times, owner, rights or size
///
/// All conditions given must hold. A time is RFC 3339 in UTC, such as
/// 2026-05-01 or 2026-05-01T12:00:00Z.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Where to begin, such as sda:2:/ or sda:/home
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Name matches a pattern; with a slash, the whole path does
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    /// Types: f file, d directory, l link, b c p s special
    #[arg(long = "type", value_name = "LETTERS")]
    kinds: Option<String>,
    /// Accessed at or after, or before
    #[arg(long, value_name = "[after|before]=TIME")]
    accessed: Vec<Bound>,
    /// Modified at or after, or before
    #[arg(long, value_name = "[after|before]=TIME")]
    modified: Vec<Bound>,
    /// Inode changed at or after, or before
    #[arg(long, value_name = "[after|before]=TIME")]
    changed: Vec<Bound>,
    /// Created at or after, or before
    #[arg(long, value_name = "[after|before]=TIME")]
    born: Vec<Bound>,
    /// Owner's number
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,
    /// Group's number
    #[arg(long, value_name = "GID")]
    gid: Option<u32>,
    /// Runs as its owner or group (set-user-id, set-group-id)
    #[arg(long)]
    suid: bool,
    /// Has file capabilities
    #[arg(long)]
    capabilities: bool,
    /// Has an extended attribute whose name matches
    #[arg(long, value_name = "PATTERN")]
    xattr: Option<String>,
    /// Marked immutable
    #[arg(long)]
    immutable: bool,
    /// At least this many bytes
    #[arg(long, value_name = "BYTES")]
    least_size: Option<u64>,
    /// At most this many bytes
    #[arg(long, value_name = "BYTES")]
    most_size: Option<u64>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

/// `after=TIME` or `before=TIME`.
#[derive(Debug, Clone, Copy)]
struct Bound {
    first: Time,
    last: Time,
}

const EARLIEST: Time = Time { seconds: i64::MIN, nanoseconds: 0 };
const LATEST: Time = Time { seconds: i64::MAX, nanoseconds: u32::MAX };

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write after=TIME or before=TIME".to_owned();
        let (word, time) = text.split_once('=').ok_or_else(form)?;
        let time: Time = time.parse()?;
        match word {
            "after" => Ok(Self { first: time, last: LATEST }),
            "before" => Ok(Self {
                first: EARLIEST,
                last: Time { seconds: time.seconds.saturating_sub(1), nanoseconds: 999_999_999 },
            }),
            _ => Err(form()),
        }
    }
}

impl Args {
    /// Finds.
    ///
    /// # Errors
    /// If there is no such tree, or a condition makes no sense.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let selection = self.selection()?;
        let arguments = json!({ "address": self.address, "view": self.reading.view() });
        let work = |guard: &Guard, act: &Recording| self.find(&selection, guard, act);
        recorded(&self.chosen, "find", &arguments, work)
    }

    fn find(&self, selection: &Selection, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let mut found = self.reading.find(&self.address, guard)?;
        act.inputs(std::mem::take(&mut found.inputs));
        let (fs, volume) = (&*found.tree.fs, found.tree.address.as_str());
        let owners = fs.conventions().owners;
        let mut problems: Vec<Problem> = fs.problems().to_vec();
        let mut failure: Option<Failure> = None;
        let met = tree::walk(fs, found.node, &found.path, Limits::default(), &mut |visit| {
            if failure.is_some() {
                return;
            }
            match selection.takes(fs, &visit.path, &visit.metadata) {
                Ok(true) => {
                    let entry = Entry::new(volume, fs, &visit.path, &visit.metadata);
                    let line = || entry.line(&visit.path.to_string(), owners);
                    failure = self.format.record("entry", &entry, line).err().map(Failure::from);
                }
                Ok(false) => {}
                Err(error) => problems.push(problem_at(&visit.path, &error)),
            }
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        problems.extend(met);
        for problem in &problems {
            act.problem(problem);
            self.format.record("problem", &Trouble { volume, problem }, || {
                paint(&format!("problem: {problem}"), Colour::Yellow)
            })?;
        }
        Ok(if problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }

    fn selection(&self) -> Result<Selection, Failure> {
        let mut all = Vec::new();
        all.extend(self.name.as_deref().map(|name| Condition::Name(evidence::unescape(name))));
        if let Some(letters) = &self.kinds {
            let kinds: Option<Vec<FileKind>> = letters.chars().map(kind_of).collect();
            let kinds = kinds.ok_or_else(|| {
                Failure::new(format!("\"{letters}\" are not letters of types"))
                    .hint("f file, d directory, l link, b block, c character, p pipe, s socket")
            })?;
            all.push(Condition::Kind(kinds));
        }
        for (moment, bounds) in [
            (Moment::Accessed, &self.accessed),
            (Moment::Modified, &self.modified),
            (Moment::Changed, &self.changed),
            (Moment::Born, &self.born),
        ] {
            all.extend(
                bounds.iter().map(|bound| Condition::Time(moment, bound.first..=bound.last)),
            );
        }
        all.extend(self.uid.map(Condition::Uid));
        all.extend(self.gid.map(Condition::Gid));
        all.extend(self.suid.then_some(Condition::AnyMode(0o6000)));
        all.extend(self.capabilities.then(|| Condition::Xattr(b"security.capability".to_vec())));
        all.extend(self.xattr.as_deref().map(|name| Condition::Xattr(evidence::unescape(name))));
        all.extend(self.immutable.then_some(Condition::Has(Attribute::Immutable)));
        if self.least_size.is_some() || self.most_size.is_some() {
            let range = self.least_size.unwrap_or(0)..=self.most_size.unwrap_or(u64::MAX);
            all.push(Condition::Size(range));
        }
        Ok(Selection(all))
    }
}

fn kind_of(letter: char) -> Option<FileKind> {
    Some(match letter {
        'f' => FileKind::File,
        'd' => FileKind::Directory,
        'l' => FileKind::Symlink,
        'b' => FileKind::BlockDevice,
        'c' => FileKind::CharDevice,
        'p' => FileKind::Fifo,
        's' => FileKind::Socket,
        _ => return None,
    })
}
