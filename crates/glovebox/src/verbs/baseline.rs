//! `glovebox baseline`: a system as it is now, signed, for comparing with later.

use std::fs;
use std::path::{Path, PathBuf};

use archive::seal::TrustedKey;
use evidence::fs::tree::Limits;
use guard::Guard;
use hashing::{Algorithms, Form};
use serde::Serialize;
use serde_json::json;
use verify::baseline::{Baseline, FACTS_FILE, FILES_FILE, Taking};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Colour, Format, paint, say};
use crate::recording::{Recording, recorded};
use crate::session::{self, Chosen};
use crate::systems::{self, Looked};
use crate::verbs::verify::{Deviations, Shown};
use crate::{clock, target};

/// Longest facts read.
const MAX_FACTS_BYTES: u64 = 256 << 20;
/// Longest list of files read.
const MAX_FILES_BYTES: u64 = 1 << 30;

/// Keep what a system is now, and tell later what changed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Take a signed baseline of a system
    ///
    /// Files with digests, packages, accounts, groups, what is started,
    /// texts of configuration files but secrets, and with --ports what this
    /// running machine listens on. `archive add-baseline` keeps it.
    #[command(verbatim_doc_comment)]
    Create(Box<CreateArgs>),
    /// Tell what is not as in a baseline
    Compare(Box<CompareArgs>),
    /// Write the digests of a baseline's files as a list of other programs
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The system: a disk, an image, or a folder (/ for this machine)
    #[arg(value_name = "ADDRESS")]
    source: String,
    /// What the baseline is called, such as the host's name and a date
    #[arg(long, value_name = "NAME")]
    name: String,
    /// A new folder to write it to
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// The secret key to sign it with (glovebox keys new)
    #[arg(long, value_name = "FILE")]
    sign_with: PathBuf,
    /// Read that key's passphrase from a file, not the terminal
    #[arg(long, value_name = "FILE")]
    sign_passphrase_file: Option<PathBuf>,
    /// Also the ports this running machine listens on
    #[arg(long)]
    ports: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// The system: a disk, an image, or a folder (/ for this machine)
    #[arg(value_name = "ADDRESS")]
    source: String,
    /// The baseline's folder
    #[arg(value_name = "FOLDER")]
    baseline: PathBuf,
    /// The key it must be signed with: a .pub file, or its line
    #[arg(long, value_name = "KEY", required = true)]
    trust: String,
    /// Also the ports this running machine listens on
    #[arg(long)]
    ports: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// The baseline's folder
    #[arg(value_name = "FOLDER")]
    baseline: PathBuf,
    /// The key it must be signed with: a .pub file, or its line
    #[arg(long, value_name = "KEY", required = true)]
    trust: String,
    /// The form of the list
    #[arg(long = "list", value_enum, default_value = "sum", value_name = "FORM")]
    list: ListForm,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ListForm {
    /// As sha256sum writes
    Sum,
    /// As BSD programs and `sha256sum --tag` write
    Bsd,
    /// As hashdeep writes
    Hashdeep,
    /// As mtree programs read
    Mtree,
    /// Our JSON lines
    Manifest,
}

impl From<ListForm> for Form {
    fn from(form: ListForm) -> Self {
        match form {
            ListForm::Sum => Self::Sum,
            ListForm::Bsd => Self::Tag,
            ListForm::Hashdeep => Self::Hashdeep,
            ListForm::Mtree => Self::Mtree,
            ListForm::Manifest => Self::Manifest,
        }
    }
}

impl ExportArgs {
    fn run(&self) -> Result<Exit, Failure> {
        use std::io::Write as _;
        let manifest = open(&self.baseline, &self.trust)?.manifest();
        let written = manifest.to_form(self.list.into(), &Algorithms::sha256());
        std::io::stdout().lock().write_all(&written.text)?;
        for problem in &written.left_out {
            let path = evidence::escape_bytes(&problem.path);
            say(&paint(&format!("left out: {path}: {}", problem.reason), Colour::Yellow));
        }
        Ok(if written.left_out.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}

#[derive(Serialize)]
struct Taken<'a> {
    name: &'a str,
    folder: String,
    files: usize,
    /// Names in each list.
    sections: std::collections::BTreeMap<&'static str, usize>,
    public_key: String,
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If it cannot be done or is refused.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::Create(args) => args.run(),
            What::Compare(args) => args.run(),
            What::Export(args) => args.run(),
        }
    }
}

