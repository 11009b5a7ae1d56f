//! Copies that are no files: at a receiver on another machine, in an object store, or on a whole disk by permit.
//!
//! What the journal keeps of them is what they are, never the secret or the permit: pairing code and keys are asked for
//! again when work goes on, and the disk is unlocked again under the model and serial number once typed.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use casebook::Case;
use guard::{Disk, DiskName, Guard, Unlock};
use hashing::escape_name;
use imaging::{
    CloneDisk, CloneTarget, Destination, Error, Medium, Remote, RemoteCopy, Request, Rest,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::{Dial, Limits, PairingCode};

use super::store;
use super::subject::Subject;
use crate::failure::Failure;
use crate::output::say;
use crate::passphrase;
use crate::target::Target;

/// What a word of `--to` begins with that names a receiver.
const RECEIVER: &str = "receiver:";

/// Where copies go that are no files.
#[derive(Debug, Clone, Default, Serialize, clap::Args)]
pub(super) struct ToDisk {
    /// Also clone to this disk: it is overwritten from its first sector
    #[arg(long, value_name = "DISK", requires_all = ["to_model", "to_serial"])]
    to_disk: Option<DiskName>,
    /// Model of that disk as guard status shows it, or "none"
    #[arg(long, value_name = "MODEL", requires = "to_disk")]
    to_model: Option<String>,
    /// Serial number of that disk, or "none"
    #[arg(long, value_name = "SERIAL", requires = "to_disk")]
    to_serial: Option<String>,
    /// Wipe that disk behind the end of the source; else it is left
    #[arg(long, requires = "to_disk")]
    wipe_rest: bool,
}

/// How pairing codes are given.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Codes {
    /// Read a receiver's pairing code from a file (may be repeated)
    #[arg(long, value_name = "FILE")]
    code_file: Vec<PathBuf>,
    #[command(flatten)]
    keys: store::Keys,
}

/// One of them, as the journal keeps it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Other {
    Receiver(Remote),
    Store { bucket: String, prefix: String, request: Box<Request> },
    Disk { permit: Unlock, rest: Rest },
}

/// The words of `--to`, by what they name.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) folders: Vec<PathBuf>,
    /// Host and port.
    receivers: Vec<String>,
    /// As typed.
    stores: Vec<String>,
}

impl Places {
    /// Tells receivers and object stores from folders.
    pub(super) fn of(words: &[PathBuf]) -> Self {
        let mut places = Self::default();
        for word in words {
            let text = word.to_str().unwrap_or_default();
            if let Some(address) = text.strip_prefix(RECEIVER) {
                places.receivers.push(address.to_owned());
            } else if text.starts_with(store::STORE) {
                places.stores.push(text.to_owned());
            } else {
                places.folders.push(word.clone());
            }
        }
        places
    }
}

/// The other copies of an imaging, as its journal keeps them; a store gets each of `requests`.
///
/// # Errors
/// If the kernel gives no randomness, or a word names no place in an object store.
pub(super) fn wanted(
    places: &Places,
    to_disk: &ToDisk,
    source: &Subject,
    case: &Case,
    (label, exhibit): (&str, &str),
    requests: &[Request],
) -> Result<Vec<Value>, Failure> {
    let mut others = Vec::new();
    for address in &places.receivers {
        let disk = source.target.disk.as_ref();
        let what = json!({
            "label": label,
            "source": source.name(),
            "model": disk.map(|disk| &disk.model),
            "serial": disk.map(|disk| &disk.serial),
            "case": case.info().id,
            "examiner": case.info().examiner,
        });
        others.push(serde_json::to_value(Other::Receiver(Remote::new(address, what)?))?);
    }
    for word in &places.stores {
        for request in requests {
            let (bucket, prefix) = store::below(word, exhibit)?;
            let request = Box::new(request.clone());
            others.push(serde_json::to_value(Other::Store { bucket, prefix, request })?);
        }
    }
    if let (Some(disk), Some(model), Some(serial)) =
        (&to_disk.to_disk, &to_disk.to_model, &to_disk.to_serial)
    {
        let permit = Unlock { disk: disk.clone(), model: model.clone(), serial: serial.clone() };
        let rest = if to_disk.wipe_rest { Rest::Wiped } else { Rest::Left };
        others.push(serde_json::to_value(Other::Disk { permit, rest })?);
    }
    Ok(others)
}

/// Opens them, and closes what has to be closed afterwards.
pub(super) struct Doors<'a> {
    guard: &'a Guard,
    case: &'a Case,
    /// Name of the source, and what it is if it is a disk.
    source: &'a Target,
    folder: PathBuf,
    codes: VecDeque<PathBuf>,
    keys: store::Keys,
    /// Where receivers are now, if elsewhere than the journal says; in their order.
    addresses: VecDeque<String>,
    stop: Arc<AtomicBool>,
    unlocked: Vec<DiskName>,
}

