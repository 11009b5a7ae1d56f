//! `glovebox receive`: takes what another Glovebox sends, into the case.
//!
//! Listening is an act from its first moment: a service that was open belongs into the record even when nobody came.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use casebook::{Case, Completion, Item, OpenAct, Outcome, OutcomeKind};
use guard::Guard;
use hashing::{Algorithm, Digest, escape_name};
use serde_json::{Value, json};
use wire::{Handler, Hello, Limits, Listener, PairingCode, Received, Reception, Told};

use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say, size};
use crate::progress::Meter;
use crate::session::Chosen;

/// Receive an image from another machine, encrypted, into the case
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen, such as 192.168.7.2:4747; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: String,
    /// The exhibit's label (default: what the sender says it sends)
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    answer: Format,
}

impl Args {
    /// Listens until one transfer is finished.
    ///
    /// # Errors
    /// If the case does not open, or the address cannot be bound.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        let (case, signer) = self.chosen.open()?;
        let code = PairingCode::generate()?;
        let listener = Listener::bind(self.listen.as_str(), code.clone(), Limits::default())
            .map_err(|problem| {
                Failure::from(problem)
                    .while_doing(format!("listening on {}", escape_name(self.listen.as_bytes())))
                    .hint("name an address of this machine, such as 0.0.0.0:4747 for all")
            })?;
        let cancel = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&cancel);
        ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
        let address = listener.address().to_string();
        let arguments = json!({ "listen": address, "label": self.label });
        let draft = acting::draft(&acting::who(&case), &guard, "receive", arguments, Vec::new())?;
        let act = case.begin(draft, &signer)?;
        let text = code.text();
        let shown = json!({ "address": address, "code": *text });
        self.answer.record("receiving", &shown, || {
            format!(
                "Listening on {address}. At the other machine:\n  glovebox image DISK --to receiver:{address}\n\
                 It asks for this code, which is good for one transfer:\n\n  {}\n",
                *text
            )
        })?;
        let mut desk = Desk {
            guard: &guard,
            case: &case,
            act: Some(act),
            label: self.label.clone(),
            answer: self.answer,
            exhibit: None,
            connections: Vec::new(),
            meter: None,
            recorded: None,
        };
        let result = listener.receive(&mut desk, &cancel);
        if let Some((_, meter)) = desk.meter.take() {
            meter.end();
        }
        match (result, desk.recorded.take()) {
            (_, Some(shown)) => {
                self.answer.record("received", &shown, || text_of(&shown))?;
                Ok(Exit::Clean)
            }
            (result, None) => {
                desk.stopped()?;
                if let Err(problem) = result
                    && !matches!(problem, wire::Error::Stopped)
                {
                    return Err(problem.into());
                }
                Ok(Exit::NotDone)
            }
        }
    }
}

fn text_of(shown: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut text =
        format!("exhibit {}, read back from the medium: the same", word(&shown["exhibit"]));
    for file in shown["files"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let bytes = size(file["size_bytes"].as_u64().unwrap_or(0));
        text.push_str(&format!("\n{}  {}  {bytes}", word(&file["sha256"]), word(&file["name"])));
    }
    text
}

/// What the receiving end works with.
struct Desk<'a> {
    guard: &'a Guard,
    case: &'a Case,
    act: Option<OpenAct<'a>>,
    label: Option<String>,
    answer: Format,
    exhibit: Option<String>,
    /// From where, and what each handshake hashed to.
    connections: Vec<Value>,
    meter: Option<(String, Meter)>,
    recorded: Option<Value>,
}

/// Connections listed in the act; all are counted.
const LISTED: usize = 100;

impl Desk<'_> {
    /// The exhibit in which this transfer stands unfinished.
    fn unfinished(&self, hello: &Hello) -> Option<String> {
        let exhibits = std::fs::read_dir(self.case.dir().join("exhibits")).ok()?;
        for entry in exhibits.flatten() {
            // One that cannot be understood is not the one.
            if let Ok(Some(transfer)) = Reception::unfinished(&entry.path())
                && transfer == hello.transfer
            {
                return entry.file_name().into_string().ok();
            }
        }
        None
    }

    fn folder(&self, exhibit: &str) -> PathBuf {
        self.case.dir().join("exhibits").join(exhibit)
    }

    /// The act of a listener that was stopped; what lies in the exhibit is listed by the case as unfinished.
    fn stopped(&mut self) -> Result<(), Failure> {
        let Some(act) = self.act.take() else { return Ok(()) };
        let mut end: Completion = acting::end(
            self.guard,
            Outcome::new(OutcomeKind::Interrupted, "stopped by the examiner"),
        );
        if let Some(exhibit) = &self.exhibit {
            end.problems.push(format!(
                "exhibit {exhibit} is not whole; it goes on when the sender connects to another glovebox receive"
            ));
        }
        end.inputs = vec![self.input(&Value::Null)];
        act.finish(end)?;
        Ok(())
    }

    fn input(&self, what: &Value) -> Item {
        let listed: Vec<&Value> = self.connections.iter().take(LISTED).collect();
        Item {
            name: "connections".to_owned(),
            size_bytes: None,
            digests: hashing::Digests::default(),
            facts: json!({ "count": self.connections.len(), "first": listed, "sender_says": what }),
        }
    }
}