impl CreateArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({ "source": self.source, "name": self.name, "ports": self.ports });
        recorded(&self.chosen, "baseline create", &arguments, |guard, act| self.create(guard, act))
    }

    fn create(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        // The key first: a wrong passphrase says so before minutes of reading.
        let signer = session::key_file(&self.sign_with, self.sign_passphrase_file.as_deref())?;
        let address = target::address(&self.source);
        let opened = self.reading.open(&address, guard)?;
        let tree = opened.tree(&address)?;
        act.inputs(opened.inputs(guard, &[&tree.address]));
        let ports = if self.ports { Some(listening()?) } else { None };
        let (baseline, problems) = Baseline::take(
            &*tree.fs,
            &Taking {
                name: &self.name,
                taken_seconds: clock::unix_seconds_now(),
                ports: ports.as_deref(),
                limits: Limits::default(),
                threads: std::thread::available_parallelism().map_or(1, usize::from),
            },
        )?;
        let (facts, files) = baseline.to_files()?;
        let comment = format!("baseline {}", self.name.escape_debug());
        let signature = signer.sign_file(&facts, &comment)?;
        fs::create_dir(&self.to).map_err(|problem| {
            Failure::from(problem)
                .while_doing(format!("making the folder {}", self.to.display()))
                .hint("name a folder that is not there yet")
        })?;
        write(&self.to.join(FILES_FILE), &files)?;
        write(&self.to.join(FACTS_FILE), &facts)?;
        write(&signature_of(&self.to), signature.as_bytes())?;
        let counted = baseline.facts.sections.iter().map(|(one, all)| (one.word(), all.len()));
        let taken = Taken {
            name: &self.name,
            folder: self.to.display().to_string(),
            files: baseline.files.items.len(),
            sections: counted.collect(),
            public_key: signer.public_key().to_string(),
        };
        self.format.record("baseline", &taken, || {
            let lists: Vec<String> =
                taken.sections.iter().map(|(word, count)| format!("{count} {word}")).collect();
            format!("{}: {} files and folders, {}", taken.folder, taken.files, lists.join(", "))
        })?;
        for problem in &problems {
            act.problem(problem);
            say(&paint(&format!("problem: {problem}"), Colour::Yellow));
        }
        say("Next: glovebox archive add-baseline, or keep the folder away from the system");
        Ok(if problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}

impl CompareArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({
            "source": self.source,
            "baseline": self.baseline.display().to_string(),
            "ports": self.ports,
            "view": self.reading.view(),
        });
        recorded(&self.chosen, "baseline compare", &arguments, |guard, act| {
            self.compare(guard, act)
        })
    }

    fn compare(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let baseline = open(&self.baseline, &self.trust)?;
        let address = target::address(&self.source);
        let opened = self.reading.open(&address, guard)?;
        act.inputs(opened.inputs(guard, &[]));
        let ports = if self.ports { Some(listening()?) } else { None };
        let examination = systems::examine(&opened, &address, &mut |fs, system, address| {
            let report = compare(&baseline, fs, ports.as_deref(), systems::missing(system))
                .map_err(|error| {
                    Failure::from(error).while_doing(format!("comparing {address}"))
                })?;
            Ok(Looked::Done(report))
        })?;
        examination.record(act, "baseline", "changes")?;
        let shown = Shown { archive: None, golden: None, baseline: Some(&baseline.facts.name) };
        for one in &examination.trees {
            shown.show(self.format, one, &examination, Deviations::Told)?;
        }
        Ok(examination.end())
    }
}

/// Compares a tree with a baseline.
///
/// # Errors
/// If what is there cannot be listed.
pub(crate) fn compare(
    baseline: &Baseline,
    fs: &dyn evidence::fs::FileSystem,
    ports: Option<&[String]>,
    unreached: &[evidence::system::Unreached],
) -> Result<verify::Report, verify::Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let unreached = unreached.to_vec();
    let options = verify::Options { golden: None, limits: Limits::default(), threads, unreached };
    baseline.compare(fs, ports, &options)
}

/// A baseline in a folder, signed by this key.
///
/// # Errors
/// If it is not signed by it, or is none.
pub(crate) fn open(folder: &Path, trust: &str) -> Result<Baseline, Failure> {
    let (facts, files, _) = read_signed(folder, trust)?;
    Baseline::parse(&facts, &files)
        .map_err(|error| Failure::from(error).while_doing(format!("opening {}", folder.display())))
}

/// The two files of a baseline whose signature holds, and what it is called.
///
/// # Errors
/// If it is not signed by this key, or is none.
pub(crate) fn read_signed(
    folder: &Path,
    trust: &str,
) -> Result<(Vec<u8>, Vec<u8>, String), Failure> {
    let doing = |failure: Failure| failure.while_doing(format!("opening {}", folder.display()));
    let text = match Path::new(trust).is_file() {
        true => fs::read_to_string(trust)
            .map_err(|problem| Failure::from(problem).while_doing(format!("reading {trust}")))?,
        false => trust.to_owned(),
    };
    let key = TrustedKey::parse(trust, &text)?;
    let facts = bounded(&folder.join(FACTS_FILE), MAX_FACTS_BYTES)?;
    let signature = bounded(&signature_of(folder), 1 << 16)?;
    let signature = String::from_utf8_lossy(&signature);
    key.check(FACTS_FILE, &facts, &signature).map_err(|error| doing(error.into()))?;
    let files = bounded(&folder.join(FILES_FILE), MAX_FILES_BYTES)?;
    let baseline = Baseline::parse(&facts, &files).map_err(|error| doing(error.into()))?;
    Ok((facts, files, baseline.facts.name))
}

fn bounded(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let doing = |problem| Failure::from(problem).while_doing(format!("reading {}", path.display()));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(doing)?;
    file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(doing)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Failure::new(format!("{} is over {limit_bytes} bytes", path.display())));
    }
    Ok(bytes)
}

fn signature_of(folder: &Path) -> PathBuf {
    folder.join(format!("{FACTS_FILE}.minisig"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let written = fs::File::create_new(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|problem| {
        Failure::from(problem).while_doing(format!("writing {}", path.display()))
    })
}

/// What this machine listens on: TCP sockets in that state, UDP sockets without a peer.
fn listening() -> Result<Vec<String>, Failure> {
    use procfs::net::{TcpState, tcp, tcp6, udp, udp6};
    let doing = |problem: procfs::ProcError| {
        Failure::from(problem).while_doing("reading the sockets of this machine")
    };
    let mut found = Vec::new();
    for one in tcp().map_err(doing)?.into_iter().chain(tcp6().unwrap_or_default()) {
        if one.state == TcpState::Listen {
            found.push(format!("tcp {}", one.local_address));
        }
    }
    for one in udp().map_err(doing)?.into_iter().chain(udp6().unwrap_or_default()) {
        if one.remote_address.port() == 0 {
            found.push(format!("udp {}", one.local_address));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