impl<'a> Doors<'a> {
    pub(super) fn new(
        guard: &'a Guard,
        case: &'a Case,
        source: &'a Target,
        folder: &Path,
        codes: &Codes,
        stop: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            guard,
            case,
            source,
            folder: folder.to_path_buf(),
            codes: codes.code_file.iter().cloned().collect(),
            keys: codes.keys.clone(),
            addresses: VecDeque::new(),
            stop: Arc::clone(stop),
            unlocked: Vec::new(),
        }
    }

    /// Receivers that have another address than they had.
    pub(super) fn moved(mut self, words: &[PathBuf]) -> Self {
        self.addresses = Places::of(words).receivers.into();
        self
    }

    /// Opens one, new or to go on with.
    ///
    /// # Errors
    /// If there is no code or no permit, or the other end or the disk does not take it.
    pub(super) fn open(
        &mut self,
        what: &Value,
        medium: &Medium,
        state: Option<&Value>,
    ) -> Result<Box<dyn Destination>, Error> {
        let refused = |name: &str, failure: &Failure| Error::Io {
            action: "opening",
            path: PathBuf::from(name),
            source: std::io::Error::other(failure.text()),
        };
        let other = Other::deserialize(what).map_err(|problem| Error::Journal {
            path: self.folder.clone(),
            reason: if problem.is_data() {
                "a copy of unknown kind"
            } else {
                "a copy that is not whole"
            },
        })?;
        match other {
            Other::Receiver(mut remote) => {
                if let Some(address) = self.addresses.pop_front() {
                    remote.address = address;
                }
                let name = format!("{RECEIVER}{}", remote.address);
                let code =
                    self.code(&remote.address).map_err(|failure| refused(&name, &failure))?;
                let way = (dial(), Arc::clone(&self.stop));
                let limits = Limits::default();
                Ok(Box::new(RemoteCopy::open_by(way, remote, code, medium, state, limits)?))
            }
            Other::Store { bucket, prefix, mut request } => {
                let place = (bucket.as_str(), prefix.as_str());
                let name = format!("{}{bucket}/{prefix}", store::STORE);
                // The case may have another path by now.
                request.folder.clone_from(&self.folder);
                store::open(place, &self.keys, &request, (medium, state), &self.stop)
                    .map_err(|failure| refused(&name, &failure))
            }
            Other::Disk { permit, rest } => {
                let name = permit.disk.to_string();
                let target =
                    self.target(&permit, rest).map_err(|failure| refused(&name, &failure))?;
                Ok(Box::new(CloneDisk::open(target, medium, state)?))
            }
        }
    }

    /// The disks that were unlocked are locked again.
    pub(super) fn close(self) {
        for disk in &self.unlocked {
            if let Err(problem) = self.guard.lock(disk) {
                say(&format!(
                    "{disk} could not be locked again: {}",
                    Failure::from(problem).text()
                ));
            }
        }
    }

    fn code(&mut self, address: &str) -> Result<PairingCode, Failure> {
        let text = match self.codes.pop_front() {
            Some(file) => passphrase::from_file(&file)?,
            None => {
                let shown = escape_name(address.as_bytes());
                passphrase::ask(&format!("Pairing code of the receiver {shown}: "))
                    .map_err(|failure| failure.hint("for a pairing code: --code-file FILE"))?
            }
        };
        Ok(PairingCode::parse(&text)?)
    }

    fn target(&mut self, permit: &Unlock, rest: Rest) -> Result<CloneTarget, Failure> {
        let disk = self.guard.any_disk(&permit.disk)?;
        if let Some(source) = &self.source.disk
            && (source.name == disk.name || source.number == disk.number)
        {
            return Err(Failure::new(format!("{} is the source", disk.name)));
        }
        if let Some(act) = evidence_of(self.case, &disk)? {
            return Err(Failure::new(format!(
                "{} [{} {}] is evidence: act {act} of the case imaged it",
                disk.name, disk.model, disk.serial
            ))
            .hint("a disk that was imaged is never written to; choose another"));
        }
        let opened = self.guard.open_target(permit.clone()).map_err(|problem| {
            Failure::from(problem)
                .hint("glovebox guard status shows model and serial of every disk")
        })?;
        if self.guard.brokered() {
            self.unlocked.push(permit.disk.clone());
        }
        Ok(CloneTarget {
            file: opened.file,
            name: permit.disk.to_string(),
            sector_bytes: opened.disk.logical_block_bytes,
            rest,
            aside: self.folder.join(format!("clone-{}.head", permit.disk)),
            about: json!({
                "model": opened.disk.model,
                "serial": opened.disk.serial,
                "wwn": opened.disk.wwn,
                "bus": opened.disk.bus,
            }),
        })
    }
}

/// Connections as they are made here: the tools of the stick have no network, and the broker connects for them.
fn dial() -> Dial {
    Arc::new(|to, within| {
        let guard = Guard::connect().map_err(std::io::Error::other)?;
        guard.connect_to(to, within).map_err(|problem| {
            // The kind decides whether it is tried again.
            let text = Failure::from(problem).text();
            std::io::Error::new(std::io::ErrorKind::ConnectionRefused, text)
        })
    })
}

/// The act of the case that imaged this disk, if one did. A disk without a serial number is not recognised.
fn evidence_of(case: &Case, disk: &Disk) -> Result<Option<u64>, Failure> {
    if disk.serial.is_empty() {
        return Ok(None);
    }
    let acts = casebook::read_acts(case.dir())?;
    for act in acts {
        let act = act.act()?;
        let is_it = |item: &casebook::Item| {
            item.facts["serial"] == disk.serial.as_str()
                && item.facts["model"] == disk.model.as_str()
        };
        if act.draft.verb.starts_with("image") && act.draft.inputs.iter().any(is_it) {
            return Ok(Some(act.number));
        }
    }
    Ok(None)
}
