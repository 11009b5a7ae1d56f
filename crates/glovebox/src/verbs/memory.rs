//! `glovebox memory`: the memory of the host this runs on, as a whole or process by process.

use std::time::Duration;

use casebook::{Item, Outcome, OutcomeKind};
use hashing::Digests;
use live::memory::{self, Chosen as Processes, Form, Plan, Source, Taken, Tried};
use live::{Host, Lies, Sink};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, say, size};
use crate::progress::Meter;
use crate::recording::{Recording, recorded_live};
use crate::session::Chosen;
use crate::volatile::{self, CaseSink, Far};

/// Take the memory of the host this runs on
///
/// As LiME from /dev/crash, /proc/kcore or /dev/mem, whichever the kernel
/// lets be read; where none is, that of each process as an ELF core file.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Send it to a listener (receiver:HOST:PORT) instead of into a case
    #[arg(long, value_name = "RECEIVER", conflicts_with = "case")]
    to: Option<String>,
    /// Read the receiver's pairing code from a file
    #[arg(long, value_name = "FILE", requires = "to")]
    code_file: Option<std::path::PathBuf>,
    /// Only this source, without falling back to processes
    #[arg(long, value_enum, conflicts_with_all = ["processes", "pid"])]
    source: Option<Way>,
    /// Pack it in snappy frames, as AVML calls compressed
    #[arg(long, conflicts_with_all = ["processes", "pid"])]
    compress: bool,
    /// The memory of processes, even where that of the machine can be read
    #[arg(long)]
    processes: bool,
    /// The memory of this process only (may be repeated)
    #[arg(long, value_name = "NUMBER")]
    pid: Vec<u32>,
    /// Take processor and disk only when nobody else wants them
    #[arg(long)]
    gentle: bool,
    /// Accept a case on the host's own disks: it overwrites deleted files
    #[arg(long)]
    dangerously_write_on_host: bool,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Way {
    Crash,
    Kcore,
    Mem,
}

impl From<Way> for Source {
    fn from(way: Way) -> Self {
        match way {
            Way::Crash => Self::Crash,
            Way::Kcore => Self::Kcore,
            Way::Mem => Self::Mem,
        }
    }
}

/// What is going to be taken.
enum Work {
    Machine(Plan),
    Processes(Processes),
}

#[derive(Serialize)]
struct Answer<'a> {
    source: &'a str,
    tried: &'a [Tried],
    lockdown: &'a str,
    memory_bytes: u64,
    unreadable_bytes: u64,
    problems: &'a [String],
    files: Vec<Value>,
}

/// Why physical memory was not taken, and in what state the kernel is.
#[derive(Default)]
struct Why {
    tried: Vec<Tried>,
    lockdown: String,
}

