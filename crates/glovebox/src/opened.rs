//! What a person names on evidence, opened: a disk or image with everything assembled from it, or a tree of files.

use std::path::PathBuf;
use std::sync::Arc;

use casebook::Item;
use evidence::address::{Address, Object};
use evidence::collection::Collection;
use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileSystem, Node, RawPath, View};
use evidence::stack::{self, Origin, Stack, VolumeId};
use evidence::system::{self, System};
use evidence::volume::Key;
use guard::Guard;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{acting, passphrase, target};

/// Options of every verb that puts volumes together
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Layers {
    /// A further disk or image that volumes may spread over
    #[arg(long = "beside", value_name = "DISK|IMAGE")]
    beside: Vec<String>,
    /// Ask for the passphrase of encrypted volumes
    #[arg(long)]
    ask_passphrase: bool,
    /// Open encrypted volumes with the passphrase in this file
    #[arg(long, value_name = "FILE")]
    volume_passphrase_file: Vec<PathBuf>,
    /// Open encrypted volumes with a key file
    #[arg(long, value_name = "FILE")]
    volume_key_file: Vec<PathBuf>,
    /// Open encrypted volumes with the recovery key in this file
    #[arg(long, value_name = "FILE")]
    recovery_key_file: Vec<PathBuf>,
}

/// Options of every verb that reads inside evidence
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Reading {
    #[command(flatten)]
    layers: Layers,
    /// Show the file system as a mount would, or as its blocks stand
    #[arg(long, value_enum, default_value = "recovered")]
    view: Shown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shown {
    /// Journal or log replayed in memory
    Recovered,
    /// Journal or log left alone
    Raw,
}

impl From<Shown> for View {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::Recovered => Self::Recovered,
            Shown::Raw => Self::Raw,
        }
    }
}

/// A source with everything found on it.
pub(crate) struct Opened {
    /// The layers; none for a collection of files.
    pub(crate) stack: Stack,
    /// The files, if the source is a folder or an archive of files and no disk.
    pub(crate) collection: Option<Collection>,
    /// The name of the source asked for, as addresses begin.
    pub(crate) name: String,
    /// The view asked for.
    pub(crate) view: View,
    /// Kinds of keys that were tried on encrypted volumes, never the keys.
    key_kinds: Vec<&'static str>,
}

/// A tree of files, opened.
pub(crate) struct Tree {
    /// Its files.
    pub(crate) fs: Arc<dyn FileSystem>,
    /// Where paths of it are addressed: `sda:2`.
    pub(crate) address: String,
}

/// An object that was asked for.
pub(crate) struct Found {
    /// The tree it is in.
    pub(crate) tree: Tree,
    /// Its node.
    pub(crate) node: Node,
    /// Its path, or what stands for it.
    pub(crate) path: RawPath,
    /// What was opened to reach it, as the inputs of an act.
    pub(crate) inputs: Vec<Item>,
}

impl Layers {
    /// Kinds of keys that are tried on encrypted volumes.
    pub(crate) fn key_kinds(&self) -> Vec<&'static str> {
        let asked: &[()] = if self.ask_passphrase { &[()] } else { &[] };
        [
            ("passphrase", self.volume_passphrase_file.len().saturating_add(asked.len())),
            ("key file", self.volume_key_file.len()),
            ("recovery key", self.recovery_key_file.len()),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, _)| kind)
        .collect()
    }

    fn keys(&self) -> Result<Vec<Key>, Failure> {
        let mut keys = Vec::new();
        for file in &self.volume_passphrase_file {
            keys.push(Key::Passphrase(passphrase::from_file(file)?.into_bytes()));
        }
        for file in &self.volume_key_file {
            let content = std::fs::read(file).map_err(|problem| {
                Failure::from(problem)
                    .while_doing(format!("reading the key file {}", file.display()))
            })?;
            keys.push(Key::File(content));
        }
        for file in &self.recovery_key_file {
            keys.push(Key::Recovery(passphrase::from_file(file)?));
        }
        if self.ask_passphrase {
            let phrase = passphrase::ask("Passphrase of the encrypted volume: ")?;
            keys.push(Key::Passphrase(phrase.into_bytes()));
        }
        Ok(keys)
    }

    /// A disk or image with everything assembled from it, and on the booted stick from every other disk.
    ///
    /// # Errors
    /// If a source cannot be opened, or a key file cannot be read.
    pub(crate) fn examine(&self, named: stack::Disk, guard: &Guard) -> Result<Stack, Failure> {
        let keys = self.keys()?;
        let mut disks = vec![named];
        for word in &self.beside {
            disks.push(target::disk_source(word, guard)?);
        }
        for other in target::other_disks(guard, &disks)? {
            disks.push(other);
        }
        Ok(Stack::examine(&disks, &keys))
    }
}