/// What the sender says it sends; its words, of which only a text for a label is used.
fn said(what: &str) -> Value {
    serde_json::from_str(what).unwrap_or_else(|_| Value::String(escape_name(what.as_bytes())))
}

impl Handler for Desk<'_> {
    fn receiver(&self) -> String {
        let info = self.case.info();
        let key = self.case.public_key().to_file_text();
        let key = key.lines().nth(1).unwrap_or_default().to_owned();
        json!({
            "case": info.id,
            "case_name": info.name,
            "case_key": key,
            "exhibit": self.exhibit,
            "program": concat!("glovebox ", env!("CARGO_PKG_VERSION")),
        })
        .to_string()
    }

    fn place(&mut self, hello: &Hello) -> Result<PathBuf, String> {
        let act = self.act.as_ref().ok_or("the act has ended")?;
        let text = |problem: casebook::Error| Failure::from(problem).text();
        let name = match (self.exhibit.clone(), self.unfinished(hello)) {
            (Some(name), _) => name,
            (None, Some(name)) => {
                // The claim comes first: going on adds to files the case has recorded.
                act.go_on_with(&name).map_err(text)?;
                name
            }
            (None, None) => {
                let what = said(&hello.what);
                let sender = what["label"].as_str().map(str::to_owned);
                let label = self.label.clone().or(sender).unwrap_or_else(|| "received".to_owned());
                act.new_exhibit(&label).map_err(text)?.name().to_owned()
            }
        };
        let folder = self.folder(&name);
        self.exhibit = Some(name);
        Ok(folder)
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Connected { from, fingerprint } => {
                self.connections
                    .push(json!({ "from": from.to_string(), "handshake": fingerprint }));
                let event = json!({ "from": from.to_string() });
                let _closed = self.answer.record("connected", &event, String::new);
                say(&format!("connected: {from}"));
            }
            Told::Disconnected { why } => {
                say(&format!(
                    "disconnected: {}; the sender may come back",
                    escape_name(why.as_bytes())
                ));
            }
            Told::Arrived { name, done_bytes, size_bytes } => {
                self.show("receiving", &name, done_bytes, size_bytes.unwrap_or(0));
            }
            Told::ReadBack { done_bytes, size_bytes } => {
                self.show("reading back", "", done_bytes, size_bytes);
            }
        }
    }

    fn finish(&mut self, reception: &Reception) -> Result<String, String> {
        let exhibit = self.exhibit.clone().ok_or("there is no exhibit")?;
        let act = self.act.take().ok_or("the act has ended")?;
        let mut end = acting::end(self.guard, Outcome::done());
        let what = said(reception.what());
        end.inputs = vec![self.input(&what)];
        end.outputs = reception.files().iter().map(|file| item(&exhibit, file)).collect();
        let signed = act.finish(end).map_err(|problem| Failure::from(problem).text())?;
        let receipt = json!({
            "case": self.case.info().id,
            "exhibit": exhibit,
            "act": signed.hash(),
        });
        self.recorded = Some(json!({
            "exhibit": exhibit,
            "folder": shown(reception.folder()),
            "files": reception.files(),
            "connections": self.connections.len(),
            "act": signed.hash(),
        }));
        Ok(receipt.to_string())
    }
}

impl Desk<'_> {
    fn show(&mut self, doing: &str, name: &str, done_bytes: u64, total_bytes: u64) {
        let what = format!("{doing} {name}");
        if self.meter.as_ref().is_none_or(|(shown, _)| *shown != what) {
            if let Some((_, meter)) = self.meter.take() {
                meter.end();
            }
            self.meter = Some((what.clone(), Meter::new(what, total_bytes)));
        }
        if let Some((_, meter)) = &mut self.meter {
            meter.at(done_bytes);
        }
    }
}

fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

fn item(exhibit: &str, file: &Received) -> Item {
    let sha256 = file.sha256.as_deref().unwrap_or_default();
    Item {
        name: format!("exhibits/{exhibit}/{}", file.name),
        size_bytes: Some(file.kept_bytes),
        digests: Digest::from_hex(Algorithm::Sha256, sha256).into_iter().collect(),
        facts: json!({ "received": true, "read_back": true }),
    }
}
