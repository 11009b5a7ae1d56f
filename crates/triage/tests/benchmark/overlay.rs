//! A real root whose names and records are kept in memory, and plants laid over it without touching it.

use evidence::collection::{Directory, Mounts};
use evidence::fs::tree::{self, Limits};
use evidence::fs::{
    Attributes, Entry, FileKind, FileSystem, Listing, Metadata, Node, RawPath, Xattr,
};
use evidence::{EvidenceError, Problem, Time};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Planted objects count from here; below are the root's own.
const PLANTED: Node = 1 << 62;

/// A root read once.
pub(crate) struct Base {
    fs: Directory,
    by_path: BTreeMap<Vec<u8>, Metadata>,
    names: HashMap<Node, Vec<Entry>>,
    records: HashMap<Node, Metadata>,
    attributes: HashMap<Node, Vec<Xattr>>,
}

impl Base {
    pub(crate) fn read(root: &Path) -> Self {
        let directory = std::fs::File::open(root).unwrap();
        let fs = Directory::new(directory.into(), Mounts::Stay).unwrap();
        let mut by_path = BTreeMap::new();
        let limits = Limits::default();
        let problems = tree::walk(&fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
            by_path.insert(visit.path.0, visit.metadata);
        });
        assert!(problems.is_empty(), "{problems:?}");
        let mut names = HashMap::new();
        names.insert(fs.root(), fs.read_dir(fs.root()).unwrap().entries);
        let (mut records, mut attributes) = (HashMap::new(), HashMap::new());
        records.insert(fs.root(), fs.metadata(fs.root()).unwrap());
        for metadata in by_path.values() {
            if metadata.kind == FileKind::Directory {
                names.insert(metadata.node, fs.read_dir(metadata.node).unwrap().entries);
            }
            if let Ok(all) = fs.xattrs(metadata.node) {
                attributes.insert(metadata.node, all);
            }
            records.insert(metadata.node, metadata.clone());
        }
        Self { fs, by_path, names, records, attributes }
    }
}

struct Object {
    path: Vec<u8>,
    metadata: Metadata,
    /// `None` for the content of the root's own file.
    content: Option<Vec<u8>>,
    xattrs: Vec<Xattr>,
}

