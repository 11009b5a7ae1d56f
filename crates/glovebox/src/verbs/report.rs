//! `glovebox report`: a case shown to people and programs, from the case alone.
//!
//! It reads only, and so writes no act: what it says can be made again from the case at any time, byte for byte. The
//! digest of what was written goes to standard error, to be noted with the copy that is handed on.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use casebook::{PublicKey, VerifyOptions};
use hashing::{Algorithms, MultiHasher};
use report::{Notice, NoticeRequest, Report};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;
use crate::session::Chosen;

/// Write the report of a case: HTML, text, JSON or CASE/UCO
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    source: Source,
    /// The form of the report
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Draft a message to a site whose addresses stand in the case
    Notice(NoticeArgs),
}

/// Which case, and what is known of it from elsewhere.
#[derive(Debug, clap::Args)]
struct Source {
    /// The case, or an opened bag (default: the case in use)
    #[arg(long, value_name = "FOLDER")]
    case: Option<PathBuf>,
    /// The head written down earlier: shows whether acts were cut off
    #[arg(long, value_name = "SHA256")]
    head: Option<String>,
    /// The public key written down earlier, or its file
    #[arg(long, value_name = "KEY|FILE")]
    public_key: Option<String>,
}

/// Where it is written.
#[derive(Debug, clap::Args)]
struct Target {
    /// A new file to write (default: standard output)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    Html,
    Text,
    Json,
    CaseUco,
}

#[derive(Debug, clap::Args)]
struct NoticeArgs {
    /// Whom it goes to
    #[arg(long, value_name = "SITE")]
    to: String,
    /// An address or name of that site; may be given several times
    #[arg(long, value_name = "ADDRESS", required = true)]
    address: Vec<String>,
    /// Who sends it and how to answer (default: a blank)
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    from: String,
    /// Your own reference, to be quoted in answers
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reference: String,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
}

impl Args {
    /// Reports.
    ///
    /// # Errors
    /// If there is no case, or the report cannot be written.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        if let Some(What::Notice(args)) = &self.what {
            return args.run();
        }
        let report = self.source.read()?;
        self.target.write(|out| match self.format {
            Form::Html => report::html(&report, out),
            Form::Text => report::text(&report, out),
            Form::Json => report::json(&report, out),
            Form::CaseUco => report::case_uco(&report, out),
        })?;
        if report.verdict.holds {
            return Ok(Exit::Clean);
        }
        say("This case DOES NOT HOLD; the report says where.");
        Ok(Exit::Findings)
    }
}

impl NoticeArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let report = self.source.read()?;
        let request = NoticeRequest {
            to: self.to.clone(),
            from: self.from.clone(),
            reference: self.reference.clone(),
            addresses: self.address.clone(),
        };
        let notice = Notice::new(&report, request)?;
        self.target.write(|out| notice.write(out))?;
        Ok(Exit::Clean)
    }
}

impl Source {
    fn read(&self) -> Result<Report, Failure> {
        let chosen = Chosen { case: self.case.clone(), key: None, passphrase_file: None };
        let options = VerifyOptions {
            expected_key: self.public_key.as_deref().map(public_key).transpose()?,
            expected_head: self.head.clone(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        Ok(Report::read(&chosen.needed_path()?, &options)?)
    }
}

/// A public key given as its line of base64 or as the name of its file.
fn public_key(word: &str) -> Result<PublicKey, Failure> {
    let text =
        if Path::new(word).is_file() { std::fs::read_to_string(word)? } else { word.to_owned() };
    Ok(PublicKey::parse(&text)?)
}

impl Target {
    /// Writes to the file, which must be new, or to standard output; says the digest.
    fn write(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), report::Error>,
    ) -> Result<(), Failure> {
        let Some(path) = &self.out else {
            let mut out = Hashed::new(BufWriter::new(io::stdout().lock()));
            write(&mut out)?;
            return out.end("standard output");
        };
        let doing = || format!("writing {}", path.display());
        let partial = path.with_added_extension("partial");
        if path.exists() {
            return Err(Failure::new(format!("{} is there already", path.display()))
                .hint("give another name with --out; nothing is overwritten"));
        }
        let file = File::create_new(&partial)
            .map_err(|problem| Failure::from(problem).while_doing(doing()))?;
        let mut out = Hashed::new(BufWriter::new(file));
        let written = write(&mut out).map_err(Failure::from).and_then(|()| {
            out.out.flush()?;
            Ok(out.out.get_ref().sync_all()?)
        });
        if let Err(failure) = written {
            // Half a report must not be taken for one.
            let _gone = std::fs::remove_file(&partial);
            return Err(failure.while_doing(doing()));
        }
        std::fs::rename(&partial, path)?;
        out.end(&path.display().to_string())
    }
}

/// A writer that digests what passes.
struct Hashed<W> {
    out: W,
    hasher: MultiHasher,
}

impl<W: Write> Hashed<W> {
    fn new(out: W) -> Self {
        Self { out, hasher: MultiHasher::new(&Algorithms::sha256()) }
    }

    fn end(mut self, name: &str) -> Result<(), Failure> {
        self.out.flush()?;
        say(&format!("sha256 {}  {name}", self.hasher.finish().sha256_hex()));
        Ok(())
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