impl Reading {
    /// The view asked for.
    pub(crate) fn view(&self) -> View {
        self.view.into()
    }

    /// Opens the source of an address, and on the booted stick every other disk a volume may spread over.
    ///
    /// # Errors
    /// If a source cannot be opened, or a key file cannot be read.
    pub(crate) fn open(&self, address: &Address, guard: &Guard) -> Result<Opened, Failure> {
        let word = String::from_utf8_lossy(&address.source).into_owned();
        if let Some(collection) = target::collection(&word, guard)? {
            let stack = Stack::examine(&[], &[]);
            let collection = Some(collection);
            let key_kinds = Vec::new();
            return Ok(Opened { stack, collection, name: word, view: self.view(), key_kinds });
        }
        let named = target::disk_source(&word, guard)?;
        let name = named.name.clone();
        let stack = self.layers.examine(named, guard)?;
        let key_kinds = self.layers.key_kinds();
        Ok(Opened { stack, collection: None, name, view: self.view(), key_kinds })
    }

    /// Opens what an address names down to the object; without a path, the root of its volume.
    ///
    /// # Errors
    /// If there is no such source, volume or object, or it cannot be read.
    pub(crate) fn find(&self, word: &str, guard: &Guard) -> Result<Found, Failure> {
        let address = target::address(word);
        let opened = self.open(&address, guard)?;
        let tree = opened.tree(&address)?;
        let inputs = opened.inputs(guard, &[&tree.address]);
        Ok(Found { inputs, ..tree.find(address.object.as_ref())? })
    }
}

impl Opened {
    /// What was opened, as the inputs of an act: disks by model and serial number, volumes that had
    /// to be unlocked with the kinds of keys tried, and the volumes at these addresses.
    pub(crate) fn inputs(&self, guard: &Guard, addresses: &[&str]) -> Vec<Item> {
        let item = |name: &str, size_bytes, facts| Item {
            name: name.to_owned(),
            size_bytes,
            digests: hashing::Digests::default(),
            facts,
        };
        let mut items = Vec::new();
        if self.collection.is_some() {
            items.push(item(&self.name, None, json!({ "kind": "collection of files" })));
        }
        for layer in &self.stack.layers {
            match &layer.origin {
                Origin::Disk => items.push(match target::known_disk(&layer.disk, guard) {
                    Some(disk) => acting::disk_item(&disk),
                    None => item(&layer.disk, Some(layer.view.size_bytes), Value::Null),
                }),
                Origin::Unlocked { on, by } => {
                    let facts = json!({ "unlocked": by, "kinds_of_keys_tried": self.key_kinds });
                    items.push(item(on, Some(layer.view.size_bytes), facts));
                }
                Origin::Nested { .. } | Origin::Assembled { .. } => {}
            }
        }
        for address in addresses {
            let id = self.stack.volumes().find(|id| self.stack.address(*id) == *address);
            let Some(volume) = id.and_then(|id| self.stack.volume(id)) else { continue };
            let contents: Vec<Value> = volume
                .contents
                .iter()
                .map(|content| json!({ "kind": format!("{:?}", content.kind), "label": content.label, "uuid": content.uuid }))
                .collect();
            let origin = id.and_then(|id| self.stack.origin(id));
            let facts = json!({ "contents": contents, "origin": origin });
            items.push(item(address, Some(volume.length_bytes), facts));
        }
        items
    }