/// The root with plants over it.
pub(crate) struct Overlay<'a> {
    base: &'a Base,
    objects: Vec<Object>,
    by_path: HashMap<Vec<u8>, usize>,
    /// Names added to or replaced in a directory.
    inside: HashMap<Node, BTreeMap<Vec<u8>, Node>>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: &'a Base) -> Self {
        Self { base, objects: Vec::new(), by_path: HashMap::new(), inside: HashMap::new() }
    }

    /// The path with a star in it replaced by the first name of the root that fits there.
    pub(crate) fn resolve(&self, path: &[u8]) -> Vec<u8> {
        let Some(star) = path.iter().position(|byte| *byte == b'*') else { return path.to_vec() };
        let end =
            path[star..].iter().position(|byte| *byte == b'/').map_or(path.len(), |at| star + at);
        let fits = |one: &&Vec<u8>| evidence::fs::glob::matches(&path[..end], one);
        let found = self.base.by_path.keys().find(fits).expect("the root has such a name");
        [found, &path[end..]].concat()
    }

    fn node(&self, path: &[u8]) -> Option<Node> {
        if path.is_empty() {
            return Some(self.base.fs.root());
        }
        match self.by_path.get(path) {
            Some(index) => Some(self.objects[*index].metadata.node),
            None => self.base.by_path.get(path).map(|metadata| metadata.node),
        }
    }

    /// The content of the file at a path as it stands now; links of `/bin` and the like are not followed.
    pub(crate) fn content(&self, path: &[u8]) -> Option<Vec<u8>> {
        let fs: &dyn FileSystem = self;
        Some(fs.read_head(self.node(path)?, 64 << 20).ok()?.0)
    }

    /// Puts an object there, or changes what is: mode and content stay where they are not given.
    pub(crate) fn put(
        &mut self,
        path: &[u8],
        kind: FileKind,
        mode: Option<u32>,
        content: Option<Vec<u8>>,
    ) {
        let at = path.iter().rposition(|byte| *byte == b'/').unwrap();
        if self.node(&path[..at]).is_none() {
            self.put(&path[..at], FileKind::Directory, Some(0o755), None);
        }
        let parent = self.node(&path[..at]).unwrap();
        let old = self.node(path).map(|node| (self.metadata(node).unwrap(), node));
        let time = Some(Time { seconds: 1_700_000_000, nanoseconds: 0 });
        let (content, size) = match (content, &old) {
            (Some(content), _) => {
                let size = content.len() as u64;
                (Some(content), size)
            }
            (None, Some((metadata, _))) => (self.content(path), metadata.size_bytes),
            (None, None) => (Some(Vec::new()), 0),
        };
        let node = PLANTED | self.objects.len() as u64;
        let metadata = Metadata {
            node,
            kind,
            mode: mode.or(old.as_ref().map(|(metadata, _)| metadata.mode)).unwrap_or(0o644),
            uid: 0,
            gid: 0,
            links: 1,
            size_bytes: size,
            accessed: time,
            modified: time,
            changed: time,
            born: time,
            generation: None,
            attributes: Attributes::default(),
            device: None,
        };
        let xattrs = old.map_or_else(Vec::new, |(_, node)| self.xattrs(node).unwrap_or_default());
        self.inside.entry(parent).or_default().insert(path[at + 1..].to_vec(), node);
        self.by_path.insert(path.to_vec(), self.objects.len());
        self.objects.push(Object { path: path.to_vec(), metadata, content, xattrs });
    }

    pub(crate) fn xattr(&mut self, path: &[u8], name: &str, value: Vec<u8>) {
        let index = self.by_path[path];
        self.objects[index].xattrs.push(Xattr { name: RawPath::from(name), value });
    }

    fn planted(&self, node: Node) -> Option<&Object> {
        (node & PLANTED != 0).then(|| &self.objects[(node & !PLANTED) as usize])
    }
}

impl FileSystem for Overlay<'_> {
    fn kind(&self) -> &'static str {
        "overlay"
    }

    fn label(&self) -> Option<String> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn problems(&self) -> &[Problem] {
        &[]
    }

    fn root(&self) -> Node {
        self.base.fs.root()
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        match self.planted(node) {
            Some(object) => Ok(object.metadata.clone()),
            None => self
                .base
                .records
                .get(&node)
                .cloned()
                .map_or_else(|| self.base.fs.metadata(node), Ok),
        }
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let mut entries = match self.planted(node) {
            Some(_) => Vec::new(),
            None => self.base.names.get(&node).cloned().unwrap_or_default(),
        };
        if let Some(added) = self.inside.get(&node) {
            entries.retain(|entry| !added.contains_key(&entry.name.0));
            let new = added.iter();
            entries
                .extend(new.map(|(name, node)| Entry { name: RawPath(name.clone()), node: *node }));
        }
        Ok(Listing { entries, problems: Vec::new() })
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        match self.planted(node) {
            Some(object) => Ok(RawPath(object.content.clone().unwrap_or_default())),
            None => self.base.fs.read_link(node),
        }
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let Some(object) = self.planted(node) else {
            return self.base.fs.read_at(node, offset_bytes, buf);
        };
        let Some(content) = &object.content else {
            let path = RawPath(object.path.clone());
            return Err(EvidenceError::NotFound { path });
        };
        let rest = content.get(offset_bytes as usize..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        Ok(match self.planted(node) {
            Some(object) => object.xattrs.clone(),
            None => self.base.attributes.get(&node).cloned().unwrap_or_default(),
        })
    }
}
