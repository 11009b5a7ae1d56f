//! A walk gives the same whatever thread reads: judged by the plain recursion that defines its order (only us).

use super::*;
use crate::fs::{Attributes, Listing};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Directories four wide and as deep as asked, with a file before and one after the directories in each; node 7 cannot
/// be read and node 9 appears twice.
struct Made {
    depth: u32,
    reads: AtomicUsize,
}

impl Made {
    fn entry(name: &str, node: Node) -> Entry {
        Entry { name: RawPath::from(name), node }
    }
}

impl FileSystem for Made {
    fn kind(&self) -> &'static str {
        "made"
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
        1
    }
    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        let kind = if node >= 1 << 40 { FileKind::File } else { FileKind::Directory };
        Ok(Metadata {
            node,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            links: 1,
            size_bytes: node,
            accessed: None,
            modified: None,
            changed: None,
            born: None,
            generation: None,
            attributes: Attributes::default(),
            device: None,
        })
    }
    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        // Threads that take turns at random show an order that depends on them.
        if self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
            std::thread::yield_now();
        }
        if node == 7 {
            return Err(EvidenceError::corrupt("made so"));
        }
        let mut listing = Listing::default();
        listing.entries.push(Self::entry("z", (1 << 40) + 2 * node));
        listing.entries.push(Self::entry("a", (1 << 40) + 2 * node + 1));
        if node < 4_u64.pow(self.depth) {
            for number in 0..4 {
                let child = 4 * node + number - 2;
                listing.entries.push(Self::entry(&format!("d{number}"), child));
            }
        }
        if node == 3 {
            listing.entries.push(Self::entry("again", 9));
        }
        let text = format!("met at {node}");
        listing.problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(node), text));
        listing.problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, "noted"));
        Ok(listing)
    }
    fn read_link(&self, _: Node) -> Result<RawPath, EvidenceError> {
        Err(EvidenceError::corrupt("no link"))
    }
    fn read_at(&self, _: Node, _: u64, _: &mut [u8]) -> Result<usize, EvidenceError> {
        Ok(0)
    }
    fn xattrs(&self, _: Node) -> Result<Vec<crate::fs::Xattr>, EvidenceError> {
        Ok(Vec::new())
    }
}

/// What a walk must give, by the plain recursion that defines it.
fn plainly(
    fs: &Made,
    node: Node,
    path: &RawPath,
    seen: &mut BTreeSet<Node>,
    out: &mut Vec<RawPath>,
) {
    let Ok(mut listing) = fs.read_dir(node) else { return };
    listing.entries.sort_by(|a, b| a.name.cmp(&b.name));
    out.extend(listing.entries.iter().map(|entry| path.join(&entry.name.0)));
    let below: Vec<Entry> = listing
        .entries
        .into_iter()
        .filter(|entry| entry.node < 1 << 40 && seen.insert(entry.node))
        .collect();
    for entry in below {
        plainly(fs, entry.node, &path.join(&entry.name.0), seen, out);
    }
}

#[test]
fn order_and_problems_do_not_depend_on_threads() {
    let fs = Made { depth: 5, reads: AtomicUsize::new(0) };
    let root = RawPath::from("/");
    let mut expected = Vec::new();
    plainly(&fs, 1, &root, &mut BTreeSet::from([1]), &mut expected);
    let mut first: Option<Vec<Problem>> = None;
    for _ in 0..8 {
        let mut paths = Vec::new();
        let problems = walk(&fs, 1, &root, Limits::default(), &mut |visit| paths.push(visit.path));
        assert!(paths == expected);
        let noted = problems.iter().filter(|problem| problem.place == Place::Source).count();
        assert_eq!(noted, 1);
        assert!(problems.iter().any(|problem| problem.text.contains("second name")));
        assert!(problems.iter().any(|problem| problem.text.contains("made so")));
        assert_eq!(first.get_or_insert_with(|| problems.clone()), &problems);
    }
}

#[test]
fn a_bound_ends_the_walk_where_it_stands() {
    let fs = Made { depth: 5, reads: AtomicUsize::new(0) };
    let root = RawPath::from("/");
    for entries in [0, 1, 5, 6, 500] {
        let mut count = 0_usize;
        let limits = Limits { entries, ..Limits::default() };
        let problems = walk(&fs, 1, &root, limits, &mut |_| count += 1);
        assert_eq!(count, entries);
        assert!(problems.iter().any(|problem| problem.kind == ProblemKind::Refused));
    }
}

#[test]
#[should_panic(expected = "by the caller")]
fn a_caller_that_panics_leaves_no_thread_waiting() {
    let fs = Made { depth: 5, reads: AtomicUsize::new(0) };
    let mut count = 0_usize;
    walk(&fs, 1, &RawPath::from("/"), Limits::default(), &mut |_| {
        count += 1;
        assert!(count < 900, "by the caller");
    });
}