    /// The installed systems on it.
    pub(crate) fn systems(&self) -> Vec<System> {
        match &self.collection {
            Some(collection) => system::of_collection(collection),
            None => system::find(&self.stack, self.view),
        }
    }

    /// The tree an address names: a volume's, or an installed system's.
    ///
    /// # Errors
    /// If there is no such volume, or no single system to take a path without a label for.
    pub(crate) fn tree(&self, address: &Address) -> Result<Tree, Failure> {
        let whole = self
            .collection
            .as_ref()
            .filter(|_| address.label.as_deref().is_none_or(|label| label == "0"));
        if let Some(collection) = whole {
            let fs = Arc::clone(&collection.files);
            return Ok(Tree { fs, address: self.name.clone() });
        }
        let Some(label) = &address.label else { return self.only_system() };
        if label.starts_with("os")
            && let Some(system) = self.systems().into_iter().find(|system| system.name == *label)
        {
            return Ok(self.of_system(&system));
        }
        let id = self.stack.find(&self.name, label).ok_or_else(|| {
            let known: Vec<String> = self.labels().collect();
            Failure::new(format!("{} has no volume \"{label}\"", self.name))
                .hint(format!("its volumes are: {}", known.join(", ")))
                .hint(format!("glovebox ls {}", self.name))
        })?;
        self.volume(id)
    }

    /// The tree of one volume.
    ///
    /// # Errors
    /// If its file system cannot be read.
    pub(crate) fn volume(&self, id: VolumeId) -> Result<Tree, Failure> {
        let address = self.stack.address(id);
        let fs = self.stack.open(id, self.view).map_err(|error| {
            let locked = self.stack.closed.iter().find(|closed| closed.address == address);
            let mut failure = Failure::from(error).while_doing(format!("opening {address}"));
            if let Some(closed) = locked {
                for problem in &closed.problems {
                    failure = failure.hint(format!("{}: {}", closed.description, problem.text));
                }
                failure =
                    failure.hint("give a key with --ask-passphrase or --volume-key-file FILE");
            }
            failure
        })?;
        Ok(Tree { fs: Arc::from(fs), address })
    }

    fn only_system(&self) -> Result<Tree, Failure> {
        let systems = self.systems();
        match systems.as_slice() {
            [system] => Ok(self.of_system(system)),
            [] => {
                let mut failure = Failure::new(format!(
                    "no installed system was found on {}: name a volume, as in {}:1:/",
                    self.name, self.name
                ));
                for (address, problem) in self.stack.problems() {
                    failure = failure.hint(format!("problem on {address}: {problem}"));
                }
                Err(failure.hint(format!("glovebox ls {}", self.name)))
            }
            several => {
                let mut failure = Failure::new(format!("{} systems are installed", several.len()));
                for system in several {
                    failure = failure.hint(format!(
                        "{}:{}:/ is {} on {}",
                        self.name, system.name, system.identity.name, system.root
                    ));
                }
                Err(failure)
            }
        }
    }

    fn of_system(&self, system: &System) -> Tree {
        let fs: Arc<dyn FileSystem> = Arc::<evidence::fs::MountTree>::clone(&system.tree);
        Tree { fs, address: format!("{}:{}", self.name, system.name) }
    }

    /// Labels of all volumes and systems.
    fn labels(&self) -> impl Iterator<Item = String> + '_ {
        self.stack
            .volumes()
            .map(|id| self.stack.label(id))
            .chain(self.systems().into_iter().map(|system| system.name))
    }
}

impl Tree {
    /// The object an address names in this tree; its root if it names none.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub(crate) fn find(self, object: Option<&Object>) -> Result<Found, Failure> {
        let (node, path) = match object {
            None => (self.fs.root(), RawPath::from("/")),
            Some(Object::Node(node)) => (*node, RawPath::from(format!("#{node}").as_str())),
            Some(Object::Path(path)) => {
                let node = tree::resolve(&*self.fs, &path.0, LastLink::Keep).map_err(|error| {
                    Failure::from(error).while_doing(format!("looking on {}", self.address))
                })?;
                (node, path.clone())
            }
        };
        Ok(Found { tree: self, node, path, inputs: Vec::new() })
    }
}
