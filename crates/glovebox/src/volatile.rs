//! Where what vanishes goes: into an exhibit of a case that does not lie on the host, or to another Glovebox.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use casebook::{ExhibitDir, Item};
use hashing::{Algorithm, Algorithms, Content, Digests, Manifest, escape_name};
use live::{Lies, Sink, Written};
use serde_json::{Value, json};
use wire::{Hello, Limits, PairingCode, Sender, Start, TransferId};

use crate::acting;
use crate::failure::Failure;
use crate::output::say;
use crate::passphrase;

/// What a word begins with that names a receiver.
const RECEIVER: &str = "receiver:";

/// Refuses a case on the host's own disks, unless that was accepted by name.
///
/// # Errors
/// If it lies there.
pub(crate) fn ensure_elsewhere(lies: Option<&Lies>, accepted: bool) -> Result<(), Failure> {
    match lies {
        Some(Lies::OnHost(what)) if !accepted => Err(Failure::new(format!(
            "the case lies on the host that is examined ({what}): writing there destroys evidence"
        ))
        .hint("put the case on a medium of your own, or send it: --to receiver:HOST:PORT")
        .hint("if there is no other way: --dangerously-write-on-host (recorded in the act)")),
        Some(Lies::OnHost(what)) => {
            say(&format!("WARNING: writing to the host that is examined ({what})"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Takes processor and disk only when nobody else wants them, as far as the kernel lets us.
pub(crate) fn become_gentle() {
    for result in [sys::observe::run_when_idle(), sys::observe::read_when_idle()] {
        if let Err(error) = result {
            say(&format!("not as gentle as asked: {error}"));
        }
    }
}

/// Files as the answer lists them.
pub(crate) fn files(written: &[Written]) -> Vec<Value> {
    let one = |file: &Written| {
        json!({
            "name": file.name, "size_bytes": file.size_bytes, "sha256": file.digests.sha256_hex(),
        })
    };
    written.iter().map(one).collect()
}

/// An exhibit being filled; each file is read back from the medium.
pub(crate) struct CaseSink<'a> {
    exhibit: &'a ExhibitDir,
    open: Option<(String, File)>,
    items: Vec<Item>,
    manifest: Manifest,
}

impl<'a> CaseSink<'a> {
    pub(crate) fn new(exhibit: &'a ExhibitDir) -> Self {
        Self { exhibit, open: None, items: Vec::new(), manifest: Manifest::new() }
    }

    /// The items for the act, and the list of digests.
    pub(crate) fn finish(self) -> (Vec<Item>, Manifest) {
        (self.items, self.manifest)
    }
}

impl Sink for CaseSink<'_> {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        let file = self.exhibit.create_file(name).map_err(io::Error::other)?;
        self.open = Some((name.to_owned(), file));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (_, file) = self.open.as_mut().ok_or_else(|| io::Error::other("no file is open"))?;
        file.write_all(bytes)
    }

    fn end(&mut self, digests: &Digests) -> io::Result<()> {
        let (name, file) = self.open.take().ok_or_else(|| io::Error::other("no file is open"))?;
        file.sync_all()?;
        drop(file);
        let path = self.exhibit.path().join(&name);
        let (found, size_bytes) =
            hashing::digest_file(&path, &Algorithms::sha256()).map_err(io::Error::other)?;
        if !found.agrees_with(digests) {
            return Err(io::Error::other(
                "what the medium gives back differs from what was written",
            ));
        }
        let content = Content::File { size_bytes: Some(size_bytes), digests: found.clone() };
        self.manifest.insert(hashing::Entry { path: name.clone().into_bytes(), content });
        self.items.push(Item {
            name: self.exhibit.item_name(&name),
            size_bytes: Some(size_bytes),
            digests: found,
            facts: Value::Null,
        });
        Ok(())
    }
}

/// A transfer to another Glovebox.
pub(crate) struct Far {
    sender: Sender,
}

impl Far {
    /// Connects; the program of this machine tells who it is and what it was asked to do.
    ///
    /// # Errors
    /// If the word names no receiver, or it cannot be reached or does not take the code.
    pub(crate) fn connect(
        word: &str,
        code_file: Option<&Path>,
        verb: &str,
        arguments: &Value,
    ) -> Result<Self, Failure> {
        let address = word.strip_prefix(RECEIVER).ok_or_else(|| {
            Failure::new(format!("{} names no receiver", escape_name(word.as_bytes())))
                .hint("write it as --to receiver:192.168.7.2:4747; start glovebox receive there")
        })?;
        let text = match code_file {
            Some(file) => passphrase::from_file(file)?,
            None => passphrase::ask("Pairing code of the receiver: ")
                .map_err(|failure| failure.hint("for a pairing code: --code-file FILE"))?,
        };
        let what = json!({
            "label": verb.replace(' ', "-"),
            "verb": verb,
            "arguments": arguments,
            "tool": acting::tool()?,
            "host": acting::host(),
        });
        let hello = Hello { transfer: TransferId::generate()?, what: what.to_string() };
        let stop = Arc::new(AtomicBool::new(false));
        let code = PairingCode::parse(&text)?;
        let sender = Sender::connect(address, code, hello, Limits::default(), stop)?;
        Ok(Self { sender })
    }

    /// Ends the transfer; gives the receiver's receipt.
    ///
    /// # Errors
    /// If the receiver could not record it.
    pub(crate) fn finish(mut self) -> Result<String, Failure> {
        Ok(escape_name(self.sender.finish()?.as_bytes()))
    }
}

impl Sink for Far {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        let start = Start { name: name.to_owned(), size_bytes: None, offset_bytes: 0 };
        Ok(self.sender.begin(start)?)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        Ok(self.sender.write(bytes)?)
    }

    fn end(&mut self, digests: &Digests) -> io::Result<()> {
        let sent = self.sender.end(&mut |_| ControlFlow::Continue(()))?;
        let own = digests.of(Algorithm::Sha256).map(|digest| digest.as_bytes().to_vec());
        if own.as_deref() != Some(&sent.sha256[..]) {
            return Err(io::Error::other("what the receiver read back differs from what was sent"));
        }
        Ok(self.sender.publish(sent.sha256)?)
    }
}