impl Args {
    /// Takes it.
    ///
    /// # Errors
    /// If nothing can be read, or the case or the receiver does not take it.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let host = Host::running();
        let place = self.chosen.path();
        if place.is_none() && self.to.is_none() {
            // Says what to do about it.
            self.chosen.needed_path()?;
        }
        let lies = place.as_deref().map(|path| live::lies(&host, path));
        volatile::ensure_elsewhere(lies.as_ref(), self.dangerously_write_on_host)?;
        let arguments = json!({
            "source": self.source.map(|way| Source::from(way).path()),
            "compress": self.compress,
            "processes": self.processes,
            "pids": self.pid,
            "to": self.to,
            "gentle": self.gentle,
            "case_lies": lies.as_ref().map(|lies| match lies {
                Lies::Elsewhere(text) => text.clone(),
                Lies::OnHost(text) => format!("ON THE HOST: {text}"),
            }),
        });
        if self.gentle {
            volatile::become_gentle();
        }
        if let Some(address) = &self.to {
            let (work, why) = self.work(&host)?;
            let mut far = Far::connect(address, self.code_file.as_deref(), "memory", &arguments)?;
            let taken = self.take(&host, &work, &mut far)?;
            let receipt = far.finish()?;
            say(&format!("received and read back there: {receipt}"));
            return self.show(&work, &why, &taken);
        }
        recorded_live(&self.chosen, "memory", &arguments, |_, act| self.keep(&host, act))
    }

    fn keep(&self, host: &Host, act: &Recording) -> Result<Exit, Failure> {
        let (work, why) = self.work(host)?;
        let exhibit = act.new_exhibit("memory")?;
        let mut sink = CaseSink::new(&exhibit);
        let taken = self.take(host, &work, &mut sink)?;
        let (items, manifest) = sink.finish();
        items.into_iter().for_each(|item| act.output(item));
        act.output(exhibit.add_manifest(&manifest)?);
        act.inputs(vec![Item {
            name: source(&work).to_owned(),
            size_bytes: Some(taken.memory_bytes),
            digests: Digests::default(),
            facts: json!({
                "tried": why.tried, "lockdown": why.lockdown,
                "unreadable_bytes": taken.unreadable_bytes,
            }),
        }]);
        taken.problems.iter().for_each(|problem| act.problem(problem));
        let kind = if taken.problems.is_empty() { OutcomeKind::Done } else { OutcomeKind::Partial };
        act.concludes(Outcome::new(kind, format!("{} of memory", size(taken.memory_bytes))));
        self.show(&work, &why, &taken)
    }

    /// What can be taken; why not more.
    fn work(&self, host: &Host) -> Result<(Work, Why), Failure> {
        if !self.pid.is_empty() {
            return Ok((Work::Processes(Processes::Numbers(self.pid.clone())), Why::default()));
        }
        if self.processes {
            return Ok((Work::Processes(Processes::All), Why::default()));
        }
        match memory::plan(host, self.source.map(Source::from)) {
            Ok(plan) => {
                let why = Why { tried: plan.tried.clone(), lockdown: plan.lockdown.clone() };
                Ok((Work::Machine(plan), why))
            }
            Err((tried, lockdown)) => {
                let text = why_text(&tried, &lockdown);
                if self.source.is_some() {
                    return Err(Failure::new(format!("memory cannot be read: {text}"))
                        .hint("without --source the memory of each process is taken instead"));
                }
                say(&format!("the machine's memory cannot be read: {text}"));
                say("taking the memory of each process instead");
                Ok((Work::Processes(Processes::All), Why { tried, lockdown }))
            }
        }
    }

    fn take(&self, host: &Host, work: &Work, sink: &mut dyn Sink) -> Result<Taken, Failure> {
        match work {
            Work::Machine(plan) => {
                let form = if self.compress { Form::Compressed } else { Form::Lime };
                let pause = self.gentle.then_some(Duration::from_millis(2));
                let mut meter = Meter::new("memory", plan.bytes());
                let taken = memory::take(plan, form, pause, sink, &mut |done, _| meter.at(done))?;
                meter.end();
                Ok(taken)
            }
            Work::Processes(chosen) => Ok(memory::processes(host, chosen, sink, &mut |_| {})?),
        }
    }

    fn show(&self, work: &Work, why: &Why, taken: &Taken) -> Result<Exit, Failure> {
        let answer = Answer {
            source: source(work),
            tried: &why.tried,
            lockdown: &why.lockdown,
            memory_bytes: taken.memory_bytes,
            unreadable_bytes: taken.unreadable_bytes,
            problems: &taken.problems,
            files: volatile::files(&taken.files),
        };
        self.format.record("memory", &answer, || {
            let mut text = format!(
                "{} of memory from {}, {} could not be read and are zeros; {} files, hashed and \
                 read back",
                size(taken.memory_bytes),
                source(work),
                size(taken.unreadable_bytes),
                taken.files.len()
            );
            for one in &why.tried {
                text.push_str(&format!("\nnot {}: {}", one.source, one.why));
            }
            for problem in &taken.problems {
                text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
            }
            text
        })?;
        // Falling back is less than what was asked for.
        let fell_back = matches!(work, Work::Processes(_)) && !why.tried.is_empty();
        Ok(if taken.problems.is_empty() && !fell_back { Exit::Clean } else { Exit::Partial })
    }
}

fn source(work: &Work) -> &'static str {
    match work {
        Work::Machine(plan) => plan.source.path(),
        Work::Processes(_) => "/proc/PID/mem",
    }
}

fn why_text(tried: &[Tried], lockdown: &str) -> String {
    let mut all: Vec<String> =
        tried.iter().map(|one| format!("{}: {}", one.source, one.why)).collect();
    all.push(match lockdown {
        "" => "the kernel has no lockdown".to_owned(),
        state => format!("lockdown is {state}"),
    });
    all.join("; ")
}
